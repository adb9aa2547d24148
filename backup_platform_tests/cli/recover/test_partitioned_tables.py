"""A partitioned table is asked by its own name: `query`, `tables`, `diff --table`, `export`, `load_table`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from backup_platform.actions.tables.load import load
from backup_platform.cli import context
from backup_platform.domain.tables import CATALOGUE_PATH, Column, Partitioned, Storage
from backup_platform.errors import UsageError
from backup_platform_tests.actions.tables_support import (
    Relation,
    open_tables,
    rows_table,
    store_tables,
    tables_bench,
    write_tables,
)
from backup_platform_tests.cli.conftest import Cli
from backup_platform_tests.cli.tables_support import tables_app
from backup_platform_tests.support import Bench

ID, AT = Column("id", "bigint", Storage.NATIVE, nullable=False), Column("at", "date", Storage.TEXT)
YEARS = ("public.orders_25", "public.orders_26")
ORDERS = Partitioned("public", "orders", (ID, AT), ("id",), YEARS)
LOGS = Partitioned("public", "logs", (ID,), (), ("public.logs_1",), ("public.logs_2",))
EMPTY = Partitioned("public", "empty", (ID,), (), ())
EVEN = Partitioned("public", "even", (ID,), ("id",), ("public.even_1", "public.even_2"))


def relations(*more: int) -> list[Relation]:
    """`orders` has a partition with its columns in another order, in which one of them is native."""
    return [
        Relation(
            "public",
            "orders_25",
            [rows_table(id=[1, 2], at=["infinity", "2025-05-05"])],
            ("id",),
            {"at": "date"},
        ),
        Relation("public", "orders_26", [rows_table(at=[20260101], id=[3])], ("id",)),
        Relation("public", "even_1", [rows_table(id=[1, 2])], ("id",)),
        Relation("public", "even_2", [rows_table(id=[3, *more])], ("id",)),
        Relation("public", "logs_1", [rows_table(id=[1])]),
    ]


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    """Its second point, a window later, has a row more."""
    made = tables_bench(tmp_path_factory.mktemp("partitioned") / "repository")
    partitioned = (EMPTY, EVEN, LOGS, ORDERS)
    store_tables(made, *relations(), partitioned=partitioned)
    made.clock.advance(hours=1)
    store_tables(made, *relations(4), partitioned=partitioned)
    return made


@pytest.fixture
def run(bench: Bench, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> Cli:
    monkeypatch.setattr(context, "app_factory", lambda plan: tables_app(bench))
    return cli


def test_its_rows_are_those_of_its_partitions(run: Cli) -> None:
    rows = run("query", "shop@latest", "FROM orders ORDER BY id", "--json").document["rows"]
    assert [tuple(row.items()) for row in rows] == [
        (("id", 1), ("at", "infinity")),
        (("id", 2), ("at", "2025-05-05")),
        (("id", 3), ("at", "20260101")),
    ]
    counted = "SELECT (SELECT count(*) FROM public.even) AS even, count(*) AS none FROM empty"
    assert run("query", "shop@latest", counted, "--json").document["rows"] == [{"even": 4, "none": 0}]


def test_one_that_is_stored_in_part_is_not_offered_as_a_whole(run: Cli) -> None:
    ran = run("query", "shop@latest", "FROM logs")
    assert ran.code == 2
    told = "public.logs can only be read by its partitions, and public.logs_2 is not stored."
    assert told in ran.err
    assert told in run("tables", "shop@latest").out
    assert run("query", "shop@latest", "FROM logs_1").code == 0


def test_the_listing_says_that_it_is_partitioned(run: Cli) -> None:
    lines = [line.split() for line in run("tables", "shop@latest").out.splitlines()]
    assert ["public.orders", "(2", "partitions)", "3"] in [line[:4] for line in lines]
    listed = run("tables", "shop@latest", "orders", "--json").document["tables"]
    assert [(each["partitions"], each["rows"], each["key"]) for each in listed] == [(2, 3, ["id"])]
    plain = run("tables", "shop@latest", "orders_25", "--json").document["tables"]
    assert [each["partitions"] for each in plain] == [None]


def test_its_differences(run: Cli, bench: Bench) -> None:
    before, after = (point.id for point in bench.open().points.all("shop"))
    found = run("diff", before, after, "--table", "even", "--json").document
    assert (found["key"], found["added"], found["removed"], found["changed"]) == (["id"], 1, 0, 0)
    assert [row["after"] for row in found["rows"]] == [{"id": 4}]
    same = run("diff", before, after, "--table", "orders", "--json").document
    assert (same["added"], same["removed"], same["changed"]) == (0, 0, 0)


def test_its_partitions_are_exported(run: Cli, tmp_path: Path) -> None:
    assert run("export", "shop@latest", "--to", str(tmp_path / "out"), "--table", "even").code == 0
    written = {path.name for path in (tmp_path / "out").rglob("*.parquet")}
    assert written == {"even_1.parquet", "even_2.parquet"}
    catalogue = json.loads((tmp_path / "out" / "catalogue.json").read_text())
    assert [each["name"] for each in catalogue["partitioned"]] == ["empty", "even"]
    run("export", "shop@latest", "--to", str(tmp_path / "all"))
    assert len(list((tmp_path / "all").rglob("*.parquet"))) == 5


def test_it_is_loaded_unless_a_column_has_two_forms(bench: Bench) -> None:
    tables = open_tables(bench, list(bench.open().points.all("shop"))[-1])
    assert load(tables, "even").to_pydict() == {"id": [1, 2, 3, 4]}
    assert load(tables, "orders", columns=["id"], where=[("id", ">", 1)]).to_pydict() == {"id": [2, 3]}
    assert load(tables, "empty").num_rows == 0
    with pytest.raises(UsageError, match="'at' is text in some of its partitions only"):
        load(tables, "orders")


def test_a_point_from_before_partitioned_tables_were_recorded(tmp_path: Path) -> None:
    bench = tables_bench(tmp_path / "repository")
    write_tables(bench.source, *relations())
    document = json.loads(bench.source.files[CATALOGUE_PATH])
    del document["partitioned"]
    bench.source.write(CATALOGUE_PATH, json.dumps(document).encode())
    tables = open_tables(bench, bench.backup())
    assert tables.catalogue.partitioned == ()
    assert load(tables, "even_2").num_rows == 1
