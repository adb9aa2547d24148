"""Schedules and sensors that fail are told, whichever part of Dagster says so."""

from __future__ import annotations

import itertools

import dagster as dg
import pytest
from dagster._core.remote_origin import (
    RegisteredCodeLocationOrigin,
    RemoteInstigatorOrigin,
    RemoteRepositoryOrigin,
)
from dagster._core.scheduler.instigation import (
    InstigatorState,
    InstigatorStatus,
    InstigatorType,
    ScheduleInstigatorData,
    SensorInstigatorData,
    TickData,
    TickStatus,
)
from dagster_shared.error import SerializableErrorInfo

from backup_platform_tests.orchestration.conftest import World

ALERTS, MISSED = "backup_alerts", "backup_missed_windows"
SCHEDULE = "backup_day_0000_utc_schedule"
_times = itertools.count(1)


def state_of(name: str, kind: InstigatorType, status: InstigatorStatus) -> InstigatorState:
    location = RegisteredCodeLocationOrigin("backups")
    origin = RemoteInstigatorOrigin(RemoteRepositoryOrigin(location, "__repository__"), name)
    data = SensorInstigatorData() if kind == InstigatorType.SENSOR else ScheduleInstigatorData("0 0 * * *")
    return InstigatorState(origin, kind, status, data)


def tick(world: World, name: str, status: TickStatus, kind: InstigatorType = InstigatorType.SENSOR) -> None:
    """As the daemon records one."""
    state = state_of(name, kind, InstigatorStatus.RUNNING)
    if world.instance.get_instigator_state(state.instigator_origin_id, state.selector_id) is None:
        world.instance.add_instigator_state(state)
    failed = status == TickStatus.FAILURE
    cause = SerializableErrorInfo("DagsterUnknownPartitionError: no partition 2026-01-01", [], None)
    error = SerializableErrorInfo("Error occurred during the evaluation", [], None, cause) if failed else None
    data = TickData(
        state.instigator_origin_id,
        name,
        kind,
        status,
        float(next(_times)),
        error=error,
        selector_id=state.selector_id,
    )
    world.instance.create_tick(data)


def told(world: World, sensor: str = ALERTS) -> list[str]:
    world.cursor = world.sensor(sensor, world.cursor or '{"next": ""}').cursor
    return [title for title, _ in world.channel.sent]


def test_a_sensor_that_fails_again_and_again_is_told_and_that_it_works_again(world_on_disk: World) -> None:
    title = f"the sensor {MISSED} fails"
    for _ in range(2):
        tick(world_on_disk, MISSED, TickStatus.FAILURE)
    assert told(world_on_disk) == [], "a code location that is loaded anew fails a tick or two"
    tick(world_on_disk, MISSED, TickStatus.FAILURE)
    assert told(world_on_disk) == [title]
    assert "no partition 2026-01-01" in world_on_disk.channel.sent[0][1]
    tick(world_on_disk, MISSED, TickStatus.STARTED)
    assert told(world_on_disk) == [title]
    tick(world_on_disk, MISSED, TickStatus.SKIPPED)
    assert told(world_on_disk) == [title, f"Resolved: {title}"]


def test_a_schedule_is_told_at_once_and_so_is_one_that_somebody_switched_off(world_on_disk: World) -> None:
    tick(world_on_disk, SCHEDULE, TickStatus.FAILURE, InstigatorType.SCHEDULE)
    tick(world_on_disk, "somebody_elses", TickStatus.FAILURE, InstigatorType.SCHEDULE)
    assert told(world_on_disk) == [f"the schedule {SCHEDULE} fails"]
    stopped = state_of(SCHEDULE, InstigatorType.SCHEDULE, InstigatorStatus.STOPPED)
    world_on_disk.instance.update_instigator_state(stopped)
    assert told(world_on_disk)[1:] == [f"the schedule {SCHEDULE} is switched off"], "it was not seen to work"
    world_on_disk.instance.update_instigator_state(stopped.with_status(InstigatorStatus.RUNNING))
    assert told(world_on_disk)[2:] == [f"Resolved: the schedule {SCHEDULE} is on again"]


def test_the_sensor_that_tells_is_told_by_the_other_when_it_is_off(world_on_disk: World) -> None:
    off = state_of(ALERTS, InstigatorType.SENSOR, InstigatorStatus.STOPPED)
    world_on_disk.instance.add_instigator_state(off)
    assert told(world_on_disk, MISSED) == [f"the sensor {ALERTS} is switched off"]


def test_the_sensor_that_tells_is_watched_by_the_other(world_on_disk: World) -> None:
    for _ in range(3):
        tick(world_on_disk, ALERTS, TickStatus.FAILURE)
    assert told(world_on_disk, MISSED) == [f"the sensor {ALERTS} fails"]


def test_a_run_that_cannot_be_judged_hides_no_other(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    told(world)
    world.launch("shop")
    world.launch("uploads")
    get, seen = world.instance.get_run_by_id, []

    def broken(run_id: str) -> dg.DagsterRun | None:
        seen.append(run_id)
        if len(seen) == 1:
            raise ArithmeticError("as a defect would")
        return get(run_id)

    monkeypatch.setattr(world.instance, "get_run_by_id", broken)
    told(world)
    assert len(seen) == 2
    [(title, body)] = world.channel.sent
    assert f"run {seen[0]} cannot be evaluated" in title + body
    assert "ArithmeticError" in body


@pytest.mark.parametrize("cursor", ["no json", "[]", '{"next": 3, "desk": {}}'])
@pytest.mark.parametrize("sensor", [ALERTS, MISSED])
def test_a_cursor_that_cannot_be_read_is_begun_anew(world: World, sensor: str, cursor: str) -> None:
    assert world.sensor(sensor, cursor).cursor != cursor
