"""The upkeep of repositories: what its runs do, and what they leave in the event log."""

from __future__ import annotations

import os
import random
from datetime import timedelta
from typing import Any

import dagster as dg
import pytest

from backup_platform.clock import SystemClock
from backup_platform.errors import StoreLockedError, StoreRefusedError
from backup_platform.orchestration.subjects import upkeep
from backup_platform.orchestration.translator import Work
from backup_platform.repository.repository import Repository
from backup_platform.stores.object_store import DirectoryStore, ObjectStore
from backup_platform_tests.faults.hostile import Writer
from backup_platform_tests.orchestration.conftest import DAY, World
from backup_platform_tests.support import noise

DAYS = 4


@pytest.fixture
def kept(unloaded: World) -> World:
    """The plan keeps the last point of each source, and says when its repository is pruned and read again."""
    unloaded.plan["repository"] |= {
        "prune": {"every": "week", "at": "04:30"},
        "verify": {"cycle": "10d", "at": "05:00"},
    }
    for source in unloaded.plan["sources"].values():
        source |= {"keep": {"last": 1}, "late_limit": "30d"}
    return unloaded.load()


def run(world: World, work: Work, repository: str = "main", **options: Any) -> dg.ExecuteInProcessResult:
    """As a schedule launches it."""
    [subject] = [s for s in upkeep(world.translator) if (s.work, s.repository) == (work, repository)]
    return world.repository.get_job(subject.job).execute_in_process(
        instance=world.instance,
        asset_selection=[subject.key],
        tags=dict(subject.tags),
        raise_on_error=False,
        **options,
    )


def metadata(result: dg.ExecuteInProcessResult) -> dict[str, Any]:
    [event] = [e for e in result.all_events if e.event_type == dg.DagsterEventType.ASSET_MATERIALIZATION]
    return {
        name: value.value for name, value in event.step_materialization_data.materialization.metadata.items()
    }


def capture(world: World, days: int) -> list[str]:
    """A point per day of the first source, each with a file of its own; their windows."""
    windows = []
    for day in range(days, 0, -1):
        window = f"{world.clock.time - day * DAY:%Y-%m-%d}"
        (world.tree / f"{window}.bin").write_bytes(os.urandom(200_000))
        assert world.launch("uploads", window).success
        windows.append(window)
    return windows


def observed(world: World, source: str = "uploads") -> dict[str, str]:
    """The descriptions of the newest observations by window."""
    key = world.translator.asset_key(source)
    records = world.instance.fetch_observations(dg.AssetRecordsFilter(asset_key=key), limit=100).records
    found = [record.asset_observation for record in records if record.asset_observation]
    return {each.partition or "": each.description or "" for each in reversed(found)}


def test_only_what_the_plan_asks_for_is_an_asset(unloaded: World) -> None:
    """Nobody prunes by materialising everything."""
    assert not [
        key for key in unloaded.load().repository.asset_graph.get_all_asset_keys() if "main" in key.path
    ]


def test_prune_forgets_what_the_plan_does_not_keep_and_shows_why(kept: World) -> None:
    windows = capture(kept, 3)
    found = metadata(run(kept, "prune"))
    assert (found["points"], found["forgotten_points"]) == (1, 2)
    assert [point.window.key for point in kept.app.points.all("uploads")] == windows[-1:]
    heading, _, _, _, *rows = found["retention"].splitlines()
    assert heading == "**uploads**"
    assert [row.split(" | ")[0].strip("| ") for row in rows] == list(reversed(windows)), "the newest first"
    assert "keep: last 1 of 1" in rows[0]
    assert "**forget**: no rule keeps it" in rows[1]


def test_windows_that_were_forgotten_are_observed_once(kept: World) -> None:
    """Also those that somebody forgot at the command line, and again none when a run is repeated."""
    windows = capture(kept, 2)
    retention = kept.app.maintenance.retention
    retention.run_forget(retention.plan_forget())
    assert run(kept, "prune").success
    assert list(observed(kept)) == windows[:1]
    assert "Forgotten: no rule keeps it" in observed(kept)[windows[0]]
    assert run(kept, "prune").success
    key = kept.translator.asset_key("uploads")
    assert len(kept.instance.fetch_observations(key, limit=10).records) == 1


