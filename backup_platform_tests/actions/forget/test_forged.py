"""What a writer that was taken over can make of retention: points whose windows are whatever it says."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from backup_platform.actions.forget.run import Retention
from backup_platform.domain.keep.retention import KeepRules, SourceRules
from backup_platform.domain.model import RecoveryPoint, Window
from backup_platform_tests.actions.forget import test_retention
from backup_platform_tests.actions.forget.test_retention import World
from backup_platform_tests.docs.cells import shows

made, world = test_retention.made, test_retention.world


def forge(world: World, key: str, start: datetime, end: datetime) -> RecoveryPoint:
    """A point with a proof, whose window is whatever a writer that was taken over says."""
    last = world.bench.open().points.all()[-1]
    forged = replace(
        last,
        window=Window(key, start, end),
        sequence=last.sequence + 1,
        predecessor=last.id,
        captured_at=start,
    )
    made = world.bench.open().points.commit(forged)
    world.proof(made)
    return made


def forget(world: World, rules: KeepRules) -> set[int]:
    """As the program does, which knows the schedule. What is left."""
    sources = {"docs": SourceRules(rules, schedule=world.bench.schedule)}
    retention = Retention(world.bench.open(), sources, world.bench.clock)
    retention.run_forget(retention.plan_forget())
    return set(world.here())


@pytest.mark.parametrize("key", ["%Y-%m-%d", "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%dx"])
@pytest.mark.parametrize("second", [0, 59])
def test_a_night_of_windows_from_long_ago_until_tomorrow_evicts_nobody(
    world: World, key: str, second: int
) -> None:
    """Each starts at the end of a day, later than its real point, and is not over yet."""
    world.bench.clock.advance(hours=6)
    world.proof(world.points[2])
    now = world.bench.clock.now()
    for day in range(6, 0, -1):
        start = (now - timedelta(days=day)).replace(hour=23, minute=59, second=second, microsecond=0)
        forge(world, start.strftime(key), start, now + timedelta(days=1))
    assert {3, 4, 5, 6} <= forget(world, KeepRules(daily=4))


def test_of_a_window_without_a_known_schedule_a_day_is_believed(world: World) -> None:
    world.bench.clock.advance(hours=6)
    now = world.bench.clock.now()
    for day in range(6, 2, -1):
        start = (now - timedelta(days=day)).replace(hour=23, minute=59, second=0, microsecond=0)
        forge(world, f"{start:%Y-%m-%dT%H:%M}", start, now + timedelta(days=1))
    world.forget(KeepRules(daily=4))
    assert {3, 4, 5, 6} <= set(world.here())


def test_a_point_of_today_with_the_key_of_an_old_window_takes_no_place_of_it(world: World) -> None:
    rules, now = KeepRules(daily=6), world.bench.clock.now()
    for point in world.points[:4]:
        forge(world, point.window.key, now, now + timedelta(hours=1))
    assert world.forget(rules) == []
    reasons = world.retention(rules).decisions("docs")[-2].decision.reasons
    assert reasons == ("the key of its window does not name its start: not counted",)


@shows("writer", "deletes", "hides")
@shows("holder of an identity", "deletes", "hides")
def test_forged_points_take_the_place_of_those_of_windows_within_patience_alone(world: World) -> None:
    schedule, now = world.bench.schedule, world.bench.clock.now()
    rules = KeepRules(last=4)
    for minute in range(10, 1, -1):  # no windows of the schedule: they do not count beside the real ones
        start = now.replace(minute=0, second=0, microsecond=0) + timedelta(minutes=minute - 60)
        forge(world, f"{start:%Y-%m-%dT%H:%M}", start, start + timedelta(minutes=15))
    assert {3, 4, 5, 6} <= forget(world, rules)
    window = schedule.window_of(world.points[-1].captured_at)
    forge(world, window.key, window.start, window.end)
    assert {3, 4, 5, 6} - forget(world, rules) == {6}
