from __future__ import annotations

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import dagster as dg

from backup_platform_tests.orchestration.conftest import World


def requests(world: World, schedule: str, tick: datetime) -> list[dg.RunRequest]:
    """What a tick launches, with the machinery that Dagster puts around it."""
    with dg.build_schedule_context(
        world.instance, scheduled_execution_time=tick, repository_def=world.repository
    ) as context:
        evaluated = world.repository.get_schedule_def(schedule).evaluate_tick(context)
    return list(evaluated.run_requests or [])


def test_sources_that_tick_together_share_a_job_and_a_schedule(unloaded: World) -> None:
    sources = unloaded.plan["sources"]
    sources["also_nightly"] = dict(sources["shop"])
    sources["in_berlin"] = {**sources["shop"], "timezone": "Europe/Berlin"}
    world = unloaded.load()
    assert {s.name: (s.cron_schedule, s.execution_timezone) for s in world.repository.schedule_defs} == {
        "backup_day_0000_utc_schedule": ("0 0 * * *", "UTC"),
        "backup_day_0215_utc_schedule": ("15 2 * * *", "UTC"),
        "backup_day_0215_europe_berlin_schedule": ("15 2 * * *", "Europe/Berlin"),
    }
    assert len(world.repository.get_all_jobs()) == 3 + 1


def test_a_tick_launches_each_source_for_the_window_that_contains_it(unloaded: World) -> None:
    unloaded.plan["sources"]["also"] = dict(unloaded.plan["sources"]["shop"])
    world = unloaded.load()
    tick = world.clock.time.replace(hour=2, minute=15)
    launched = requests(world, "backup_day_0215_utc_schedule", tick)
    assert [request.run_key for request in launched] == [
        f"backups/shop|{world.window}",
        f"backups/also|{world.window}",
    ]
    request = launched[0]
    assert request.partition_key == world.window
    assert request.asset_selection == [dg.AssetKey(["backups", "shop"])]
    assert request.tags["backup/source"] == "shop"
    assert request.tags["dagster/max_runtime"] == "21600"
    assert request.tags["dagster/partition"] == world.window


def test_a_tick_before_the_first_window_launches_nothing_and_says_why(unloaded: World) -> None:
    unloaded.plan["sources"]["uploads"]["since"] = f"{unloaded.clock.time + timedelta(days=30):%Y-%m-%d}"
    world = unloaded.load()
    tick = world.clock.time.replace(hour=0)
    with dg.build_schedule_context(
        world.instance, scheduled_execution_time=tick, repository_def=world.repository
    ) as context:
        evaluated = world.repository.get_schedule_def("backup_day_0000_utc_schedule").evaluate_tick(context)
    assert evaluated.run_requests == []
    assert "uploads" in (evaluated.skip_message or "")


def test_the_hour_that_the_clock_shows_twice_has_two_windows(unloaded: World) -> None:
    zone = ZoneInfo("Europe/Berlin")
    unloaded.plan["sources"]["uploads"].update(every="hour", timezone="Europe/Berlin", since="2025-10-01")
    world = unloaded.load()
    ticks = [datetime(2025, 10, 26, 2, tzinfo=zone, fold=fold) for fold in (0, 1)]
    keys = [requests(world, "backup_hour_00_europe_berlin_schedule", tick)[0].partition_key for tick in ticks]
    assert keys == ["2025-10-26T02:00+0200", "2025-10-26T02:00+0100"]


def test_schedules_and_sensors_run_unless_told_otherwise(world: World) -> None:
    from backup_platform.orchestration.build import build_definitions

    assert {s.default_status for s in world.repository.schedule_defs} == {dg.DefaultScheduleStatus.RUNNING}
    assert {s.default_status for s in world.repository.sensor_defs} == {dg.DefaultSensorStatus.RUNNING}
    stopped = build_definitions(world.translator, running=False).get_repository_def()
    assert {s.default_status for s in stopped.schedule_defs} == {dg.DefaultScheduleStatus.STOPPED}
    assert {s.default_status for s in stopped.sensor_defs} == {dg.DefaultSensorStatus.STOPPED}


def test_jobs_execute_in_process(world: World) -> None:
    names = {
        job.executor_def.name for job in world.repository.get_all_jobs() if job.name.startswith("backup_")
    }
    assert names == {"in_process"}
