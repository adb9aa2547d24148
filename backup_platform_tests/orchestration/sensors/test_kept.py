"""An evaluation that is killed after it sent something, before Dagster kept its cursor."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest

from backup_platform.errors import SourceMissingError
from backup_platform.orchestration.sensors.kept import SensorState
from backup_platform_tests.orchestration.conftest import DAY, World
from backup_platform_tests.orchestration.sensors.test_missed_windows import NAME as MISSED
from backup_platform_tests.orchestration.sensors.test_missed_windows import observed, only

ALERTS = "backup_alerts"
HOUR = timedelta(hours=1)


def titles(world: World) -> list[str]:
    return [title for title, _ in world.channel.sent]


def killed(world: World, sensor: str, cursor: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """One evaluation that sends, and whose cursor is lost."""

    def die(self: SensorState, state: dict[str, Any]) -> str:
        raise RuntimeError("killed")

    with monkeypatch.context() as patched:
        patched.setattr(SensorState, "cursor", die)
        with pytest.raises(RuntimeError, match="killed"):
            world.sensor(sensor, cursor)


def test_a_failure_is_told_once_and_its_end_with_the_right_time(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    cursor = world.sensor(ALERTS).cursor
    world.app.faults = [SourceMissingError("gone")]
    world.launch("uploads")
    killed(world, ALERTS, cursor, monkeypatch)
    world.clock.time += HOUR / 2
    cursor = world.sensor(ALERTS, cursor).cursor
    assert titles(world) == ["uploads: backup failed"]
    world.launch("uploads")
    killed(world, ALERTS, cursor, monkeypatch)
    ended = f"{world.clock.time:%H:%M} UTC"
    world.clock.time += HOUR
    cursor = world.sensor(ALERTS, cursor).cursor
    world.sensor(ALERTS, cursor)
    assert titles(world) == ["uploads: backup failed", "Resolved: uploads: backup failed"]
    assert f"to {world.clock.time:%Y-%m-%d} {ended}" in world.channel.sent[-1][1]


def test_windows_that_are_missed_after_an_end_that_was_told_join_nothing_in_silence(
    unloaded: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = only(unloaded, "uploads")
    cursor = world.sensor(MISSED).cursor
    world.launch("uploads")
    killed(world, MISSED, cursor, monkeypatch)
    assert titles(world)[1:] == ["Resolved: uploads: backed up again, 5 windows stay missed"]
    world.clock.time += 2 * DAY
    tick = world.sensor(MISSED, cursor)
    assert len(observed(tick)) == 1
    [title] = titles(world)[2:]
    assert title.startswith(("uploads: ", "Again: uploads: "))
    assert "missed" in title


def test_a_message_that_was_not_sent_when_the_evaluation_was_killed_is_sent(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    cursor = world.sensor(ALERTS).cursor
    world.app.faults = [SourceMissingError("gone")]
    world.launch("uploads")
    world.channel.down = True
    killed(world, ALERTS, cursor, monkeypatch)
    world.channel.down = False
    world.clock.time += HOUR
    world.sensor(ALERTS, cursor)
    assert titles(world) == ["uploads: backup failed"]


def test_a_cursor_that_somebody_deleted_is_begun_anew(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    cursor = world.sensor(ALERTS).cursor
    world.app.faults = [SourceMissingError("gone")]
    world.launch("uploads")
    killed(world, ALERTS, cursor, monkeypatch)
    fresh = json.loads(world.sensor(ALERTS, "").cursor)
    assert json.loads(fresh["desk"]["book"])["incidents"] == {}
    assert fresh["revision"] > json.loads(cursor)["revision"] + 1
