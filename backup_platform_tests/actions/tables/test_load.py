"""`load_table`: one table in memory, of which only what is asked for is read."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc
import pytest

import backup_platform
from backup_platform.actions.tables.load import load
from backup_platform.app import App
from backup_platform.errors import DamageError, NotFoundError, UsageError
from backup_platform.repository.points.point_reader import SeekableStream
from backup_platform_tests.actions.query.test_query import BIG, CountingStore, big_table
from backup_platform_tests.actions.tables_support import (
    Relation,
    open_tables,
    rows_table,
    ruin,
    store_tables,
    tables_bench,
)
from backup_platform_tests.cli.tables_support import tables_app
from backup_platform_tests.support import Bench

ORDERS = Relation(
    "public", "orders", [rows_table(id=[1, 2], what=["tea", None]), rows_table(id=[3], what=["x"])], ("id",)
)

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return tables_bench(tmp_path / "repository")


@pytest.fixture
def app(bench: Bench) -> App:
    store_tables(bench, ORDERS)
    return tables_app(bench)


def test_a_table(app: App) -> None:
    window = app.points.all("shop")[0].window.key
    for name in ("orders", "public.orders"):
        table = app.tables.load("shop", window, name)
        assert table.to_pydict() == {"id": [1, 2, 3], "what": ["tea", None, "x"]}
    assert app.tables.load("shop", "latest", "orders", columns=["what"]).column_names == ["what"]


@pytest.mark.parametrize("where", [pc.field("id") > 1, [("id", ">", 1)]])
def test_some_rows(app: App, where: object) -> None:
    assert app.tables.load("shop", "latest", "orders", columns=["what"], filter=where).to_pydict() == {
        "what": [None, "x"]
    }


def test_rows_by_columns_that_are_not_wanted(app: App) -> None:
    condition = (pc.field("id") >= 1) & pc.field("what").is_valid()
    for columns, names in ((["id"], ["id"]), (["what", "id"], ["what", "id"]), (None, ["id", "what"])):
        table = app.tables.load("shop", "latest", "orders", columns=columns, filter=condition)
        assert (table.num_rows, table.column_names) == (2, names)
    assert app.tables.load("shop", "latest", "orders", filter=pc.field("id") > 9).num_rows == 0


def test_as_pandas(app: App) -> None:
    frame = app.tables.load("shop", "latest", "orders", as_pandas=True)
    assert list(frame["id"]) == [1, 2, 3]


def test_what_is_not_there(app: App) -> None:
    window = app.points.all("shop")[0].window.key
    with pytest.raises(NotFoundError):
        app.tables.load("shop", window[:-1], "orders")  # the beginning of a window's key is not the window
    with pytest.raises(NotFoundError, match="'nope'"):
        app.tables.load("shop", window, "nope")
    with pytest.raises(UsageError, match="'nope'") as caught:
        app.tables.load("shop", window, "orders", columns=["id", "nope"])
    assert "id, what" in caught.value.hint
    with pytest.raises(UsageError, match="filtered"):
        app.tables.load("shop", window, "orders", filter=[("id", ">", "x")])
    for condition in ([("nope", ">", 1)], pc.field("nope") > 1, "id > 1"):
        with pytest.raises(UsageError, match="filtered"):
            app.tables.load("shop", window, "orders", filter=condition)


def test_only_what_is_asked_for_is_fetched(bench: Bench) -> None:
    point = store_tables(bench, Relation("public", "big", [big_table()], ("id",), row_group=BIG // 4))
    store = CountingStore(bench.store)
    tables = open_tables(bench, point, store)
    size = sum(stored.stored_bytes for stored in tables.sizes())
    store.fetched = 0
    assert load(tables, "big", columns=["b"], where=pc.field("id") < 10).num_rows == 10
    assert 0 < store.fetched < 0.25 * size


def test_damage_is_said_to_be_damage(bench: Bench) -> None:
    tables = open_tables(
        bench, store_tables(bench, Relation("public", "big", [big_table().slice(0, 100_000)]))
    )
    ruin(bench)
    with pytest.raises(DamageError):
        load(tables, "big")


def test_from_the_package(bench: Bench, app: App, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = tmp_path / "backup.yaml"
    plan.write_text(
        json.dumps(
            {
                "repository": {"path": str(bench.root)},
                "sources": {"up": {"files": str(tmp_path), "every": "day"}},
            }
        )
    )
    table = backup_platform.load_table("shop", "latest", "orders", plan=str(plan))
    assert isinstance(table, pa.Table)
    monkeypatch.setenv("BACKUP_PLATFORM_PLAN", str(plan))
    assert backup_platform.load_table("shop", "latest", "orders", columns=["id"]).num_columns == 1
    assert "load_table" in dir(backup_platform)


def test_no_thread_of_arrow_has_the_stored_file(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that lets go of it while the interpreter finishes ends the process with SIGABRT."""
    threads: set[int] = set()

    def read(stream: SeekableStream, buffer: WriteableBuffer) -> int:
        threads.add(threading.get_ident())
        return real(stream, buffer)

    real = SeekableStream.readinto
    monkeypatch.setattr(SeekableStream, "readinto", read)
    tables = open_tables(
        bench, store_tables(bench, Relation("public", "big", [big_table()], row_group=BIG // 4))
    )
    for where in (None, pc.field("id") >= 0):
        assert load(tables, "big", where=where).num_rows == BIG
    assert threads == {threading.get_ident()}


ALONE = """
import os, sys
from pathlib import Path
import numpy, pyarrow.acero, pyarrow.compute, pyarrow.dataset, pyarrow.parquet
from backup_platform_tests.actions.tables_support import tables_bench
from backup_platform_tests.cli.tables_support import tables_app

def name_of(thread):
    try:
        return Path("/proc/self/task", thread, "comm").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return "ended meanwhile"

def named_as_the_process():  # those of Arrow are
    return {each for each in os.listdir("/proc/self/task") if name_of(each) == NAME}

NAME = Path("/proc/self/comm").read_text()
app = tables_app(tables_bench(Path(sys.argv[1])))
before = named_as_the_process()
assert app.tables.load("shop", "latest", "orders").num_rows == 3
assert app.tables.load("shop", "latest", "orders", filter=[("id", ">", 1)]).num_rows == 2
assert named_as_the_process() <= before
assert not {"dagster", "duckdb", "fsspec"} & set(sys.modules)
"""


def test_it_needs_neither_dagster_nor_duckdb_nor_a_thread_of_arrow(bench: Bench, app: App) -> None:
    """Reading the index and the inventory included."""
    subprocess.run([sys.executable, "-c", ALONE, str(bench.root)], check=True)
