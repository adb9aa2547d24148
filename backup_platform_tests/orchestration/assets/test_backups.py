"""Materialising a window: what lands in the event log, and what fails how."""

from __future__ import annotations

import asyncio
import os
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.loader import LoadingContextForTest  # resolves a check's status as the UI does

from backup_platform.errors import SourceBusyError, StoreError
from backup_platform.orchestration import failures
from backup_platform_tests.orchestration.conftest import DAY, World, bound_by_modes

ALWAYS = {"stored", "complete", "authentic"}  # the others may have nothing to compare with, or not be due


def resolved(world: World, source: str, check: str, window: str | None) -> str:
    """The status that the UI shows for a check of a window."""
    key = dg.AssetCheckKey(world.translator.asset_key(source), check)
    history = world.instance.event_log_storage.get_asset_check_execution_history(key, limit=10)
    newest = next(record for record in history if record.partition == window)
    return asyncio.run(newest.resolve_status(LoadingContextForTest(world.instance))).value


def test_a_window_becomes_a_materialised_partition_with_all_checks_passed(world_on_disk: World) -> None:
    world = world_on_disk
    run = world.launch("shop")
    assert run.success
    key = world.translator.asset_key("shop")
    assert world.instance.get_materialized_partitions(key) == {world.window}
    first = ALWAYS | {"drill"}
    assert {n for n, e in world.evaluations(run).items() if e.passed} == first
    assert {e.partition for e in world.evaluations(run).values()} == {world.window}
    assert {resolved(world, "shop", name, world.window) for name in first} == {"SUCCEEDED"}
    compared = {"plausible", "schema_unchanged"}
    assert {resolved(world, "shop", name, world.window) for name in compared} == {"SKIPPED"}
    world.clock.time += timedelta(days=1)
    run = world.launch("shop")
    assert {n for n, e in world.evaluations(run).items() if e.passed} == first | compared


def test_a_suspect_point_exists_and_is_red(world: World) -> None:
    assert world.launch("uploads").success
    (world.tree / "a.txt").unlink()
    world.clock.time += timedelta(days=1)
    run = world.launch("uploads")
    assert not run.success
    evaluation = world.evaluations(run)["plausible"]
    assert (evaluation.passed, evaluation.severity) == (False, dg.AssetCheckSeverity.ERROR)
    [event] = run.asset_materializations_for_node("backups__uploads")
    assert event.metadata["suspect"].value is True
    assert "suspect: it holds nothing" in str(event.metadata["summary"].value)
    world.app.points.accept(f"uploads@{world.window}", "it moved")
    assert world.launch("uploads").success, "accepted, the same window is green"


def test_a_materialisation_carries_the_recovery_point(world: World) -> None:
    run = world.launch("uploads")
    [event] = run.asset_materializations_for_node("backups__uploads")
    [point] = world.app.points.all("uploads")
    assert event.metadata["recovery_point"].value == point.id
    assert event.metadata["files"].value == 1
    assert event.metadata["source_bytes"].value == 5
    assert os.path.exists(str(event.metadata["manifest"].value).removeprefix("file://"))
    assert (event.tags or {})["dagster/data_version"] == point.id


def test_checks_measure_and_name_their_window(world: World) -> None:
    evaluations = world.evaluations(world.launch("uploads"))
    assert all(e.metadata["window"].value == world.window for e in evaluations.values())
    assert isinstance(evaluations["stored"].metadata["packs_read"], dg.IntMetadataValue)
    assert isinstance(evaluations["drill"].metadata["drill_s"], dg.FloatMetadataValue)


def test_an_incomplete_point_exists_and_is_red(world: World) -> None:
    (world.tree / "secret.txt").write_text("x")
    (world.tree / "secret.txt").chmod(0)
    with bound_by_modes():
        run = world.launch("uploads")
    assert not run.success
    evaluation = world.evaluations(run)["complete"]
    assert (evaluation.passed, evaluation.severity) == (False, dg.AssetCheckSeverity.ERROR)
    assert world.instance.get_materialized_partitions(world.translator.asset_key("uploads")) == {world.window}


