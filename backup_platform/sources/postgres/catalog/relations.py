"""The relations of a database: which hold rows of their own, which of those are stored, and how they are made."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from backup_platform.domain.tables import label_of
from backup_platform.domain.words import first_of
from backup_platform.errors import SourceError
from backup_platform.sources.postgres.catalog.relation import Relation, RelationColumn
from backup_platform.sources.postgres.catalog.selection import Patterns
from backup_platform.sources.postgres.document import LeftOut, QualifiedName

if TYPE_CHECKING:
    from backup_platform.sources.postgres.connect.connections import Connection
    from backup_platform.sources.postgres.options import PostgresOptions

TABLE, PARTITIONED, FOREIGN, VIEW, SEQUENCE = "r", "p", "f", "m", "S"
UNLOGGED = "u"
_NAMED = 5  # in messages
_DEFINITION = "this role may not read it, so its definition is not stored either"
_DENIED = "this role may not read it, so neither its rows nor its definition is stored"

_FOUND = """
SELECT c.oid::int8, n.nspname::text, c.relname::text, c.relkind::text, c.relpersistence::text,
    CASE WHEN c.relispartition THEN (SELECT i.inhparent::int8 FROM pg_inherits i WHERE i.inhrelid = c.oid) END,
    (SELECT p.partstrat = 'h' FROM pg_partitioned_table p WHERE p.partrelid = c.oid),
    c.relispopulated,
    e.extname::text,
    e.extcondition[array_position(e.extconfig, c.oid)],
    coalesce(has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT'), true),
    c.relrowsecurity AND row_security_active(c.oid)
FROM pg_class c
JOIN pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN pg_depend d ON d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e'
LEFT JOIN pg_extension e ON e.oid = d.refobjid
WHERE c.relkind IN ('r', 'p', 'f', 'm', 'S')
    AND (n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' OR c.oid = ANY (e.extconfig))
ORDER BY 2, 3
"""
_DETAILS = """
SELECT c.oid::int8, c.relpages, c.reltuples::float8, pg_table_size(c.oid), k.names,
    (SELECT s.correlation::float8 FROM pg_stats s WHERE s.schemaname = n.nspname AND s.tablename = c.relname
        AND s.attname::text = k.names[1] AND NOT s.inherited)
FROM pg_class c
JOIN pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN LATERAL (SELECT array_agg(a.attname::text ORDER BY u.position) AS names
    FROM pg_index i, unnest(i.indkey) WITH ORDINALITY u(attnum, position), pg_attribute a
    WHERE i.indrelid = c.oid AND i.indisprimary AND u.position <= i.indnkeyatts
        AND a.attrelid = c.oid AND a.attnum = u.attnum) k ON true
WHERE c.oid = ANY (%s::oid[])
"""
_COLUMNS = """
SELECT a.attrelid::int8, a.attname::text, format_type(a.atttypid, a.atttypmod), a.atttypid::int8, a.atttypmod,
    a.attnotnull
FROM pg_attribute a
WHERE a.attrelid = ANY (%s::oid[]) AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
ORDER BY a.attrelid, a.attnum
"""


class Found(NamedTuple):
    """A user's relation, or one whose rows an extension wants stored.

    `parent` is the oid of the partitioned table that it is a part of. `condition` is the extension's condition, None if
    it is not a configuration table. `filtered` means that a row security policy applies to this role.
    """

    oid: int
    schema: str
    name: str
    kind: str
    persistence: str
    parent: int | None
    by_hash: bool | None
    populated: bool
    extension: str | None
    condition: str | None
    readable: bool
    filtered: bool

    @property
    def label(self) -> str:
        return label_of(self.schema, self.name)

    @property
    def identity(self) -> tuple[object, ...]:
        """What must be the same before and after the locks for the snapshot to be of one schema."""
        return self[:9]


@dataclass(frozen=True)
class RelationSelection:
    """`stored` are the tables whose rows are read, `parents` the partitioned tables above some of them, `views` the
    materialised views to refresh, `unreadable` what is left out and not even locked. `denied` is what the plan wants
    and this role may not read; it is among `left_out`."""

    found: tuple[Found, ...]
    stored: tuple[Found, ...] = ()
    parents: tuple[Found, ...] = ()
    views: tuple[Found, ...] = ()
    sequences: tuple[Found, ...] = ()
    unreadable: tuple[Found, ...] = ()
    left_out: tuple[LeftOut, ...] = ()
    denied: tuple[LeftOut, ...] = ()
    warnings: tuple[str, ...] = ()
    by_oid: Mapping[int, Found] = field(default_factory=dict)

    @property
    def locked(self) -> tuple[Found, ...]:
        return self.parents + self.stored

    @property
    def unlogged(self) -> list[str]:
        return [found.label for found in self.stored if found.persistence == UNLOGGED]

    def ancestors(self, found: Found) -> Iterator[Found]:
        """The partitioned tables that a partition is in, the nearest first."""
        parent = self.by_oid.get(found.parent or 0)
        while parent is not None:
            yield parent
            parent = self.by_oid.get(parent.parent or 0)

    def load_through(self) -> tuple[tuple[str, QualifiedName], ...]:
        """Leaves below a hash partitioned table load through the root of their tree: a hash may place a row elsewhere
        on another machine or version. Other leaves load directly, and their constraints check what they get."""
        through = []
        for leaf in self.stored:
            ancestors = list(self.ancestors(leaf))
            if any(ancestor.by_hash for ancestor in ancestors):
                through.append((leaf.label, QualifiedName(ancestors[-1].schema, ancestors[-1].name)))
        return tuple(through)


def find(connection: Connection) -> list[Found]:
    """Every relation of the database that matters here, as this transaction or statement sees it."""
    return [Found(*row) for row in connection.execute(_FOUND)]


def select(found: Sequence[Found], options: PostgresOptions, *, standby: bool) -> RelationSelection:
    """What to store. Nothing is left out without a line in `left_out`."""
    by_oid = {each.oid: each for each in found}
    whole = RelationSelection(tuple(found), by_oid=by_oid)
    patterns = Patterns(options.include, options.exclude)
    kept: dict[str, list[Found]] = {kind: [] for kind in (TABLE, PARTITIONED, VIEW, SEQUENCE)}
    left_out: list[LeftOut] = []
    unreadable: list[Found] = []
    warnings: list[str] = []
    denied: list[LeftOut] = []
    for each in found:
        if each.kind == VIEW and not each.populated:
            continue
        reason = _reason_against(each, whole, patterns, options, standby=standby)
        if not reason and each.kind in (TABLE, SEQUENCE) and (reason := _denial(each)):
            denied.append(LeftOut(_kind_of(each), each.label, reason))
        elif not reason:
            kept[each.kind].append(each)
            continue
        if each.kind == TABLE and not each.readable and each.extension is None:
            unreadable.append(each)
            reason += f"; {_DEFINITION}" if reason != _DENIED else ""
        if each.kind != PARTITIONED:  # which has no rows; its partitions are listed themselves
            left_out.append(LeftOut(_kind_of(each), each.label, reason))
        if standby and each.persistence == UNLOGGED:
            warnings.append(f"{each.label} is not stored: {reason}.")
    return RelationSelection(
        tuple(found),
        stored=tuple(kept[TABLE]),
        parents=tuple(kept[PARTITIONED]),
        views=tuple(kept[VIEW]),
        sequences=tuple(kept[SEQUENCE]),
        unreadable=tuple(unreadable),
        left_out=tuple(left_out),
        denied=tuple(denied),
        warnings=tuple(warnings),
        by_oid=by_oid,
    )


def _reason_against(
    each: Found, whole: RelationSelection, patterns: Patterns, options: PostgresOptions, *, standby: bool
) -> str:
    if each.extension is not None and each.condition is None:
        return f"part of the extension {each.extension}, which creates it"
    if each.kind == FOREIGN:
        return "its rows are on another server: only its definition is stored"
    if each.persistence == UNLOGGED and standby and each.kind != VIEW:
        return "unlogged, so it is not on this standby"
    if each.kind == SEQUENCE:
        return ""
    if each.persistence == UNLOGGED and not options.unlogged:
        return "unlogged: only its definition is stored"
    names = [(each.schema, each.name), *((above.schema, above.name) for above in whole.ancestors(each))]
    reason = patterns.reason_against(names)
    return f"{reason}: only its definition is stored" if reason else ""


def _denial(each: Found) -> str:
    """Why this role cannot read what the plan wants whole; "" when it can."""
    if not each.readable:
        return _DENIED if each.kind == TABLE else "this role may not read it, so its value is not stored"
    return "row security would hide rows from this role" if each.kind == TABLE and each.filtered else ""


def _kind_of(each: Found) -> str:
    names = {TABLE: "table", FOREIGN: "foreign table", SEQUENCE: "sequence", VIEW: "materialised view"}
    kind = names[each.kind]
    return f"unlogged {kind}" if each.persistence == UNLOGGED else kind


def require_readable(selection: RelationSelection) -> None:
    """Raises `SourceError` when this role may read no table at all, or not a partitioned one, which pg_dump locks."""
    denied = [each.label for each in selection.parents if not each.readable]
    if not selection.stored:
        denied += [left.name for left in selection.denied]
    if denied:
        raise SourceError(
            f"The role of the plan's url may not read {first_of(denied, _NAMED)}.",
            hint="GRANT pg_read_all_data TO the role, and BYPASSRLS where tables have policies; or exclude them.",
        )


def relations(connection: Connection, selection: RelationSelection) -> list[Relation]:
    """The stored tables with their columns, read in the snapshot."""
    return relations_of(connection, selection.stored)


def relations_of(connection: Connection, found: Sequence[Found]) -> list[Relation]:
    oids = [each.oid for each in found]
    columns: dict[int, list[RelationColumn]] = {oid: [] for oid in oids}
    for oid, *column in connection.execute(_COLUMNS, [oids]):
        columns[oid].append(RelationColumn(*column))
    details = {row[0]: row[1:] for row in connection.execute(_DETAILS, [oids])}
    raw = connection.info.parameter_status("server_encoding") == "SQL_ASCII"
    return [_relation(each, tuple(columns[each.oid]), details[each.oid], raw=raw) for each in found]


def _relation(
    found: Found,
    columns: tuple[RelationColumn, ...],
    details: tuple[int, float, int, list[str] | None, float | None],
    *,
    raw: bool,
) -> Relation:
    pages, rows, size, key, correlation = details
    stored = {column.name for column in columns}
    usable = key is not None and stored.issuperset(key)  # a key may hold a generated column
    return Relation(
        oid=found.oid,
        schema=found.schema,
        name=found.name,
        columns=columns,
        key=tuple(key) if usable and key else (),
        pages=pages,
        rows_estimate=rows,
        bytes=size,
        correlation=correlation if usable else None,
        condition=_without_where(found.condition or ""),
        only=found.parent is None,
        raw=raw,
    )


def _without_where(condition: str) -> str:
    stripped = condition.strip()
    return stripped[5:].strip() if stripped[:5].upper() == "WHERE" else stripped
