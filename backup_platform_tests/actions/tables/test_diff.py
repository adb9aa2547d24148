"""The difference of two tables, against a slow way to compute it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backup_platform.actions.query import engine
from backup_platform.actions.tables.diff import RowChange, RowDifference, TableDifference, diff_table
from backup_platform.errors import NotFoundError
from backup_platform_tests.actions.query.test_query import CountingStore
from backup_platform_tests.actions.tables_support import (
    Relation,
    open_tables,
    rows_table,
    store_tables,
    tables_bench,
)
from backup_platform_tests.support import Bench

SCHEMA = pa.schema([("k", pa.int64()), ("K", pa.string()), ("v", pa.float64()), ("t", pa.string())])
VALUES = st.tuples(
    st.none() | st.sampled_from([0.0, 1.5, float("nan")]), st.none() | st.sampled_from(["", "x", "NULL"])
)
KEYED = st.dictionaries(st.tuples(st.integers(0, 4), st.sampled_from("ab")), VALUES, max_size=10)
BAGS = st.lists(st.tuples(st.integers(0, 1) | st.none(), st.sampled_from("ab"), *[VALUES] * 1), max_size=12)
CUTS = st.lists(st.integers(0, 10), max_size=2)


def cut(rows: Sequence[tuple[Any, ...]], cuts: Sequence[int]) -> list[pa.Table]:
    """The rows in parts."""
    edges = [0, *sorted(min(at, len(rows)) for at in cuts), len(rows)]
    return [
        pa.table({f.name: pa.array([row[i] for row in rows[a:b]], f.type) for i, f in enumerate(SCHEMA)})
        for a, b in pairwise(edges)
    ]


def difference(
    folder: Path, before: Relation, after: Relation, name: str = "t", first: int = 100
) -> TableDifference:
    bench = tables_bench(folder)
    a, b = store_tables(bench, before), store_tables(bench, after)
    return diff_table(open_tables(bench, a), open_tables(bench, b), name, first=first)


def plain(value: Any) -> Any:
    return "NaN" if isinstance(value, float) and value != value else value


def row(key: tuple[Any, ...], values: tuple[Any, ...]) -> dict[str, Any]:
    return dict(zip(SCHEMA.names, map(plain, (*key, *values)), strict=True))


@settings(max_examples=25)
@given(before=KEYED, after=KEYED, cuts=st.tuples(CUTS, CUTS))
def test_by_key(
    tmp_path_factory: pytest.TempPathFactory, before: dict[Any, Any], after: dict[Any, Any], cuts: Any
) -> None:
    expected = []
    for key in sorted(before.keys() | after.keys()):
        old, new = before.get(key), after.get(key)
        if old is None or new is None:
            change: RowChange = "added" if old is None else "removed"
            sides = (None if old is None else row(key, old), None if new is None else row(key, new))
            expected.append(RowDifference(change, *sides))
        elif (a := row(key, old)) != (b := row(key, new)):
            expected.append(RowDifference("changed", a, b, tuple(n for n in a if a[n] != b[n])))
    old_side, new_side = [
        Relation("public", "t", cut([(*k, *v) for k, v in rows.items()], at), ("k", "K"))
        for rows, at in zip((before, after), cuts, strict=True)
    ]
    found = difference(tmp_path_factory.mktemp("diff"), old_side, new_side)
    assert list(found.rows) == expected
    counts = Counter(each.change for each in expected)
    assert (found.added, found.removed, found.changed) == (
        counts["added"],
        counts["removed"],
        counts["changed"],
    )
    assert found.changed_columns == Counter(name for each in expected for name in each.columns)
    assert found.equal is not bool(expected)


@settings(max_examples=20)
@given(before=BAGS, after=BAGS, cuts=st.tuples(CUTS, CUTS))
def test_without_a_key(
    tmp_path_factory: pytest.TempPathFactory, before: list[Any], after: list[Any], cuts: Any
) -> None:
    old, new = ([tuple(map(plain, (k, K, *values))) for k, K, values in rows] for rows in (before, after))
    added, removed = Counter(new) - Counter(old), Counter(old) - Counter(new)
    old_side, new_side = [
        Relation("public", "t", cut([(k, K, *values) for k, K, values in rows], at))
        for rows, at in zip((before, after), cuts, strict=True)
    ]
    found = difference(tmp_path_factory.mktemp("diff"), old_side, new_side)
    assert (found.added, found.removed, found.changed) == (added.total(), removed.total(), 0)
    for change, counted in (("added", added), ("removed", removed)):
        of_kind = [each for each in found.rows if each.change == change]
        told = {tuple((each.after or each.before or {}).values()): each.count for each in of_kind}
        assert told == dict(counted)


def test_columns_that_came_went_and_changed_their_type(tmp_path: Path) -> None:
    before = Relation("s", "t", [rows_table(id=[1, 2], gone=[0, 0], d=[1, 2])], ("id",))
    after = Relation(
        "s", "t", [rows_table(new=[7, 7], d=["1", "infinity"], id=[1, 2])], ("id",), {"d": "date"}
    )
    found = difference(tmp_path, before, after)
    assert (found.columns_added, found.columns_removed) == (("new",), ("gone",))
    assert (found.added, found.removed, found.changed) == (0, 0, 1)
    assert found.rows == (RowDifference("changed", {"d": "2", "id": 2}, {"d": "infinity", "id": 2}, ("d",)),)
    assert not found.equal


def test_another_key_compares_whole_rows(tmp_path: Path) -> None:
    before, after = (Relation("s", "t", [rows_table(a=[1], b=[2])], key) for key in (("a",), ("b",)))
    found = difference(tmp_path, before, after)
    assert (found.key, found.equal) == ((), True)


def test_tables_without_columns_differ_in_their_number_of_rows(tmp_path: Path) -> None:
    def of(rows: int) -> Relation:
        return Relation("s", "t", [pa.table({"x": pa.array([1] * rows, pa.int64())}).select([])])

    assert difference(tmp_path, of(0), of(0)).equal


def test_a_table_that_one_point_lacks(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=r"no table 's\.t'"):
        difference(tmp_path, Relation("s", "u", [rows_table(a=[1])]), Relation("s", "t", [rows_table(a=[1])]))


def test_only_the_first_are_listed_and_all_are_counted(tmp_path: Path) -> None:
    before, after = (Relation("s", "t", [rows_table(id=list(range(n)))], ("id",)) for n in (3, 1003))
    found = difference(tmp_path, before, after, first=2)
    assert found.added == 1000
    assert [each.after for each in found.rows] == [{"id": 3}, {"id": 4}]


def numbers(start: int, amount: int) -> pa.Table:
    ids = np.arange(start, start + amount, dtype="<i8")
    noise = np.random.default_rng(start).integers(0, 1 << 62, amount, dtype="<i8")
    arrays = [
        pa.Array.from_buffers(pa.int64(), amount, [None, pa.py_buffer(c.tobytes())]) for c in (ids, noise)
    ]
    return pa.Table.from_arrays(arrays, names=["id", "v"])


def test_parts_that_are_alike_are_not_read(tmp_path: Path) -> None:
    amount = 300_000
    bench: Bench = tables_bench(tmp_path)
    same = numbers(0, amount)
    a = store_tables(bench, Relation("s", "t", [same, numbers(amount, 10)], ("id",)))
    b = store_tables(bench, Relation("s", "t", [same, numbers(amount, 12)], ("id",)))
    store = CountingStore(bench.store)
    found = diff_table(open_tables(bench, a, store), open_tables(bench, b, store), "t")
    assert found.added == 2
    assert store.fetched < amount


def test_more_rows_than_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine.Engine.__init__, "__kwdefaults__", {"memory": "60MB"})
    amount = 1_500_000
    before = Relation("s", "t", [numbers(0, amount)], ("id",))
    after = Relation("s", "t", [numbers(7, amount)], ("id",))
    found = difference(tmp_path, before, after, first=1)
    assert (found.added, found.removed, found.changed) == (7, 7, amount - 7)
