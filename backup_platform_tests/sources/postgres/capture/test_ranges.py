"""Every row is in exactly one piece of its relation."""

from __future__ import annotations

from itertools import pairwise

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from backup_platform.sources.postgres.capture import ranges
from backup_platform.sources.postgres.capture.ranges import (
    in_key_order,
    key_conditions,
    page_conditions,
    piece_count,
    pieces,
    quantiles,
    round_bounds,
)
from backup_platform.sources.postgres.catalog.relation import Relation, RelationColumn
from backup_platform_tests.sources.postgres.capture.reading_support import (
    read,
    read_one,
    relation_of,
    snapshot,
)

MIB = 1 << 20


def relation(size: int, correlation: float | None = None, key: tuple[str, ...] = ("id",)) -> Relation:
    column = RelationColumn("id", "integer", 23, -1, True)
    return Relation(1, "public", "t", (column,), key, size // 8192, -1.0, size, correlation)


def test_the_key_gives_the_order_where_that_is_cheap() -> None:
    assert in_key_order(relation(MIB))
    assert in_key_order(relation(500 * MIB, -0.99))
    assert not in_key_order(relation(500 * MIB, 0.5))
    assert not in_key_order(relation(500 * MIB, None))
    assert not in_key_order(relation(MIB, 1.0, ()))


@given(st.integers(0, 1 << 45))
def test_pieces_are_neither_small_nor_very_large(size: int) -> None:
    count = piece_count(size)
    assert count == 1 if size <= ranges.SMALL else size / count >= ranges.SMALL / ranges.PIECES
    assert size / count <= ranges.LARGEST_PIECE
    assert piece_count(size + size // 100) in (count, 2 * count, ranges.PIECES)


@given(st.lists(st.integers(-(2**63), 2**63 - 1), unique=True, min_size=2).map(sorted), st.integers(2, 20))
def test_bounds_ascend_strictly(bounds: list[int], count: int) -> None:
    chosen = [int(bound) for bound in quantiles([str(bound) for bound in bounds], count)]
    assert len(chosen) < count
    assert chosen == sorted(set(chosen))
    if chosen:
        rounded = round_bounds(chosen)
        assert rounded == sorted(set(rounded))
        assert rounded[0] >= -(2**63)


def test_new_statistics_mostly_give_the_same_bounds() -> None:
    first = round_bounds([n * 10_000 for n in range(1, 8)])
    second = round_bounds([n * 10_000 + 150 for n in range(1, 8)])
    assert len(set(first) & set(second)) >= 6


@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(keys=st.sets(st.integers(-50, 50)), bounds=st.sets(st.integers(-60, 60)).map(sorted))
def test_ranges_of_keys_hold_every_row_once(database18: str, keys: set[int], bounds: list[int]) -> None:
    column = RelationColumn('odd " name', "integer", 23, -1, True)
    with psycopg.connect(database18, autocommit=True) as connection:
        connection.execute('CREATE TEMP TABLE t ("odd "" name" int PRIMARY KEY)')
        connection.cursor().executemany("INSERT INTO t VALUES (%s)", [(key,) for key in keys])
        found = []
        for condition in key_conditions(column, [str(bound) for bound in bounds]):
            where = f" WHERE {condition}" if condition else ""
            found += [
                row[0]
                for row in connection.execute(f"TABLE t{''}" if not where else f"SELECT * FROM t{where}")
            ]
        assert sorted(found) == sorted(keys)


@given(st.integers(0, 1 << 32), st.integers(1, 300))
def test_ranges_of_pages_are_few_and_join(pages: int, count: int) -> None:
    conditions = page_conditions(pages, min(count, max(1, pages)))
    assert len(conditions) <= 4 * count
    for earlier, later in pairwise(conditions):
        assert earlier.rsplit("< ", 1)[1] == later.split(" AND ")[0].removeprefix("ctid >= ")
    assert ">=" not in conditions[0]
    assert "< '" not in conditions[-1] or len(conditions) == 1


@pytest.fixture
def _small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ranges, "SMALL", 32 << 10)


KINDS = {
    "int": "g",
    "bigint": "g * 4611686018427",
    "smallint": "(g - 3000)::smallint",
    "text": "'k''\\ä' || lpad(g::text, 6, '0')",
    "char(12)": "lpad(g::text, 8, '0')",
    "uuid": "('00000000-0000-0000-0000-' || lpad(g::text, 12, '0'))::uuid",
    "date": "date '0044-01-01 BC' + g",
    "timestamptz": "timestamptz '2020-01-01' + g * interval '1 minute'",
    "numeric(12,3)": "g + 0.125",
    "float8": "g",
}


@pytest.mark.usefixtures("_small_pieces")
@pytest.mark.parametrize("kind", KINDS)
def test_tables_are_split_by_their_key(database: str, kind: str) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(
            f"CREATE TABLE t (k {kind} PRIMARY KEY, v int);"
            f"INSERT INTO t SELECT {KINDS[kind]}, g FROM generate_series(1, 6000) g; ANALYZE t;"
        )
        described = relation_of(connection, "t")
    table, stored = read_one(database, described)
    assert len(table.parts) > (0 if kind == "float8" else 3)
    assert stored.column("v").to_pylist() == list(range(1, 6001))
    assert table.rows == 6000


@pytest.mark.usefixtures("_small_pieces")
def test_tables_without_a_key_are_split_by_pages(database: str) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("CREATE TABLE t AS SELECT g AS v FROM generate_series(1, 20000) g; ANALYZE t")
        described = relation_of(connection, "t")
        connection.execute("INSERT INTO t SELECT g FROM generate_series(20001, 60000) g")
        table, stored = read_one(database, described)
    assert len(table.parts) > 3
    assert stored.column("v").to_pylist() == list(range(1, 60001))


@pytest.mark.usefixtures("_small_pieces")
def test_a_key_whose_statistics_are_missing_gives_one_piece(database18: str) -> None:
    with psycopg.connect(database18, autocommit=True) as connection:
        connection.execute(
            "CREATE TABLE t (k int PRIMARY KEY); INSERT INTO t SELECT generate_series(1, 9000)"
        )
        described = relation_of(connection, "t", correlation=1.0)
    with snapshot(database18) as open_one, open_one() as other:
        assert pieces(described, other) == ("",)
    assert [table.rows for table, _ in read(database18, described)] == [9000]
