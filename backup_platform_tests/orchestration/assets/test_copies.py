"""Copies as assets: what is copied, what is launched, and what a repository that is away stops."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from backup_platform.orchestration.schedules import run_request
from backup_platform.orchestration.sensors import lacking_copies as lacking
from backup_platform.orchestration.sensors.bounded_call import BoundedCall
from backup_platform.orchestration.subjects import copies
from backup_platform_tests.orchestration.assets.test_backups import ALWAYS, resolved
from backup_platform_tests.orchestration.assets.test_repositories import observed
from backup_platform_tests.orchestration.assets.test_repositories import run as upkeep_run
from backup_platform_tests.orchestration.conftest import DAY, World
from backup_platform_tests.orchestration.sensors.test_presence import another

KEY = dg.AssetKey(["copies", "offsite", "uploads"])
IN_PLACE = "copies_in_place"


def pair(world: World) -> World:
    """The same plan with a second repository, to which the first source is copied."""
    plan = world.plan
    plan["repositories"] = {"main": plan.pop("repository"), "offsite": {"path": str(world.root / "offsite")}}
    plan["repositories"]["offsite"]["place"] = "cellar"
    plan["sources"]["uploads"] |= {
        "repositories": ["main", "offsite"],
        "copies": {"places": 2, "within": "6h"},
        "late_limit": "30d",
    }
    world.load()
    world.app.at("offsite").setup.init()
    return world


@pytest.fixture
def copied(unloaded: World) -> World:
    return pair(unloaded)


def tick(world: World) -> Any:
    result = world.sensor("backup_copies", world.cursor)
    world.cursor = result.cursor
    return result


def launch(world: World, request: dg.RunRequest | None = None) -> dg.ExecuteInProcessResult:
    """As the sensor asks for it; else as its runs for the current window are. Dagster leaves assets out of the record
    of such a run, so that alerts take it for one of checks alone."""
    subject = copies(world.translator, ["uploads"], "backup_copy_day_0000_utc")[0]
    request = request or run_request(subject, world.window, job=subject.job)
    job = world.repository.get_job(request.job_name or "")
    subset = job.get_subset(
        asset_selection=set(request.asset_selection or ()),
        asset_check_selection=set(request.asset_check_keys or ()),
    )
    return subset.execute_in_process(
        instance=world.instance,
        partition_key=request.partition_key,
        tags=dict(request.tags),
        raise_on_error=False,
    )


def follow(world: World) -> list[dg.ExecuteInProcessResult]:
    """One evaluation of the sensor, and the runs that it asks for."""
    return [launch(world, request) for request in tick(world).run_requests or []]


def away(world: World) -> Path:
    """The second repository is gone until it is put back."""
    return (world.root / "offsite").rename(world.root / "gone")


def titles(world: World) -> list[str]:
    return [title for title, _ in world.channel.sent]


def test_a_copy_is_downstream_of_the_backup_with_its_partitions(copied: World) -> None:
    node = copied.repository.asset_graph.get(KEY)
    assert node.parent_keys == {dg.AssetKey(["backups", "uploads"])}
    assert node.partitions_def == copied.translator.partitions("uploads")
    names = {key.to_user_string() for key in copied.repository.asset_graph.get_all_asset_keys()}
    assert not [name for name in names if name.startswith("copies/") and name != KEY.to_user_string()]


def test_the_sensor_launches_what_is_lacking_and_then_rests(copied: World) -> None:
    assert copied.launch("uploads").success
    [run] = follow(copied)
    assert run.success
    assert [point.id for point in copied.app.at("offsite").points.all("uploads")] == [
        point.id for point in copied.app.points.all("uploads")
    ]
    [event] = run.asset_materializations_for_node("copies__offsite__uploads")
    assert event.metadata["copied"].value is True
    assert event.metadata["packs_copied"].value
    assert event.metadata["copied_bytes"].value
    evaluations = copied.evaluations(run)
    assert {name for name, each in evaluations.items() if each.passed} == {"stored", "authentic", IN_PLACE}
    assert not tick(copied).run_requests
    assert resolved(copied, "uploads", IN_PLACE, copied.window) == "SUCCEEDED"


def test_the_run_of_a_backup_asks_for_no_copy(copied: World) -> None:
    """A repository that does not answer could keep it waiting."""
    checks = copied.repository.get_job("backup_day_0000_utc").asset_layer.asset_graph.asset_check_keys
    assert IN_PLACE not in {check.name for check in checks}
    [request] = copied.schedule("backup_day_0000_utc_schedule", copied.clock.time).run_requests
    assert {check.name for check in request.asset_check_keys or ()} == ALWAYS | {"plausible", "drill"}
    assert copied.launch("uploads").success


def test_copies_that_are_late_are_red_and_told_and_green_again_when_they_are_made(copied: World) -> None:
    copied.launch("uploads")
    away(copied)
    assert not follow(copied)
    assert titles(copied) == ["repository offsite is unreachable: nothing is copied to it"]
    copied.clock.time += timedelta(hours=7)
    [run] = follow(copied)
    assert not run.asset_materializations_for_node("copies__offsite__uploads")
    assert resolved(copied, "uploads", IN_PLACE, copied.window) == "FAILED"
    assert "uploads: copies of 1 window are not in place" in copied.channel.sent[-1][1]
    assert not follow(copied), "a lasting verdict is recorded once"
    (copied.root / "gone").rename(copied.root / "offsite")
    [run] = follow(copied)
    assert run.success
    follow(copied)
    assert resolved(copied, "uploads", IN_PLACE, copied.window) == "SUCCEEDED"
    assert "Resolved" in titles(copied)[-1]


def test_what_was_copied_at_the_command_line_counts(copied: World) -> None:
    copied.launch("uploads")
    copying = copied.app.at("offsite").copies.copying(copied.app.repository)
    copying.run(copying.plan(copied.app.points.all("uploads")))
    assert [run.success for run in follow(copied)] == [True]
    assert resolved(copied, "uploads", IN_PLACE, copied.window) == "SUCCEEDED"
    assert not follow(copied)


def test_a_repository_that_is_away_fails_no_backup_and_no_other_copy(unloaded: World) -> None:
    plan = unloaded.plan
    plan["repositories"] = {
        "main": plan.pop("repository"),
        **{name: {"path": str(unloaded.root / name)} for name in ("away", "offsite")},
    }
    plan["sources"]["uploads"]["repositories"] = ["main", "away", "offsite"]
    world = unloaded.load()
    world.app.at("offsite").setup.init()
    assert world.launch("uploads").success
    [run] = follow(world)
    assert run.success
    assert world.app.at("offsite").points.all("uploads")


def test_a_first_repository_that_is_another_one_is_not_told_as_a_change_of_its_copy(copied: World) -> None:
    """Which of the two was exchanged, the sensor of copies does not know where the host remembers neither."""
    before = copied.app.repository.info.fingerprint
    (copied.root / "repository").rename(copied.root / "elsewhere")
    another(copied.root / "repository")
    for name in ("main", "offsite"):
        Path(copied.app.at(name).recognising.place.note).unlink(missing_ok=True)
    other = copied.load(init=False).app
    assert tick(copied).run_requests == []
    [(title, body)] = copied.channel.sent
    assert title == "repository offsite is not a copy of the first one: nothing is copied to it"
    assert (
        f"Another repository is at {copied.root}/offsite. Its fingerprint is {before}. The expected one, "
        in body
    )
    assert f"{other.repository.info.fingerprint}, is that of main" in body


def test_a_repository_that_is_away_is_asked_once_for_all_sources(
    unloaded: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each question may cost seconds, and a sensor has a minute."""
    unloaded.plan["sources"]["shop"]["repositories"] = ["main", "offsite"]
    world = pair(unloaded)
    away(world)
    asked: list[float] = []

    def ask(self: BoundedCall, question: Callable[[], Any], seconds: float) -> Any:
        asked.append(seconds)
        return question()

    monkeypatch.setattr(BoundedCall, "ask", ask)
    tick(world)
    assert len(asked) == 3, "the first repository for each source, the second once"
    assert titles(world) == ["repository offsite is unreachable: nothing is copied to it"]


