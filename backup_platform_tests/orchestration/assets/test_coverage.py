"""What is in no source, in Dagster: the asset, its check, its schedule and its alert."""

from __future__ import annotations

import dagster as dg
import pytest

from backup_platform.orchestration.subjects import coverage
from backup_platform_tests.orchestration.conftest import DAY, World

CHECK = "everything_in_a_source"


@pytest.fixture
def looking(unloaded: World) -> World:
    """The plan looks beside the directory that it backs up, where there is a database that it backs up, too."""
    exceptions = {"backup.yaml": "x", "repository": "x", "(files)": "the plan"}
    unloaded.plan["coverage"] = {"around": {"files": str(unloaded.root), "except": exceptions}}
    unloaded.plan["state"] = str(unloaded.root.parent / "state")
    del exceptions["backup.yaml"], exceptions["repository"]
    return unloaded.load()


def look(world: World) -> dg.ExecuteInProcessResult:
    """As the schedule launches it."""
    [subject] = coverage(world.translator)
    return world.repository.get_job(subject.job).execute_in_process(
        instance=world.instance, asset_selection=[subject.key], tags=dict(subject.tags), raise_on_error=False
    )


def test_a_plan_that_says_nothing_has_no_asset(world: World) -> None:
    assert coverage(world.translator) == []
    assert not [key for key in world.repository.assets_defs_by_key if key.path[0] == "plan"]


def test_all_is_well(looking: World) -> None:
    run = look(looking)
    assert run.success
    found = looking.evaluations(run)[CHECK]
    assert found.passed
    assert found.description == "everything in 1 place is in a source or left out on purpose"


def test_a_new_directory_is_red_and_shows_the_lines_that_end_it(looking: World) -> None:
    (looking.root / "new | thing").mkdir()
    run = look(looking)
    found = looking.evaluations(run)[CHECK]
    assert (found.passed, found.severity) == (False, dg.AssetCheckSeverity.ERROR)
    assert "directory 'new | thing' of" in (found.description or "")
    assert "first seen on" in (found.description or "")
    assert "coverage` shows the lines" in str(found.metadata["hint"].value)
    [event] = [e for e in run.all_events if e.event_type == dg.DagsterEventType.ASSET_MATERIALIZATION]
    metadata = event.step_materialization_data.materialization.metadata
    assert metadata["unprotected"].value == 1
    assert f'new_thing: {{files: "{looking.root}/new | thing", every: day}}' in str(
        metadata["lines_for_the_plan"].value
    )
    assert "\\|" in str(metadata["findings"].value)


def test_an_exception_that_leaves_nothing_out_warns(looking: World) -> None:
    looking.plan["coverage"]["around"]["except"]["gone"] = "it was big"
    run = look(looking.load())
    found = looking.evaluations(run)[CHECK]
    assert (found.passed, found.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert run.success


def test_a_place_that_is_away_is_red_and_not_a_failed_step(looking: World) -> None:
    looking.plan["coverage"]["away"] = {"files": str(looking.root / "away")}
    run = look(looking.load())
    found = looking.evaluations(run)[CHECK]
    assert not found.passed
    assert found.metadata["places_not_looked_at"].value == 1


def test_a_schedule_looks_daily(looking: World) -> None:
    [schedule] = [each for each in looking.repository.schedule_defs if "coverage" in each.name]
    assert schedule.cron_schedule == "0 6 * * *"
    context = dg.build_schedule_context(
        instance=looking.instance,
        repository_def=looking.repository,
        scheduled_execution_time=looking.clock.time,
    )
    [request] = schedule.evaluate_tick(context).run_requests or ()
    assert request.asset_selection == [looking.translator.coverage_key()]


def test_somebody_is_told_and_told_when_it_is_over(looking: World) -> None:
    looking.cursor = looking.sensor("backup_alerts").cursor
    new = looking.root / "new"
    new.mkdir()
    look(looking)
    looking.cursor = looking.sensor("backup_alerts", looking.cursor).cursor
    [(title, body)] = looking.channel.sent
    assert title.endswith(f"plan: check {CHECK} failed")
    assert "directory 'new' of" in body
    assert "coverage` shows the lines" in body
    new.rmdir()
    looking.clock.time += DAY
    look(looking)
    looking.sensor("backup_alerts", looking.cursor)
    assert len(looking.channel.sent) == 2
