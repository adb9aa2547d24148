from __future__ import annotations

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import dagster as dg
import pytest

from backup_platform_tests.orchestration.conftest import World


def requests(world: World, schedule: str, tick: datetime) -> list[dg.RunRequest]:
    """What a tick launches."""
    return list(world.schedule(schedule, tick).run_requests or [])


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
        f"backups/shop|{world.window}|1",
        f"backups/also|{world.window}|1",
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
    evaluated = world.schedule("backup_day_0000_utc_schedule", tick)
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


MISSED = "backup_missed_windows"


@pytest.mark.parametrize("first", ["schedule", "sensor"])
def test_after_an_outage_schedule_and_sensor_launch_each_window_once(unloaded: World, first: str) -> None:
    """Both are evaluated within seconds, before Dagster has created the runs that the other one asked for."""
    for n in range(8):
        unloaded.plan["sources"][f"s{n}"] = dict(unloaded.plan["sources"]["uploads"])
    del unloaded.plan["sources"]["shop"]
    world = unloaded.load()
    tick = world.clock.time.replace(hour=0)

    def schedule() -> list[dg.RunRequest]:
        return requests(world, "backup_day_0000_utc_schedule", tick)

    def sensor() -> list[dg.RunRequest]:
        return list(world.sensor(MISSED).run_requests or [])

    asked = [*schedule(), *sensor()] if first == "schedule" else [*sensor(), *schedule()]
    assert len(asked) == 9
    assert {request.run_key for request in asked} == {
        f"backups/{source}|{world.window}|1" for source in world.app.plan.sources
    }


@pytest.mark.parametrize("ended", [False, True])
def test_a_schedule_that_is_late_leaves_a_window_to_the_run_that_there_is(
    unloaded: World, ended: bool
) -> None:
    del unloaded.plan["sources"]["shop"]
    world = unloaded.load()
    tick = world.clock.time.replace(hour=0)
    [request] = world.sensor(MISSED).run_requests or []
    if ended:
        world.launch("uploads")
    else:
        job = world.job_of("uploads").get_subset(asset_selection={world.translator.asset_key("uploads")})
        selected = frozenset({world.translator.asset_key("uploads")})
        world.instance.create_run_for_job(job, tags=request.tags, asset_selection=selected)
    world.load(init=False)  # as in a new process, which does not know who has just asked
    assert requests(world, "backup_day_0000_utc_schedule", tick) == []
