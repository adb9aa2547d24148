from __future__ import annotations

from datetime import timedelta

import dagster as dg
import pytest

from backup_platform.errors import PlanError
from backup_platform.orchestration.build import build_definitions
from backup_platform.orchestration.translator import BackupTranslator
from backup_platform_tests.orchestration.conftest import World


def test_each_source_is_an_asset_and_what_it_protects_is_upstream(world: World) -> None:
    graph = world.repository.asset_graph
    backup, source = dg.AssetKey(["backups", "shop"]), dg.AssetKey(["sources", "sqlite", "shop"])
    assert graph.get(backup).parent_keys == {source}
    assert graph.get(backup).is_materializable
    assert not graph.get(source).is_materializable
    assert len(graph.get_all_asset_keys()) == 4


def test_what_the_plan_says_of_a_source_is_shown(unloaded: World) -> None:
    unloaded.plan["sources"]["shop"].update(
        owners=["team:shop", "ann@example.com"], tags={"tier": "1"}, description="Orders and customers."
    )
    world = unloaded.load()
    node = world.repository.asset_graph.get(dg.AssetKey(["backups", "shop"]))
    assert node.group_name == "backups"
    assert node.kinds == {"sqlite", "backup"}
    assert list(node.owners) == ["team:shop", "ann@example.com"]
    assert node.tags["tier"] == "1"
    assert (node.description or "").startswith("Orders and customers.")
    assert "every day at 02:15 (UTC)" in (node.description or "")


@pytest.mark.parametrize(
    ("drill", "said"),
    [("window", "each recovery point"), ("weekly", "once a week"), ("never", "Drill: never.")],
)
def test_what_is_drilled_is_told_in_words(unloaded: World, drill: str, said: str) -> None:
    unloaded.plan["sources"]["shop"]["drill"] = drill
    world = unloaded.load()
    assert said in (world.translator.asset_spec("shop").description or "")


@pytest.mark.parametrize("wrong", [{"owners": ["the ops people"]}, {"tags": {"a b": "c"}}])
def test_what_dagster_refuses_is_an_error_of_the_plan(unloaded: World, wrong: dict[str, object]) -> None:
    unloaded.plan["sources"]["shop"].update(wrong)
    with pytest.raises(PlanError, match="shop"):
        unloaded.load()


def partition_keys(world: World, source: str) -> list[str]:
    return list(world.translator.partitions(source).get_partition_keys(current_time=world.clock.time))


def window_keys(world: World, source: str) -> list[str]:
    """Of all windows that have started, the one that starts now included."""
    schedule = world.app.windows.schedule(source)
    now = world.clock.time + timedelta(microseconds=1)
    return [window.key for window in schedule.windows(schedule.first.start, now)]


def test_partitions_are_the_windows_and_the_open_one_is_visible(world: World) -> None:
    keys = partition_keys(world, "uploads")
    assert keys == window_keys(world, "uploads")
    assert keys[-1] == world.window


@pytest.mark.parametrize("zone", ["Europe/Berlin", "America/St_Johns", "UTC"])
@pytest.mark.parametrize("every", ["15min", "hour", "6h", "day", "week", "month"])
def test_partitions_equal_windows_over_a_year_of_clock_changes(
    unloaded: World, every: str, zone: str
) -> None:
    first = unloaded.clock.time - timedelta(days=400)
    if every == "hour" and zone == "America/St_Johns":
        first = unloaded.clock.time - timedelta(days=40)
    source = {"files": "/srv", "every": every, "timezone": zone, "since": f"{first:%Y-%m-%d}"}
    unloaded.plan["sources"] = {"tree": source}
    world = unloaded.load()
    keys = partition_keys(world, "tree")
    assert keys == window_keys(world, "tree")
    assert len(set(keys)) == len(keys)


def test_the_windows_of_a_cron_are_partitions_too(unloaded: World) -> None:
    unloaded.plan["sources"]["uploads"].pop("every")
    unloaded.plan["sources"]["uploads"]["cron"] = "15 2,14 * * *"
    world = unloaded.load()
    assert partition_keys(world, "uploads") == window_keys(world, "uploads")


def specs(world: World, source: str = "uploads") -> dict[str, dg.AssetCheckSpec]:
    return {spec.name: spec for spec in world.translator.check_specs(source)}


def test_a_source_has_the_checks_of_its_kind(world: World) -> None:
    assert set(specs(world)) == {"stored", "complete", "authentic", "plausible", "drill"}
    assert set(specs(world, "shop")) == {*specs(world), "schema_unchanged"}
    assert all("If it is red: " in (spec.description or "") for spec in specs(world, "shop").values())


def test_what_to_do_when_a_check_is_red_is_a_command_for_this_plan(world: World) -> None:
    plan = world.root / "backup.yaml"
    assert f"`backup-platform --plan {plan} repair --dry-run`" in (specs(world)["stored"].description or "")


