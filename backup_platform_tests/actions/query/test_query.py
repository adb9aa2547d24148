"""SQL over recovery points: right answers, few bytes read, and no way out of DuckDB."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pytest

from backup_platform.actions.query.engine import Engine
from backup_platform.actions.query.run import query
from backup_platform.actions.tables.point_tables import PointTables
from backup_platform.domain.ports import Buffer, Store, StoredObject
from backup_platform.errors import DamageError, NotFoundError, StoreError, UsageError
from backup_platform_tests.actions.tables_support import (
    Relation,
    open_tables,
    rows_table,
    ruin,
    store_tables,
    tables_bench,
)
from backup_platform_tests.support import Bench, Do, ScriptedStore

BIG = 1_000_000
ODD = "we\"ird 'name'"


class CountingStore:
    """A store that adds up the bytes of packs that were fetched."""

    def __init__(self, inner: Store) -> None:
        self._inner = inner
        self.fetched = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def get_range(self, key: str, start: int, length: int) -> Buffer:
        self.fetched += length if key.startswith("packs/") else 0
        return self._inner.get_range(key, start, length)

    def list(self, prefix: str) -> Iterator[StoredObject]:
        return self._inner.list(prefix)


def big_table() -> pa.Table:
    """Columns that do not compress, so that bytes in the store are bytes of the table."""
    noise = np.random.default_rng(1).integers(0, 1 << 62, (3, BIG), dtype="<i8")
    columns = {"id": np.arange(BIG, dtype="<i8"), "a": noise[0], "b": noise[1], "c": noise[2]}
    arrays = [
        pa.Array.from_buffers(pa.int64(), BIG, [None, pa.py_buffer(c.tobytes())]) for c in columns.values()
    ]
    return pa.Table.from_arrays(arrays, names=list(columns))


RELATIONS = (
    Relation(
        "public",
        "orders",
        [rows_table(id=[1, 2], what=["tea", None]), rows_table(id=[3], what=["café\0"])],
        ("id",),
    ),
    Relation("public", "same", [rows_table(x=[1])]),
    Relation("other", "same", [rows_table(x=[2])]),
    Relation("other", ODD, [rows_table(**{ODD: [7], "select": [8]})]),
    Relation("Public", "Orders", [rows_table(x=[5])]),
    Relation("temp", "kept", [rows_table(x=[6])]),
    Relation("pg_catalog", "pg_ext", [rows_table(x=[9])]),
    Relation(
        "public", "typed", [rows_table(n=["1.50"], j=['{"a": 1}'])], types={"n": "numeric", "j": "jsonb"}
    ),
    Relation("public", "empty", [rows_table(x=pa.array([], pa.int64()))]),
    Relation("public", "Twice", [pa.table([pa.array([1]), pa.array([2])], names=["id", "Id"])]),
    Relation("public", "big", [big_table()], ("id",), row_group=BIG // 4),
)


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    made = tables_bench(tmp_path_factory.mktemp("query"))
    store_tables(made, *RELATIONS)
    return made


@pytest.fixture(scope="module")
def tables(bench: Bench) -> PointTables:
    return opened(bench)


def opened(bench: Bench, store: Any = None) -> PointTables:
    (point,) = bench.open().points.all()
    return open_tables(bench, point, store)


def rows(tables: PointTables, sql: str) -> list[tuple[Any, ...]]:
    with query(tables, sql) as result:
        return [tuple(row.values()) for batch in result.batches() for row in batch.to_pylist()]


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("select * from public.orders order by id", [(1, "tea"), (2, None), (3, "café\0")]),
        ("select count(*) from orders_1 union all select 0 where false", None),
        ("from public.same", [(1,)]),
        ("from other.same", [(2,)]),
        ('select "we""ird \'name\'", "select" from "we""ird \'name\'"', [(7, 8)]),
        ('from "Public_1".orders', [(5,)]),
        ("from temp_1.kept", [(6,)]),
        ("from kept", [(6,)]),
        ("from pg_catalog_1.pg_ext", [(9,)]),
        ("select n::decimal(5,2) + 1 > 2, typeof(n), j->>'a' from typed", [(True, "VARCHAR", "1")]),
        ("from empty", []),
        ('select id, id_1 from "Twice"', [(1, 2)]),
        ("with q as (from big where id < 3) select sum(id) from q", [(3,)]),
        ("select count(*) from big join public.orders using (id)", [(3,)]),
    ],
)
def test_answers(tables: PointTables, sql: str, expected: list[tuple[Any, ...]] | None) -> None:
    if expected is None:
        with pytest.raises(UsageError, match="orders_1"):
            rows(tables, sql)
    else:
        assert rows(tables, sql) == expected


def test_a_bare_name_that_two_schemas_have_is_refused(tables: PointTables) -> None:
    for sql in ("from same", "from orders"):
        with pytest.raises(UsageError, match="does not exist") as caught:
            rows(tables, sql)
        assert "public.same" in caught.value.hint


@pytest.mark.parametrize(
    ("sql", "known"),
    [
        ('from "ORDERS"', '"orders"'),
        ('select * from public."Typed" join orders on true', '"typed"'),
        ('select * from orders join "public"."TYPED" on true', '"typed"'),
    ],
)
def test_a_quoted_name_in_another_case_is_not_that_table(tables: PointTables, sql: str, known: str) -> None:
    with pytest.raises(UsageError, match="No table has the name") as caught:
        rows(tables, sql)
    assert known in caught.value.hint


def test_quotes_elsewhere_are_no_names_of_tables(tables: PointTables) -> None:
    assert rows(tables, 'select "ID" as "Orders" from public.orders where id = 3') == [(3,)]
    assert rows(tables, 'with "ORDERS" as (select 7 as x) select x from "ORDERS"') == [(7,)]
    text = 'from "ORDERS"'
    assert rows(tables, f"select '{text}' from public.orders where id = 3") == [(text,)]


def test_only_what_a_query_needs_is_fetched(bench: Bench) -> None:
    """Shares of the table's bytes: the end of the file; a column; the row group that has the key."""
    size = sum(stored.stored_bytes for stored in opened(bench).sizes([opened(bench).find("big")]))
    assert size > 8 * BIG * 3
    limits = {
        "select count(*) from big": 0.08,
        "select sum(a) from big": 0.5,
        f"select * from big where id = {BIG // 2 + 7}": 0.35,
        "select b from big where id between 100 and 200": 0.25,
        "from big": 1.2,
    }
    for sql, limit in limits.items():
        store = CountingStore(bench.store)
        tables = opened(bench, store)
        before = store.fetched
        assert rows(tables, sql)
        assert store.fetched - before < limit * size, (
            sql
        )  # the end of the file may have come with the catalogue
    assert store.fetched - before > 0.9 * size


