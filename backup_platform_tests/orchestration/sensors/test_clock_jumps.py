"""A clock that was two days ahead and is right again silences nothing: what is remembered is bounded against now."""

from __future__ import annotations

from datetime import timedelta

import pytest

from backup_platform.domain.model import RecoveryPoint
from backup_platform.orchestration.sensors.copies_cursor import Verdicts
from backup_platform_tests.orchestration.conftest import DAY, World
from backup_platform_tests.orchestration.sensors.test_missed_windows import NAME, launched, observed, only

HOUR = timedelta(hours=1)
NEW = '{"next": ""}'


@pytest.fixture
def hourly(unloaded: World) -> World:
    """One source, hourly; four days ago, because Dagster knows no window of the future."""
    unloaded.clock.time -= 2 * DAY - timedelta(minutes=10)
    unloaded.plan["sources"]["uploads"]["every"] = "hour"
    return only(unloaded, "uploads")


def test_a_sensor_that_was_ahead_once_sees_the_next_missed_windows(hourly: World) -> None:
    hourly.app.backups.run("uploads")
    cursor = hourly.sensor(NAME, NEW).cursor
    hourly.clock.time += 2 * DAY
    cursor = hourly.sensor(NAME, cursor).cursor
    hourly.clock.time -= 2 * DAY
    cursor = hourly.sensor(NAME, cursor).cursor
    hourly.channel.sent.clear()
    hourly.clock.time += 2 * HOUR
    hourly.app.backups.run("uploads")
    tick = hourly.sensor(NAME, cursor)
    assert len(observed(tick)) == 1
    assert [title for title, _ in hourly.channel.sent] == ["Again: uploads: 1 window missed"]


def test_a_sensor_that_began_while_the_clock_was_ahead_sees_what_is_due(hourly: World) -> None:
    hourly.clock.time += 2 * DAY
    cursor = hourly.sensor(NAME, NEW).cursor
    hourly.clock.time -= 2 * DAY
    cursor = hourly.sensor(NAME, cursor).cursor
    hourly.clock.time += 2 * HOUR
    tick = hourly.sensor(NAME, cursor)
    assert len(launched(tick)) == 1
    assert len(observed(tick)) == 1


def test_copies_are_judged_although_a_point_of_a_window_to_come_was_judged(hourly: World) -> None:
    hourly.app.backups.run("uploads")
    hourly.clock.time += 2 * DAY
    hourly.app.backups.run("uploads")
    verdicts = Verdicts()
    for point in verdicts.unsettled(hourly.app.points.all("uploads"), hourly.clock.time):
        verdicts.seen = point.window.start.isoformat()
    hourly.clock.time -= 2 * DAY - HOUR
    hourly.app.backups.run("uploads")
    found: list[RecoveryPoint] = verdicts.unsettled(hourly.app.points.all("uploads"), hourly.clock.time)
    assert hourly.app.windows.schedule("uploads").window_of(hourly.clock.time).key in [
        p.window.key for p in found
    ]
