"""Tables of a recovery point in Dagster: as metadata, and as the input of an asset downstream."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from backup_platform.actions.tables.point_tables import SizedTable
from backup_platform.domain.ports import Source
from backup_platform.domain.tables import Column, Storage, Table
from backup_platform.kinds.kind import Purpose
from backup_platform.orchestration.metadata.tables import MAX_TABLES, tables_metadata
from backup_platform.services.sources import PlannedSources
from backup_platform_tests.actions.tables_support import Relation, rows_table, write_tables
from backup_platform_tests.orchestration import conftest
from backup_platform_tests.orchestration.conftest import FaultyApp, World
from backup_platform_tests.support import ManualClock, ScriptedSource

DOCUMENT = Path(__file__).resolve().parents[3] / "docs/query.md"
ORDERS = Relation(
    "public",
    "orders",
    [rows_table(id=[1, 2, 3], price=[10.0, 20.0, 5.5], paid=[True, False, True], doc=["{}"] * 3)],
    ("id",),
    {"doc": "jsonb"},
)


@dataclass(frozen=True)
class TablesSources(PlannedSources):
    """The sources of the plan, of which `shop` is a scripted one."""

    scripted: ScriptedSource

    def build(self, name: str, purpose: Purpose = "capture") -> Source:
        return self.scripted if name == "shop" else super().build(name, purpose)


class TablesApp(FaultyApp):
    """The app, whose source `shop` is captured as tables without a server."""

    scripted: ScriptedSource

    @cached_property
    def sources(self) -> PlannedSources:
        return TablesSources(self.plan, self.clock, self.scripted)


@pytest.fixture
def world(unloaded: World, monkeypatch: pytest.MonkeyPatch) -> World:
    since = unloaded.plan["sources"]["shop"]["since"]
    url = "postgresql://nobody@127.0.0.1/nothing"
    unloaded.plan["sources"]["shop"] = {"postgres": url, "every": "day", "since": since, "drill": "never"}
    source = ScriptedSource(ManualClock(unloaded.clock.time), "shop", "postgres")
    write_tables(source, ORDERS, Relation("log", "lines", [rows_table(line=["a", "b"])]))
    monkeypatch.setattr(TablesApp, "scripted", source, raising=False)
    monkeypatch.setattr(conftest, "FaultyApp", TablesApp)
    return unloaded.load()


def metadata_of(world: World, source: str) -> dict[str, Any]:
    [event] = world.launch(source).asset_materializations_for_node(f"backups__{source}")
    return dict(event.metadata)


def test_a_materialisation_shows_its_tables(world: World) -> None:
    metadata = metadata_of(world, "shop")
    assert (metadata["table_count"].value, metadata["rows"].value) == (2, 5)
    table = metadata["tables"]
    assert isinstance(table, dg.TableMetadataValue)
    assert [column.name for column in table.schema.columns] == [
        "schema",
        "table",
        "rows",
        "bytes",
        "stored_bytes",
    ]
    assert [(r.data["schema"], r.data["table"], r.data["rows"]) for r in table.records] == [
        ("log", "lines", 2),
        ("public", "orders", 3),
    ]
    assert all(record.data["stored_bytes"] for record in table.records)
    columns = {column.name: column for column in metadata["columns/public.orders"].value.columns}
    assert list(columns) == ["id", "price", "paid", "doc"]
    assert (columns["doc"].type, columns["doc"].description) == ("jsonb", "stored as text")
    assert not columns["id"].constraints.nullable
    assert (columns["id"].constraints.unique, columns["id"].constraints.other) == (True, ["primary key"])


def test_sources_without_tables_show_none(world: World) -> None:
    assert not {"tables", "table_count", "rows"} & set(metadata_of(world, "uploads"))


def made(number: int, columns: int = 3) -> SizedTable:
    names = tuple(Column(f"c{n}", "text", Storage.NATIVE) for n in range(columns))
    return SizedTable(Table("s", f"t{number:04}", names, (), 10, ()), 100, number)


def test_of_many_tables_the_largest_are_shown_and_all_are_counted() -> None:
    metadata = tables_metadata([made(number) for number in range(2000)])
    table = metadata["tables"]
    assert isinstance(table, dg.TableMetadataValue)
    names = [record.data["table"] for record in table.records]
    assert names == [f"t{number:04}" for number in range(2000 - MAX_TABLES, 2000)]
    assert (metadata["table_count"].value, metadata["rows"].value) == (2000, 20_000)
    assert sum(name.startswith("columns/") for name in metadata) == 25


def test_many_columns_are_not_shown() -> None:
    metadata = tables_metadata([made(1), made(2, columns=400), made(3, columns=90), made(4, columns=0)])
    assert [name for name in metadata if name.startswith("columns/")] == [
        "columns/s.t0003",
        "columns/s.t0002",
        "columns/s.t0001",
    ]
    assert not [n for n in tables_metadata([made(1, columns=1600)]) if n.startswith("columns/")]


def test_an_asset_downstream_reads_the_recovery_point_of_its_window(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The example of the documentation, as it is written there."""
    [code] = re.findall(r"```python\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)
    monkeypatch.setenv("BACKUP_PLATFORM_PLAN", str(world.root / "backup.yaml"))
    written: dict[str, Any] = {}
    exec(compile(code, str(DOCUMENT), "exec", dont_inherit=True), written)
    revenue = written["revenue"]
    assert world.launch("shop").success
    definitions = dg.Definitions.merge(world.definitions, dg.Definitions([revenue]))
    definitions.resolve_asset_graph()
    run = dg.materialize([revenue], instance=world.instance, partition_key=world.window)
    assert run.success
    [event] = run.asset_materializations_for_node("revenue")
    assert event.metadata["revenue"].value == 15.5
    key = world.translator.asset_key("shop")
    assert definitions.resolve_asset_graph().get(revenue.key).parent_keys == {key}
    earlier = f"{world.clock.time - conftest.DAY:%Y-%m-%d}"
    run = dg.materialize([revenue], instance=world.instance, partition_key=earlier, raise_on_error=False)
    assert "There is no recovery point" in str(world.failure(run).error.cause or world.failure(run).error)