def test_the_page_of_an_asset_says_how_to_restore(unloaded: World) -> None:
    plan = unloaded.plan
    plan["repositories"] = {
        "main": plan.pop("repository"),
        "offsite": {"path": str(unloaded.root / "offsite")},
    }
    plan["sources"]["uploads"]["repositories"] = ["main", "offsite"]
    world = unloaded.load()
    said = f"`backup-platform --plan {world.root / 'backup.yaml'}"
    assert f"{said} restore uploads@latest --to DIRECTORY`" in (
        world.translator.asset_spec("uploads").description or ""
    )
    copy = world.translator.copy_spec("offsite", "uploads").description or ""
    assert f"{said} --repository offsite restore uploads@latest --to DIRECTORY`" in copy


def test_the_assets_of_a_plan_are_one_group(world: World) -> None:
    graph = world.repository.asset_graph
    assert {graph.get(key).group_name for key in graph.get_all_asset_keys()} == {"backups"}


def test_errors_block_and_warnings_do_not(world: World) -> None:
    assert {name for name, spec in specs(world, "shop").items() if not spec.blocking} == {"schema_unchanged"}


def test_checks_are_partitioned_like_the_asset_up_to_two_thousand_windows(unloaded: World) -> None:
    def partitioned(days: int) -> bool:
        since = unloaded.clock.time - timedelta(days=days)
        unloaded.plan["sources"]["uploads"]["since"] = f"{since:%Y-%m-%d}"
        world = unloaded.load()
        definitions = {spec.partitions_def for spec in specs(world).values()}
        assert definitions in ({None}, {world.translator.partitions("uploads")})
        return definitions != {None}

    assert partitioned(1_999)
    assert not partitioned(2_000)


def test_a_source_whose_first_window_is_to_come_can_be_loaded(unloaded: World) -> None:
    unloaded.plan["sources"]["uploads"]["since"] = f"{unloaded.clock.time + timedelta(days=900):%Y-%m-%d}"
    world = unloaded.load()
    assert world.translator.partitions("uploads").get_partition_keys() == []
    assert specs(world)["stored"].partitions_def is not None


def several(world: World) -> World:
    """Two repositories that are looked after, and a source that is copied."""
    care = {"prune": {"every": "day"}, "verify": {"cycle": "7d"}}
    world.plan["repositories"] = {
        "main": world.plan.pop("repository") | care,
        "offsite": {"path": "/offsite"} | care,
    }
    world.plan["sources"]["shop"]["repositories"] = ["main", "offsite"]
    return world.load()


def test_copies_and_upkeep_are_named_after_their_repositories(unloaded: World) -> None:
    world = several(unloaded)
    names = {key.to_user_string() for key in world.repository.asset_graph.materializable_asset_keys}
    assert names == {
        "backups/uploads",
        "backups/shop",
        "copies/offsite/shop",
        *(f"repositories/{name}/{work}" for name in ("main", "offsite") for work in ("prune", "verify")),
    }
    node = world.repository.asset_graph.get(dg.AssetKey(["copies", "offsite", "shop"]))
    assert (node.group_name, node.kinds) == ("backups", {"sqlite", "copy"})
    text = world.repository.asset_graph.get(dg.AssetKey(["repositories", "main", "prune"])).description
    assert "Every day at 04:00 (UTC)" in (text or "")


def test_copies_of_many_windows_have_checks_without_partitions(unloaded: World) -> None:
    unloaded.plan["sources"]["shop"]["since"] = f"{unloaded.clock.time - timedelta(days=2_500):%Y-%m-%d}"
    world = several(unloaded)
    translator = world.translator
    specs = [*translator.copy_check_specs("offsite", "shop"), translator.copies_check_spec("shop")]
    assert {spec.partitions_def for spec in specs} == {None}


def test_two_plans_with_repositories_fit_into_one_project(unloaded: World) -> None:
    world = several(unloaded)
    other = BackupTranslator(world.app, key_prefix=("archive",), source_prefix=("archive", "sources"))
    both = dg.Definitions.merge(world.definitions, build_definitions(other)).get_repository_def()
    assert both.has_job("backup_prune")
    assert both.has_job("archive_prune")
    assert both.asset_graph.has(dg.AssetKey(["archive", "copies", "offsite", "shop"]))
    assert both.asset_graph.has(dg.AssetKey(["archive", "repositories", "main", "verify"]))


def test_two_plans_fit_into_one_project(world: World) -> None:
    other = BackupTranslator(
        world.app, key_prefix=("archive", "backups"), source_prefix=("archive", "sources"), group="archive"
    )
    both = dg.Definitions.merge(world.definitions, build_definitions(other))
    repository = both.get_repository_def()
    assert repository.has_sensor_def("backup_alerts")
    assert repository.has_sensor_def("archive_backups_alerts")
    assert repository.asset_graph.get(dg.AssetKey(["archive", "backups", "shop"])).group_name == "archive"