def test_windows_that_were_never_copied_are_caught_up_newest_first_a_few_at_a_time(
    copied: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lacking, "MOST_AT_ONCE", 2)
    windows = [f"{copied.clock.time - day * DAY:%Y-%m-%d}" for day in (3, 2, 1)]
    for window in windows:
        assert copied.launch("uploads", window).success
    assert [request.partition_key for request in tick(copied).run_requests] == windows[:0:-1]


def test_what_retention_forgot_in_a_copy_is_not_brought_back(unloaded: World) -> None:
    world = pair(unloaded)
    world.plan["repositories"]["offsite"] |= {"keep": {"last": 1}, "prune": {"every": "day"}}
    world.load()
    windows = [f"{world.clock.time - day * DAY:%Y-%m-%d}" for day in (1, 0)]
    for window in windows:
        world.launch("uploads", window)
    assert len(follow(world)) == 2
    assert upkeep_run(world, "prune", "offsite").success
    assert len(world.app.at("offsite").points.all("uploads")) == 1
    assert not tick(world).run_requests
    records = world.instance.fetch_observations(dg.AssetRecordsFilter(asset_key=KEY), limit=9).records
    assert [record.partition_key for record in records] == windows[:1]
    assert observed(world) == {}, "the first repository still has it"


def test_a_window_without_a_recovery_point_cannot_be_copied(copied: World) -> None:
    copied.launch("uploads", f"{copied.clock.time - DAY:%Y-%m-%d}")
    run = launch(copied)
    assert not run.success
    assert copied.failure(run).user_failure_data.metadata["error"].value == "not-found"


