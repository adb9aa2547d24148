"""The differences between two recovery points in the rows of one table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypedDict

from backup_platform.actions.query.run import LONGEST_S, open_engine
from backup_platform.domain.model import Content, Json

if TYPE_CHECKING:
    from backup_platform.actions.query.engine import Engine
    from backup_platform.actions.tables.point_tables import PointTables
    from backup_platform.actions.tables.row_comparison import RowComparison
    from backup_platform.domain.tables import Table

RowChange = Literal["added", "removed", "changed"]


@dataclass(frozen=True, slots=True)
class RowDifference:
    """One row that differs. Values are as in JSON results; `columns` are those whose values differ.

    Without a key, `count` says how many equal rows were added or removed.
    """

    change: RowChange
    before: Mapping[str, Json] | None
    after: Mapping[str, Json] | None
    columns: tuple[str, ...] = ()
    count: int = 1


@dataclass(frozen=True, slots=True)
class TableDifference:
    """`key` is () if rows were compared as a whole: then nothing is `changed`, and `changed_columns` is empty. Columns
    that only one side has are named, but not compared. `rows` are the first differences, by key."""

    table: str
    key: tuple[str, ...]
    added: int
    removed: int
    changed: int
    changed_columns: Mapping[str, int]
    columns_added: tuple[str, ...]
    columns_removed: tuple[str, ...]
    rows: tuple[RowDifference, ...]

    @property
    def equal(self) -> bool:
        return not (self.added or self.removed or self.changed or self.columns_added or self.columns_removed)


class DiffOptions(TypedDict, total=False):
    """How a comparison is made, see `diff_table`."""

    first: int
    time_limit_s: float | None


def diff_table(
    before: PointTables,
    after: PointTables,
    name: str,
    *,
    first: int = 20,
    time_limit_s: float | None = LONGEST_S,
) -> TableDifference:
    """Raises NotFoundError if a point lacks the table, UsageError, TimeLimitError, and the errors of the store. Parts
    that are the same in both points are not read. Memory does not grow with the tables."""
    new = after.find(name)
    old = before.find(new.label)
    with open_engine(time_limit_s) as engine:
        return _TableDiff(engine, (before, old), (after, new)).run(first)


class _TableDiff:
    def __init__(self, engine: Engine, a: tuple[PointTables, Table], b: tuple[PointTables, Table]) -> None:
        self._engine, self._sides = engine, (a, b)
        self._old, self._new = a[1], b[1]
        places = {column.name: place for place, column in enumerate(self._old.columns)}
        self._common = [
            (places[column.name], place, column.name)
            for place, column in enumerate(self._new.columns)
            if column.name in places
        ]
        self._names = [name for _, _, name in self._common]

    @property
    def _key(self) -> tuple[str, ...]:
        """The key, where both have the same."""
        return self._new.key if self._new.key == self._old.key and self._new.key else ()

    def run(self, first: int) -> TableDifference:
        if not self._common:
            more = self._new.rows - self._old.rows
            return self._told(max(more, 0), max(-more, 0), 0, {}, ())
        comparison = self._comparison()
        return self._by_key(comparison, first) if self._key else self._of_rows(comparison, first)

    def _comparison(self) -> RowComparison:
        from backup_platform.actions.tables.row_comparison import RowComparison, Side

        alike = _contents(*self._sides[0]) & _contents(*self._sides[1])
        a, b = (
            Side(self._engine.rows(tables, table, _others(tables, table, alike)), len(table.columns))
            for tables, table in self._sides
        )
        common = [(old, new) for old, new, _ in self._common]
        return RowComparison(self._engine, a, b, common, [self._names.index(name) for name in self._key])

    def _by_key(self, comparison: RowComparison, first: int) -> TableDifference:
        added, removed, changed, columns = comparison.counts_by_key()
        counts = {name: n for name, n in zip(self._names, columns, strict=True) if n}
        found = comparison.first_by_key(first) if first and (added or removed or changed) else ()
        rows = [
            RowDifference(
                "changed" if in_a and in_b else "added" if in_b else "removed",
                self._row(old) if in_a else None,
                self._row(new) if in_b else None,
                tuple(name for name, flag in zip(self._names, flags, strict=True) if flag),
            )
            for in_a, in_b, old, new, flags in found
        ]
        return self._told(added, removed, changed, counts, rows)

    def _of_rows(self, comparison: RowComparison, first: int) -> TableDifference:
        added, removed = comparison.counts_of_rows()
        found = comparison.first_of_rows(first) if first and (added or removed) else ()
        rows = [
            RowDifference("added", None, self._row(values), count=n)
            if n > 0
            else RowDifference("removed", self._row(values), None, count=-n)
            for n, values in found
        ]
        return self._told(added, removed, 0, {}, rows)

    def _row(self, values: Sequence[Json]) -> dict[str, Json]:
        return dict(zip(self._names, values, strict=True))

    def _told(
        self,
        added: int,
        removed: int,
        changed: int,
        columns: Mapping[str, int],
        rows: Sequence[RowDifference],
    ) -> TableDifference:
        return TableDifference(
            table=self._new.label,
            key=self._key,
            added=added,
            removed=removed,
            changed=changed,
            changed_columns=columns,
            columns_added=tuple(c.name for c in self._new.columns if c.name not in self._names),
            columns_removed=tuple(c.name for c in self._old.columns if c.name not in self._names),
            rows=tuple(rows),
        )


def _contents(tables: PointTables, table: Table) -> Counter[Content]:
    return Counter(tables.content(path) for path in table.parts)


def _others(tables: PointTables, table: Table, alike: Counter[Content]) -> list[str]:
    """The parts that are not among those that both sides have, each as often as both have it."""
    left, others = Counter(alike), []
    for path in table.parts:
        content = tables.content(path)
        if left[content]:
            left[content] -= 1
        else:
            others.append(path)
    return others
