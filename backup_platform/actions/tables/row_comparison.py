"""Comparing two sets of rows in DuckDB, which writes data that does not fit into memory to temporary files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from backup_platform.actions.query.engine import Engine
from backup_platform.actions.query.results import QueryResult


@dataclass(frozen=True, slots=True)
class Side:
    """A query for rows, and how many columns it has."""

    rows: str
    width: int

    def aliased(self, alias: str) -> str:
        """With columns p (true) and c0, c1, …: names that need no quotes, also where two differ in case only."""
        names = ", ".join(["p", *(f"c{i}" for i in range(self.width))])
        return f"(SELECT true, * FROM ({self.rows})) AS {alias}({names})"


class RowComparison:
    """`common` are positions of the columns to compare, as (in a, in b). `key` are positions in `common`, and may be
    empty."""

    def __init__(
        self, engine: Engine, a: Side, b: Side, common: Sequence[tuple[int, int]], key: Sequence[int]
    ) -> None:
        self._engine, self._key = engine, key
        self._from = a.aliased("a"), b.aliased("b")
        types = [[str(t) for t in engine.query(f"FROM {side}").types[1:]] for side in self._from]
        # What has another type now is compared as text: a date that is infinite now, say.
        self._pairs = [
            (f"a.c{i}", f"b.c{j}") if types[0][i] == types[1][j] else (_text(f"a.c{i}"), _text(f"b.c{j}"))
            for i, j in common
        ]

    # With a key

    @property
    def _joined(self) -> str:
        same = " AND ".join(f"{self._pairs[k][0]} = {self._pairs[k][1]}" for k in self._key)
        return f"FROM {self._from[0]} FULL JOIN {self._from[1]} ON {same}"

    def _differs(self, place: int) -> str:
        if place in self._key:
            return "false"
        a, b = self._pairs[place]
        return f"(a.p AND b.p AND {a} IS DISTINCT FROM {b})"

    def counts_by_key(self) -> tuple[int, int, int, list[int]]:
        """Rows added, removed and changed; changes of each common column."""
        differing = [self._differs(place) for place in range(len(self._pairs))]
        counted = ["a.p IS NULL", "b.p IS NULL", " OR ".join(differing), *differing]
        counts = ", ".join(f"count(*) FILTER ({condition})" for condition in counted)
        (row,) = self._all(f"SELECT {counts} {self._joined}")
        added, removed, changed, *columns = row
        return added, removed, changed, columns

    def first_by_key(self, limit: int) -> Iterator[tuple[bool, bool, list[Any], list[Any], list[bool]]]:
        """By key: whether it is in a, whether it is in b, the values in a, the values in b, and which of them
        differ."""
        amount = len(self._pairs)
        differing = [self._differs(place) for place in range(amount)]
        shown = [
            "a.p IS NOT NULL",
            "b.p IS NOT NULL",
            *(a for a, _ in self._pairs),
            *(b for _, b in self._pairs),
        ]
        order = ", ".join(f"coalesce({self._pairs[k][0]}, {self._pairs[k][1]})" for k in self._key)
        sql = (
            f"SELECT {', '.join([*shown, *differing])} {self._joined} "
            f"WHERE a.p IS NULL OR b.p IS NULL OR {' OR '.join(differing)} ORDER BY {order} LIMIT {limit}"
        )
        for in_a, in_b, *rest in self._values(sql):
            flags = [bool(flag) for flag in rest[2 * amount :]]
            yield in_a, in_b, rest[:amount], rest[amount : 2 * amount], flags

    # Without a key: rows as a whole, each as often as it is there

    @property
    def _surplus(self) -> str:
        """Rows with how many more of them b has; negative where a has more."""
        sides = [
            f"SELECT {sign} AS n, {', '.join(f'{pair[side]} AS v{i}' for i, pair in enumerate(self._pairs))} "
            f"FROM {self._from[side]}"
            for side, sign in ((0, -1), (1, 1))
        ]
        values = ", ".join(f"v{i}" for i in range(len(self._pairs)))
        return f"(SELECT sum(n) AS n, {values} FROM ({' UNION ALL '.join(sides)}) GROUP BY {values} HAVING sum(n) <> 0)"

    def counts_of_rows(self) -> tuple[int, int]:
        """Rows added and removed."""
        ((added, removed),) = self._all(
            f"SELECT coalesce(sum(n) FILTER (n > 0), 0), coalesce(-sum(n) FILTER (n < 0), 0) FROM {self._surplus}"
        )
        return int(added), int(removed)

    def first_of_rows(self, limit: int) -> Iterator[tuple[int, list[Any]]]:
        """In order of their values: how many more there are in b, and the values."""
        for n, *values in self._values(
            f"SELECT n::BIGINT, * EXCLUDE n FROM {self._surplus} ORDER BY ALL LIMIT {limit}"
        ):
            yield n, values

    def _all(self, sql: str) -> list[tuple[Any, ...]]:
        with self._engine.translated():
            return self._engine.run(self._engine.query(sql).fetchall)

    def _values(self, sql: str) -> Iterator[list[Any]]:
        for row in QueryResult(self._engine, self._engine.query(sql), "json", "").objects():
            yield list(row.values())


def _text(value: str) -> str:
    return f"CAST({value} AS VARCHAR)"