def test_damage_turns_the_check_red_and_the_run_too(world: World) -> None:
    (world.tree / "big.bin").write_bytes(os.urandom(300_000))
    assert world.launch("uploads").success
    world.damage_largest_pack()
    run = world.launch("uploads")
    assert not run.success
    assert not world.evaluations(run)["stored"].passed
    assert resolved(world, "uploads", "stored", world.window) == "FAILED"


def test_a_drill_that_is_not_due_is_neither_passed_nor_failed(unloaded: World) -> None:
    unloaded.plan["sources"]["uploads"]["drill"] = "never"
    world = unloaded.load()
    run = world.launch("uploads")
    assert run.success
    assert set(world.evaluations(run)) == ALWAYS
    assert resolved(world, "uploads", "drill", world.window) == "SKIPPED"


def test_a_window_that_is_over_fails_with_the_reason_and_is_not_retried(world: World) -> None:
    over = f"{world.clock.time - timedelta(days=2):%Y-%m-%d}"
    run = world.launch("uploads", over)
    assert not run.success
    failure = world.failure(run).user_failure_data
    assert f"window {over} ended" in failure.description
    assert failure.metadata["error"].value == "window-closed"
    assert world.instance.get_materialized_partitions(world.translator.asset_key("uploads")) == set()


def test_a_permanent_error_fails_at_once(world: World) -> None:
    world.database.write_text("this is not a database")
    run = world.launch("shop")
    failure = world.failure(run).user_failure_data
    assert failure.metadata["error"].value == "source-format"
    assert failure.metadata["retryable"].value is False
    assert not [e for e in run.all_events if e.event_type == dg.DagsterEventType.STEP_UP_FOR_RETRY]


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(failures, "BACKOFF", dg.RetryPolicy(delay=0.01))


@pytest.mark.usefixtures("impatient")
def test_a_retryable_error_is_tried_again(world: World) -> None:
    world.app.faults = [SourceBusyError("locked"), StoreError("timeout", retryable=True)]
    run = world.launch("uploads")
    assert run.success
    retries = [e for e in run.all_events if e.event_type == dg.DagsterEventType.STEP_UP_FOR_RETRY]
    assert len(retries) == 2


@pytest.mark.usefixtures("impatient")
def test_retries_end_and_the_last_failure_says_why(unloaded: World) -> None:
    unloaded.plan["sources"]["uploads"]["retries"] = 2
    world = unloaded.load()
    world.app.faults = [SourceBusyError("locked by pid 7") for _ in range(9)]
    run = world.launch("uploads")
    assert not run.success
    assert world.failure(run).user_failure_data.description == "locked by pid 7"
    assert len(world.app.faults) == 9 - 3


def retries(world: World) -> int:
    [run] = world.instance.get_runs()
    kind = dg.DagsterEventType.STEP_UP_FOR_RETRY
    return len(world.instance.get_records_for_run(run.run_id, of_type=kind).records)


def test_a_bug_is_not_retried(world: World) -> None:
    world.app.faults = [ValueError("a bug")]
    assert not world.launch("uploads").success
    assert retries(world) == 0


def test_a_run_that_is_cancelled_is_not_retried(world: World) -> None:
    """Dagster's own retry policy would do so: it takes the interrupt for a failure of the step."""
    world.app.faults = [KeyboardInterrupt()]
    with suppress(KeyboardInterrupt):
        world.launch("uploads")
    assert retries(world) == 0
    assert world.app.points.all("uploads") == []


def test_a_second_run_keeps_the_point_and_checks_it_again(world: World) -> None:
    world.launch("uploads")
    run = world.launch("uploads")
    assert run.success
    [event] = run.asset_materializations_for_node("backups__uploads")
    assert event.metadata["created"].value is False
    assert set(world.evaluations(run)) >= ALWAYS
    assert len(world.app.points.all("uploads")) == 1


def test_force_captures_anew(world: World) -> None:
    world.launch("uploads")
    (world.tree / "a.txt").write_text("changed")
    config = {"ops": {"backups__uploads": {"config": {"force": True}}}}
    run = world.launch("uploads", run_config=config)
    [event] = run.asset_materializations_for_node("backups__uploads")
    assert event.metadata["created"].value is True
    assert event.metadata["source_bytes"].value == len("changed")