def test_damage_in_the_first_repository_is_not_copied_and_told(copied: World) -> None:
    copied.cursor = copied.sensor("backup_alerts").cursor
    (copied.tree / "big.bin").write_bytes(bytes(range(256)) * 2000)
    copied.launch("uploads")
    copied.damage_largest_pack()
    run = copied.repository.get_job("backup_copy_day_0000_utc").execute_in_process(
        instance=copied.instance, partition_key=copied.window, asset_selection=[KEY], raise_on_error=False
    )
    assert not run.success
    assert copied.app.at("offsite").points.all("uploads") == []
    copied.sensor("backup_alerts", copied.cursor)
    assert titles(copied) == ["uploads in offsite: copy failed"]


def test_the_check_can_be_asked_for(copied: World) -> None:
    copied.launch("uploads")
    launch(copied)
    assert copied.evaluations(copied.checks_alone(IN_PLACE))[IN_PLACE].passed
    newest = copied.evaluations(copied.checks_alone(IN_PLACE, partition=False))[IN_PLACE]
    there = copied.evaluations(copied.checks_alone("stored", key=KEY, partition=False))["stored"]
    for found in (newest, there):
        assert found.passed
        assert found.metadata["window"].value == copied.window
        assert "newest" in str(found.metadata["chosen"].value)
        assert found.partition == copied.window


def test_runs_of_copies_do_not_count_as_runs_of_their_source(copied: World) -> None:
    """A copy that takes long would keep the next backup waiting."""
    copied.launch("uploads")
    [request] = tick(copied).run_requests
    assert "backup/source" not in request.tags
    assert request.tags["backup/copy"] == "offsite/uploads"
    assert request.tags["dagster/max_runtime"] == "21600"
    assert request.job_name == "backup_copy_day_0000_utc"