def test_a_point_whose_window_has_another_one_is_not_gone(kept: World) -> None:
    [window] = capture(kept, 1)
    kept.launch("uploads", window, run_config={"ops": {"backups__uploads": {"config": {"force": True}}}})
    found = metadata(run(kept, "prune"))
    assert (found["points"], found["forgotten_points"]) == (1, 1)
    assert observed(kept) == {}


def test_a_source_with_a_damaged_manifest_loses_nothing_and_the_check_says_so(kept: World) -> None:
    capture(kept, 2)
    [point, _] = kept.app.points.all("uploads")
    path = kept.root / "repository" / kept.app.repository.points.key(point)
    path.chmod(0o600)
    path.write_bytes(path.read_bytes()[:-5])
    result = run(kept, "prune")
    assert not result.success
    [check] = result.get_asset_check_evaluations()
    assert (check.check_name, check.passed) == ("nothing_refused", False)
    assert "uploads" in (check.description or "")
    assert len(str(check.metadata["listed"].value).splitlines()) > 1, "prune refuses, too"
    assert len(list((kept.root / "repository" / "manifests").rglob("0*"))) == 2


def test_what_no_point_needs_is_freed_and_plotted(kept: World) -> None:
    kept.plan["repository"]["prune"]["grace"] = "0"
    kept.load()
    capture(kept, 2)
    (kept.tree / f"{kept.clock.time - 2 * DAY:%Y-%m-%d}.bin").unlink()
    capture(kept, 1)
    kept.launch("uploads")
    numbers = [metadata(run(kept, "prune")) for _ in range(3)]
    assert sum(each["freed_bytes"] for each in numbers) > 200_000
    assert numbers[0]["stored_bytes"] - numbers[2]["stored_bytes"] > 200_000
    assert {"packs_deleted", "packs_condemned", "packs_rewritten", "locked_objects", "duration_s"} <= numbers[
        0
    ].keys()
    assert kept.launch("uploads").success, "what is left is whole"


def prunable(world: World, max_waste: str) -> None:
    """Packs that a point needs in part, and such that none does, marked for deletion."""
    world.plan["repository"]["prune"] |= {"grace": "0", "max_waste": max_waste}
    world.load()
    (world.tree / "stays.bin").write_bytes(os.urandom(400_000))  # the middle of its pack
    capture(world, 2)
    for path in world.tree.glob("20*.bin"):
        path.unlink()
    assert world.launch("uploads").success


def nothing_refused(result: dg.ExecuteInProcessResult) -> tuple[bool, str]:
    [check] = result.get_asset_check_evaluations()
    assert check.check_name == "nothing_refused"
    return check.passed, check.description or ""


def test_damage_that_prune_meets_while_rewriting_turns_its_check_red(kept: World) -> None:
    prunable(kept, "0.01%")
    kept.damage_largest_pack()
    result = run(kept, "prune")
    passed, why = nothing_refused(result)
    assert not passed
    assert "wrong contents in " in why
    assert not result.success


def test_an_index_that_lies_turns_the_check_of_prune_red(kept: World) -> None:
    prunable(kept, "100%")
    store = DirectoryStore(str(kept.root / "repository"))
    Writer(Repository(store, SystemClock()), random.Random(1)).claim_more(noise(20_000, 7))
    passed, why = nothing_refused(run(kept, "prune"))
    assert not passed
    assert "false claims about 1 pack" in why


@pytest.mark.parametrize(("error", "passes"), [(StoreRefusedError, False), (StoreLockedError, True)])
def test_what_the_store_does_not_delete_turns_the_check_red_unless_it_is_locked(
    kept: World, monkeypatch: pytest.MonkeyPatch, error: type[StoreRefusedError], passes: bool
) -> None:
    prunable(kept, "100%")
    assert nothing_refused(run(kept, "prune"))[0]
    delete = ObjectStore.delete

    def refused(store: ObjectStore, key: str) -> None:
        if key.startswith("packs/"):
            raise error(f"The store refused to delete {key}.")
        delete(store, key)

    monkeypatch.setattr(ObjectStore, "delete", refused)
    result = run(kept, "prune")
    passed, why = nothing_refused(result)
    assert passed is passes
    assert ("object not deleted: The store refused to delete packs/" in why) is not passes
    assert (metadata(result)["locked_objects"] > 0) is passes


