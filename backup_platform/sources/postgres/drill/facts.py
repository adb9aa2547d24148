"""Facts that the source's server computed in the snapshot, compared with those of the restored server. In this half of
the proof no row passes through this program."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from typing import TYPE_CHECKING, cast

from backup_platform.domain.model import Json
from backup_platform.domain.tables import label_of
from backup_platform.sources.postgres.capture.table_facts import RECORD_SEND, TableFact, shared_table_facts
from backup_platform.sources.postgres.catalog.large_objects import large_object_facts, large_objects
from backup_platform.sources.postgres.connect.connections import connect
from backup_platform.sources.postgres.contents import PointContents
from backup_platform.sources.postgres.document import LargeObject, QualifiedName
from backup_platform.sources.postgres.drill.scratch import Scratch
from backup_platform.sources.postgres.failures import postgres_errors
from backup_platform.sources.postgres.options import Facts
from backup_platform.sources.postgres.quoting import identifier
from backup_platform.sources.tabular.findings import Findings

if TYPE_CHECKING:
    from backup_platform.sources.postgres.connect.connections import Connection

# Tables that hold rows of their own, beside those of extensions and temporary ones.
_TABLES = """
SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'r' AND c.relpersistence <> 't' AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
    AND NOT EXISTS (SELECT FROM pg_depend d
        WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
ORDER BY 1, 2
"""


def unstored_tables(connection: Connection, contents: PointContents) -> Iterator[str]:
    """Tables of the schema that the recovery point neither stores nor lists as left out."""
    known = {table.label for table in contents.catalogue.tables}
    known |= {left.name for left in contents.database.left_out}
    for schema, name in connection.execute(_TABLES):
        if label_of(schema, name) not in known:
            yield f"table {label_of(schema, name)} is in the schema, but the recovery point does not hold its rows."


_POPULATED = """
SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'm' AND c.relispopulated
"""


def fact_differences(
    target: Scratch, facts: Mapping[str, Json], contents: PointContents, jobs: int
) -> Findings:
    """Rows, hashes, sequences, large objects, and whether materialised views are populated. Raises `SourceError`."""
    mode = cast("Facts", str(facts.get("hash_mode", "counts")))
    with ExitStack() as stack, postgres_errors(target.server):
        connections = [stack.enter_context(connect(target.url)) for _ in range(max(1, jobs))]
        algorithm = str(facts.get("hash_algorithm", RECORD_SEND))
        found = shared_table_facts(connections, contents.catalogue.tables, mode, algorithm)
        differences = [
            *_tables(
                facts, found, mode, {label: name.label for label, name in contents.database.load_through}
            ),
            *_sequences(connections[0], contents),
            *_large_objects(connections[0], facts, contents),
            *_views(connections[0], contents),
        ]
    return Findings(differences, {"facts_mode": mode, "sequences": len(contents.database.sequences)})


def _tables(
    facts: Mapping[str, Json], found: Mapping[str, TableFact], mode: Facts, through: Mapping[str, str]
) -> Iterator[str]:
    rows, hashes = facts.get("row_counts"), facts.get("row_hashes")
    if (
        not isinstance(rows, dict)
        or not isinstance(hashes, dict)
        or (mode != "counts" and not hashes and rows)
    ):
        yield "The recovery point lacks the facts that the server computed of its tables."
        return
    for label in sorted(rows.keys() - found.keys()):
        yield f"facts: table {label} had {rows[label]} rows in the source, but was not restored."
    taken = {label: TableFact(int(str(rows.get(label, -1))), str(hashes.get(label, ""))) for label in found}
    before, after = _grouped(taken, through), _grouped(found, through)
    for label in sorted(before):
        old, new = before[label], after[label]
        if old.rows != new.rows:
            yield f"facts: table {label} had {old.rows} rows in the source, and {new.rows} after the restore."
        elif mode != "counts" and old.hash != new.hash:
            yield (
                f"facts: the rows of table {label} differ from those of the source, as both servers hash them: "
                f"{old.hash or 'no hash'} and {new.hash}."
            )


def _grouped(facts: Mapping[str, TableFact], through: Mapping[str, str]) -> dict[str, TableFact]:
    """Leaves below a table that routed their rows count together: their rows may be in other leaves now.

    A hash is a sum over rows, so that the sum of hashes is that of all their rows.
    """
    groups: dict[str, TableFact] = {}
    for label, fact in facts.items():
        name = through.get(label, label)
        other = groups.get(name)
        groups[name] = (
            fact if other is None else TableFact(other.rows + fact.rows, _added(other.hash, fact.hash))
        )
    return groups


def _added(one: str, other: str) -> str:
    return str(int(one) + int(other)) if one and other else ""


def _sequences(connection: Connection, contents: PointContents) -> Iterator[str]:
    for value in contents.database.sequences:
        name = identifier(value.sequence.schema, value.sequence.name)
        known = connection.execute("SELECT to_regclass(%s) IS NOT NULL", (name,)).fetchone()
        if known is None or not known[0]:
            yield f"sequence {value.sequence.label} is missing in the restored database."
            continue
        row = connection.execute(f"SELECT last_value, is_called FROM {name}".encode()).fetchone()  # noqa: S608
        if row != (value.last_value, value.is_called):
            yield (
                f"sequence {value.sequence.label} stood at {value.last_value} (called: {value.is_called}) "
                f"in the source, and at {row} after the restore."
            )


def _large_objects(
    connection: Connection, facts: Mapping[str, Json], contents: PointContents
) -> Iterator[str]:
    stored = {each.oid: each for each in contents.database.large_objects}
    if facts.get("large_objects") != len(stored):
        yield f"large objects: {facts.get('large_objects')} in the source, {len(stored)} stored."
    wanted = facts.get("large_objects_hash")
    if stored and isinstance(wanted, str):
        _, found = large_object_facts(connection)
        if wanted != found:
            yield f"facts: the data of large objects differs from the source's: {wanted} and {found}."
    restored = {each.oid: each for each in large_objects(connection)}
    for oid in sorted(stored.keys() | restored.keys()):
        before, after = stored.get(oid), restored.get(oid)
        if before is None or after is None:
            yield f"large object {oid}: {_only(before)} stored, {_only(after)} restored."
            continue
        for what, was, now in (
            ("owner", before.owner, after.owner),
            ("grants", before.acl, after.acl),
            ("comment", before.comment, after.comment),
        ):
            if was != now:
                yield f"large object {oid}: {what} {was!r} stored, {now!r} restored."


def _only(item: LargeObject | None) -> str:
    return "not" if item is None else "is"


def _views(connection: Connection, contents: PointContents) -> Iterator[str]:
    """pg_dump's text does not tell whether a view has its rows."""
    populated = {QualifiedName(*row) for row in connection.execute(_POPULATED)}
    for name in contents.database.refresh:
        if name not in populated:
            yield f"materialised view {name.label} had rows in the source, but is not populated after the restore."