ESCAPES = [
    "select * from read_csv('/etc/passwd')",
    "select * from read_text('/etc/passwd')",
    "select * from '/etc/passwd'",
    "select * from read_parquet('https://example.org/x.parquet')",
    "select * from glob('/*')",
    "select * from RELATIONS",
    "select * from tables",
    "select * from sql_auto_complete('x')",
]


@pytest.mark.parametrize("sql", ESCAPES)
def test_a_query_reaches_nothing_outside(tables: PointTables, sql: str) -> None:
    with pytest.raises(UsageError, match=r"disabled|does not exist|not in the catalog"):
        rows(tables, sql)


STATEMENTS = [
    "copy (select 1) to '{0}/out.csv'",
    "attach '{0}/out.db'",
    "export database '{0}/out'",
    "install httpfs",
    "load '{0}/x.duckdb_extension'",
    "set memory_limit = '10GB'",
    "set enable_external_access = true",
    "create persistent secret s (type s3)",
    "pragma enable_profiling = 'json'",
    "call enable_logging(storage = 'file', storage_path = '{0}/log')",
]


@pytest.mark.parametrize("sql", STATEMENTS)
def test_neither_the_check_of_statements_nor_duckdb_lets_one_write(
    tables: PointTables, tmp_path: Path, sql: str
) -> None:
    sql = sql.format(tmp_path)
    for text in (sql, f"select 1; {sql}"):
        with pytest.raises(UsageError, match="not one query"):
            rows(tables, text)
    with Engine() as engine, pytest.raises(duckdb.Error, match=r"disabled|locked"):
        engine._connection.execute(sql)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("sql", ["selec", "", "-- nothing", "select 1; select 2", "drop table orders"])
def test_what_is_no_query_is_refused(tables: PointTables, sql: str) -> None:
    with pytest.raises(UsageError) as caught:
        rows(tables, sql)
    assert caught.value.hint


def test_an_error_while_rows_are_read_is_an_error_of_usage(tables: PointTables) -> None:
    with pytest.raises(UsageError, match="Could not convert"):
        rows(tables, "select what::int from public.orders where id = 1")