def test_checks_can_be_run_again_alone(world: World) -> None:
    world.launch("uploads")
    run = world.checks_alone("stored", "drill")
    assert run.success
    assert set(world.evaluations(run)) == {"stored", "drill"}
    assert not run.asset_materializations_for_node("backups__uploads")
    assert len(world.app.points.all("uploads")) == 1
    tags = world.instance.get_runs()[0].tags
    assert (tags["backup/source"], tags["dagster/max_runtime"]) == ("uploads", "21600")


def test_checks_alone_without_a_partition_are_of_the_newest_point_and_say_so(world: World) -> None:
    assert not world.checks_alone("stored", partition=False).success
    world.launch("uploads")
    world.clock.time += DAY
    (world.tree / "secret.txt").write_text("x")
    (world.tree / "secret.txt").chmod(0)
    with bound_by_modes():
        world.launch("uploads")
    run = world.checks_alone("stored", "complete", "drill", partition=False)
    found = world.evaluations(run)
    assert {name: each.passed for name, each in found.items()} == {
        "stored": True,
        "complete": False,
        "drill": True,
    }
    assert {each.metadata["window"].value for each in found.values()} == {world.window}
    assert {each.metadata["chosen"].value for each in found.values()} == {
        "the newest recovery point, because this run has no partition"
    }
    assert not run.success
    assert resolved(world, "uploads", "complete", world.window) == "FAILED"
    named = world.evaluations(world.checks_alone("stored"))["stored"]
    assert "chosen" not in named.metadata


def test_a_drill_that_a_person_asks_for_is_always_due(unloaded: World) -> None:
    unloaded.plan["sources"]["uploads"]["drill"] = "never"
    world = unloaded.load()
    world.launch("uploads")
    evaluations = world.evaluations(world.checks_alone("drill"))
    assert evaluations["drill"].passed
    assert resolved(world, "uploads", "drill", world.window) == "SUCCEEDED"


def test_checks_alone_of_a_window_without_a_point_fail_with_the_reason(world: World) -> None:
    run = world.checks_alone("stored")
    assert not run.success
    assert world.failure(run).user_failure_data.metadata["error"].value == "not-found"


def test_a_run_that_was_launched_by_hand_gets_the_tags_of_its_source(world: World) -> None:
    key = world.translator.asset_key("uploads")
    result = dg.materialize(
        [world.definitions.get_assets_def(key)],
        instance=world.instance,
        partition_key=world.window,
    )
    run = world.instance.get_run_by_id(result.run_id)
    assert run is not None
    assert run.tags["backup/source"] == "uploads"
    assert run.tags["dagster/max_runtime"] == str(6 * 3600)


def test_a_run_of_two_sources_keeps_its_own_tags(world: World) -> None:
    assets = [
        world.definitions.get_assets_def(world.translator.asset_key(name)) for name in ("uploads", "shop")
    ]
    result = dg.materialize(assets, instance=world.instance, partition_key=world.window)
    assert result.success
    run = world.instance.get_run_by_id(result.run_id)
    assert run is not None
    assert "backup/source" not in run.tags


def test_many_windows_have_checks_without_partitions(unloaded: World) -> None:
    unloaded.plan["sources"]["uploads"].update(every="hour", since="2020-01-01")
    world = unloaded.load()
    key = f"{world.clock.time:%Y-%m-%dT%H:00}"
    run = world.launch("uploads", key)
    assert run.success
    evaluations = world.evaluations(run)
    assert {e.partition for e in evaluations.values()} == {None}
    assert {e.metadata["window"].value for e in evaluations.values()} == {key}
    assert resolved(world, "uploads", "stored", None) == "SUCCEEDED"


def test_a_run_needs_the_plan_and_the_repository_only(world: World, tmp_path: Path) -> None:
    """Nothing is written next to Dagster's working directory."""
    before = set(Path.cwd().iterdir())
    world.launch("uploads")
    assert set(Path.cwd().iterdir()) == before
