"""Which entries of a dump a narrowed restore needs: the requested ones, their dependencies, and what belongs to them.

An entry is left out, and listed, if it needs a relation that is not restored: a foreign key to another table, a view of
one, the attachment of a partition to its parent.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass

from backup_platform.sources.postgres.dump.toc import TocEntry, listed

RELATIONS = frozenset(("TABLE", "VIEW", "MATERIALIZED VIEW", "FOREIGN TABLE"))
# Restored with the whole database only, or by CREATE DATABASE.
_OF_DATABASE = frozenset(
    ("DATABASE", "DATABASE PROPERTIES", "EVENT TRIGGER", "PUBLICATION", "SUBSCRIPTION", "SUBSCRIPTION TABLE")
)
# Restored when a restored table needs them, not because they need the table.
_ON_DEMAND = frozenset(
    (
        *RELATIONS,
        "AGGREGATE",
        "CAST",
        "COLLATION",
        "CONVERSION",
        "DOMAIN",
        "EXTENSION",
        "FUNCTION",
        "OPERATOR",
        "OPERATOR CLASS",
        "OPERATOR FAMILY",
        "PROCEDURE",
        "SCHEMA",
        "TYPE",
        "TRANSFORM",
    )
)
_ALWAYS = frozenset(("ENCODING", "STDSTRINGS", "SEARCHPATH"))


@dataclass(frozen=True, slots=True)
class EntrySelection:
    """`entries` in the archive's order. `left_out` are labels of what belongs to the selection and is not restored;
    `empty_parents` are tables restored without their rows, because a wanted one inherits from them."""

    entries: tuple[TocEntry, ...]
    left_out: tuple[str, ...]
    empty_parents: tuple[str, ...]


def select(
    toc: Sequence[TocEntry], schemas: Collection[str], tables: Collection[tuple[str, str]]
) -> EntrySelection:
    """Narrow an archive to schemas, or else to tables given as (schema, name) with their partitions."""
    return _Selector(toc).select(list(_roots(toc, schemas, tables)))


def wanted_tables(toc: Sequence[TocEntry], tables: Collection[tuple[str, str]]) -> set[tuple[str, str]]:
    """The tables, and all partitions below those that are partitioned, as the archive lists their names."""
    roots = _with_partitions(toc, {entry.id for entry in toc if _is_named(entry, tables)})
    return {(entry.schema, entry.tag) for entry in toc if entry.id in roots}


def _roots(
    toc: Sequence[TocEntry], schemas: Collection[str], tables: Collection[tuple[str, str]]
) -> Iterable[int]:
    if schemas:
        names = set(map(listed, schemas))
        for entry in toc:
            if entry.schema in names or (entry.kind == "SCHEMA" and entry.tag in names):
                yield entry.id
        return
    yield from sorted(_with_partitions(toc, {entry.id for entry in toc if _is_named(entry, tables)}))


def _is_named(entry: TocEntry, tables: Collection[tuple[str, str]]) -> bool:
    names = {(listed(schema), listed(name)) for schema, name in tables}
    return entry.kind in RELATIONS and (entry.schema, entry.tag) in names


def _with_partitions(toc: Sequence[TocEntry], roots: set[int]) -> set[int]:
    """TABLE ATTACH needs the partition first and its parent second, listed in either order."""
    attached = [set(entry.needs) for entry in toc if entry.kind == "TABLE ATTACH"]
    children = {entry.id: entry for entry in toc if entry.kind == "TABLE"}
    found = set(roots)
    while True:
        more = {
            child
            for pair in attached
            for child in pair
            if child not in found
            if (pair - {child}) & found
            if _is_partition_of(children, child, pair - {child})
        }
        if not more:
            return found
        found |= more


def _is_partition_of(tables: dict[int, TocEntry], child: int, parents: set[int]) -> bool:
    """A partition's definition comes after its parent's and needs it."""
    return child in tables and bool(set(tables[child].needs) & parents)


class _Selector:
    def __init__(self, toc: Sequence[TocEntry]) -> None:
        self.toc = toc
        self.by_id = {entry.id: entry for entry in toc}
        self.chosen: set[int] = set()
        self.parents: list[str] = []

    def select(self, roots: Sequence[int]) -> EntrySelection:
        refused = self._take_roots(roots)
        refused += self._take_belongings()
        entries = tuple(e for e in self.toc if e.id in self.chosen or e.kind in _ALWAYS)
        return EntrySelection(entries, tuple(dict.fromkeys(refused)), tuple(self.parents))

    def _take_roots(self, roots: Sequence[int]) -> list[str]:
        """Relations of another kind than TABLE may rest on ones that are not wanted: those are refused."""
        wanted = set(roots)
        refused = []
        for number in sorted(wanted, key=self._order):
            entry = self.by_id[number]
            if entry.kind in _OF_DATABASE:
                continue
            if entry.kind == "TABLE" or self._resolvable(entry, wanted):
                self._take(number, wanted)
            else:
                refused.append(entry.label)
        return refused

    def _order(self, number: int) -> bool:
        return self.by_id[number].kind != "TABLE"

    def _take(self, number: int, wanted: set[int]) -> None:
        """With everything that it needs."""
        pending = [number]
        while pending:
            entry = self.by_id.get(pending.pop())
            if entry is None or entry.id in self.chosen or entry.kind in _OF_DATABASE:
                continue
            self.chosen.add(entry.id)
            if entry.kind == "TABLE" and entry.id not in wanted:
                self.parents.append(f"{entry.schema}.{entry.tag}")
            pending += self._needs(entry, wanted)

    def _needs(self, entry: TocEntry, wanted: set[int]) -> Iterator[int]:
        """A partition asked for without its parent stands alone: its definition does not name the parent."""
        for need in entry.needs:
            other = self.by_id.get(need)
            if other is None or _is_loose(entry, other):
                continue
            if other.kind == "TABLE" and need not in wanted and self._attached(entry.id, need):
                continue
            yield need

    def _attached(self, child: int, parent: int) -> bool:
        return any(e.kind == "TABLE ATTACH" and {child, parent} <= set(e.needs) for e in self.toc)

    def _resolvable(self, entry: TocEntry, wanted: set[int], seen: frozenset[int] = frozenset()) -> bool:
        """Does it need no relation beside the chosen and wanted ones?"""
        for need in entry.needs:
            other = self.by_id.get(need)
            if other is None or need in self.chosen or need in seen or _is_loose(entry, other):
                continue
            if other.kind in RELATIONS | _OF_DATABASE and need not in wanted:
                return False
            if not self._resolvable(other, wanted, seen | {entry.id}):
                return False
        return True

    def _take_belongings(self) -> list[str]:
        """What needs something chosen and stands for nothing by itself: indexes, constraints, grants, comments."""
        refused: dict[int, str] = {}
        growing = True
        while growing:
            growing = False
            for entry in self.toc:
                if not self._belongs(entry):
                    continue
                if self._resolvable(entry, set()):
                    self._take(entry.id, set())
                    refused.pop(entry.id, None)
                    growing = True
                elif self._concerns_chosen(entry):
                    refused[entry.id] = entry.label
        return list(refused.values())

    def _belongs(self, entry: TocEntry) -> bool:
        """Whether an entry belongs to a selected one. A sequence belongs to the table that it needs. A table that needs
        a sequence only for its default does not own it."""
        if entry.id in self.chosen or entry.kind in _ON_DEMAND or entry.kind in _OF_DATABASE:
            return False
        owners = [n for n in entry.needs if n in self.chosen and self.by_id[n].kind != "SCHEMA"]
        if entry.kind in ("ACL", "COMMENT", "SECURITY LABEL"):
            return any(need in self.chosen for need in entry.needs)
        return bool(owners)

    def _concerns_chosen(self, entry: TocEntry) -> bool:
        """Is it a part of a chosen relation, and not of another one that refers to it?"""
        tags = {
            self.by_id[number].tag
            for number in self.chosen
            if self.by_id[number].kind in RELATIONS and self.by_id[number].schema == entry.schema
        }
        if entry.kind == "PUBLICATION TABLE":
            return any(entry.tag.endswith(" " + tag) for tag in tags)
        return any(entry.tag == tag or entry.tag.startswith(tag + " ") for tag in tags)


def _is_loose(entry: TocEntry, need: TocEntry) -> bool:
    """A partition's index is made like any other when that of its parent is not restored."""
    kinds = ("CONSTRAINT", "INDEX")
    return entry.kind in kinds and need.kind in kinds