def test_memory_is_bounded_and_more_is_spilled(tmp_path: Path) -> None:
    with Engine(memory="150MB") as engine:
        spill = Path(engine._spill.name)
        sql = "select repeat('x', 150) || i s from range(2000000) t(i) order by hash(i)"
        reader = engine.query(sql).to_arrow_reader(1000)
        assert len(reader.read_next_batch()) == 1000
        assert list(spill.iterdir())
        reader.close()
        with pytest.raises(UsageError, match="emory") as caught, engine.translated():
            engine.query("select list(repeat('x', 1000) || i) from range(1000000) t(i)").fetchall()
        assert "fewer" in caught.value.hint
    assert not spill.exists()


def test_damage_is_the_repositorys_and_not_the_querys(bench: Bench, tmp_path: Path) -> None:
    damaged = tables_bench(tmp_path)
    point = store_tables(damaged, RELATIONS[-1])
    tables = open_tables(damaged, point)
    ruin(damaged)
    with pytest.raises(DamageError):
        rows(tables, "select sum(a) from big")


def test_a_store_that_fails_is_the_stores_failure(bench: Bench) -> None:
    broken = False
    store = ScriptedStore(bench.store, lambda call: Do.FAIL if broken and call.verb == "get_range" else None)
    tables = opened(bench, store)
    broken = True
    with pytest.raises(StoreError):
        rows(tables, "select sum(a) from big")


def test_values_as_text(tables: PointTables) -> None:
    sql = r"""select true b, 1::hugeint h, 1.50::decimal(4,2) d, '\xAA\x00'::blob x,
        timestamp '2026-11-22 01:02:03.5' t, timestamptz '2026-11-22 01:00+02' z, date '0044-03-15 (BC)' y,
        'infinity'::timestamp i, [1, null] l, null n, interval '1 day' v, 1 b"""
    with query(tables, sql, form="text") as result:
        assert [column.name for column in result.columns] == [*"bhdxtzyilnv", "b_1"]
        (row,) = [row for batch in result.batches() for row in batch.to_pylist()]
    assert {k: str(v) for k, v in row.items()} == {
        "b": "True",
        "h": "1",
        "d": "1.50",
        "x": "\\xaa00",
        "t": "2026-11-22 01:02:03.5",
        "z": "2026-11-21 23:00:00+00",
        "y": "0044-03-15 (BC)",
        "i": "infinity",
        "l": "[1, NULL]",
        "n": "None",
        "v": "1 day",
        "b_1": "1",
    }


def test_values_as_json(tables: PointTables) -> None:
    sql = r"""select 1::hugeint h, 1.50::decimal(4,2) d, [1, null] l, {'a': date '2026-11-22'} s, 'nan'::double n,
        '-inf'::float f, 0.5 p, '\xFF'::blob x"""
    with query(tables, sql, form="json") as result:
        (row,) = result.objects()
    assert row == {
        "h": 1,
        "d": "1.50",
        "l": [1, None],
        "s": {"a": "2026-11-22"},
        "n": "NaN",
        "f": "-Infinity",
        "p": "0.5",
        "x": "\\xff",
    }


def test_a_point_without_tables_says_which_sources_have_some(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.source.write(b"catalogue.json", b'{"mine": true}')
    reader = bench.open().reader(bench.backup())
    with pytest.raises(UsageError, match="no tables") as caught:
        PointTables(reader, elsewhere=["shop"])
    assert "shop" in caught.value.hint


def test_a_catalogue_of_another_time_is_not_called_absent(tmp_path: Path) -> None:
    bench = tables_bench(tmp_path)
    bench.source.write(b"catalogue.json", b'{"version": 99}')
    with pytest.raises(UsageError, match="version 99"):
        PointTables(bench.open().reader(bench.backup()))


def test_finding_a_table(tables: PointTables) -> None:
    assert tables.find("big").label == tables.find("public.big").label == "public.big"
    with pytest.raises(UsageError, match=r"2 tables: other\.same, public\.same"):
        tables.find("same")
    with pytest.raises(NotFoundError, match="'bog'") as caught:
        tables.find("bog")
    assert "public.big" in caught.value.hint


def test_sizes(tables: PointTables) -> None:
    (big,) = tables.sizes([tables.find("big")])
    assert big.bytes > 4 * 8 * BIG > big.stored_bytes > 3 * 8 * BIG * 0.9