def test_verify_reads_what_is_due_and_says_how_old_the_oldest_unread_byte_is(kept: World) -> None:
    capture(kept, 1)
    found = metadata(run(kept, "verify"))
    assert found["points"] == 1
    assert found["stored_bytes"] > 200_000
    assert 0 <= found["oldest_unverified_s"] < 10 * 86_400
    assert {"bytes_read", "bytes_read_in_cycle", "read_share", "damaged_packs"} <= found.keys()


def test_damage_turns_verify_red(kept: World) -> None:
    capture(kept, 1)
    kept.damage_largest_pack()
    kept.clock.time += timedelta(days=300)  # everything is due
    result = run(kept, "verify")
    assert not result.success
    checks = {check.check_name: check for check in result.get_asset_check_evaluations()}
    assert not checks["stored"].passed
    assert not checks["read_recently"].passed
    assert metadata(result)["damaged_packs"] == 1


def test_the_newest_point_that_was_deleted_turns_verify_red(kept: World) -> None:
    capture(kept, 1)
    [point] = kept.app.points.all("uploads")
    (kept.root / "repository" / kept.app.repository.points.key(point)).unlink()
    result = run(kept, "verify")
    assert not result.success
    checks = {check.check_name: check for check in result.get_asset_check_evaluations()}
    assert not checks["stored"].passed
    assert f"{point.id[:12]}, number 1) is lost" in (checks["stored"].description or "")


def test_a_second_run_at_the_same_time_leaves_the_work_to_the_first(kept: World) -> None:
    [subject] = [s for s in upkeep(kept.translator) if s.work == "prune"]
    job = kept.repository.get_job(subject.job)
    first = kept.instance.create_run_for_job(job, asset_selection=frozenset({subject.key}))
    kept.instance.report_engine_event("started", first)
    kept.instance.report_dagster_event(
        dg.DagsterEvent(dg.DagsterEventType.PIPELINE_START.value, subject.job), first.run_id
    )
    result = run(kept, "prune")
    assert not result.success
    assert first.run_id in str(kept.failure(result).user_failure_data.description)
    kept.instance.report_run_canceled(first)
    assert run(kept, "prune").success


def test_each_repository_is_looked_after_when_the_plan_says(kept: World) -> None:
    schedules = {
        s.name: (s.cron_schedule, s.execution_timezone, s.job_name) for s in kept.repository.schedule_defs
    }
    assert schedules["backup_prune_week_1_0430_utc_schedule"] == ("30 4 * * 1", "UTC", "backup_prune")
    assert schedules["backup_verify_day_0500_utc_schedule"] == ("0 5 * * *", "UTC", "backup_verify")
    assert launched(kept, "backup_verify_day_0500_utc_schedule") == ["repositories/main/verify"]


def launched(world: World, schedule: str) -> list[str]:
    with dg.build_schedule_context(
        world.instance, scheduled_execution_time=world.clock.time, repository_def=world.repository
    ) as context:
        requests = world.repository.get_schedule_def(schedule).evaluate_tick(context).run_requests or []
    assert all(world.clock.time.isoformat() in (request.run_key or "") for request in requests)
    assert all(request.tags["backup/upkeep"] and request.tags["dagster/max_runtime"] for request in requests)
    return [key.to_user_string() for request in requests for key in request.asset_selection or ()]


def test_a_failure_is_told_once_and_its_end_too(kept: World) -> None:
    kept.cursor = kept.sensor("backup_alerts").cursor
    (kept.root / "repository").rename(kept.root / "away")
    for _ in range(2):
        run(kept, "verify")
        kept.cursor = kept.sensor("backup_alerts", kept.cursor).cursor
    (kept.root / "away").rename(kept.root / "repository")
    run(kept, "verify")
    kept.sensor("backup_alerts", kept.cursor)
    title = "repository main: verify failed"
    assert [sent for sent, _ in kept.channel.sent] == [title, f"Resolved: {title}"]
