"""A source whose schedule changed has points of windows that it does not have any more."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from backup_platform_tests.orchestration.assets.test_copies import follow, pair, tick, titles
from backup_platform_tests.orchestration.conftest import DAY, World
from backup_platform_tests.orchestration.sensors.test_missed_windows import NAME, launched


@pytest.fixture
def changing(unloaded: World) -> World:
    """Two sources with copies; of the uploads there are two daily points, which no copy has."""
    del unloaded.plan["sources"]["uploads"]["since"]
    unloaded.plan["sources"]["shop"] |= {"repositories": ["main", "offsite"], "late_limit": "30d"}
    world = pair(unloaded)
    for _ in range(2):
        world.app.backups.run("uploads")
        world.clock.time += DAY / 2
    world.app.backups.run("shop")
    return world


def change(world: World, **schedule: Any) -> World:
    world.plan["sources"]["uploads"] = {
        name: value for name, value in world.plan["sources"]["uploads"].items() if name != "every"
    } | schedule
    return world.load()


@pytest.mark.parametrize(
    "schedule",
    [
        {"every": "hour"},
        {"every": "week"},
        {"cron": "30 */2 * * *"},
        {"every": "day", "timezone": "Asia/Tokyo"},
        {"every": "day", "since": "2030-01-01"},
    ],
)
def test_the_copies_of_other_sources_go_on(changing: World, schedule: dict[str, Any]) -> None:
    world = change(changing, **schedule)
    assert "offsite/shop" in {request.tags.get("backup/copy") for request in tick(world).run_requests}
    world.sensor(NAME, '{"next": ""}')
    assert {title.partition(" (")[0] for title in titles(world)} <= {
        "uploads: copies of 1 window are not in place"
    }


def test_points_of_the_old_windows_are_copied_by_the_runs_of_the_new(changing: World) -> None:
    world = change(changing, every="hour")
    assert {run.success for run in follow(world)} == {True}
    assert world.app.at("offsite").points.all("uploads") == [], (
        "no run can be of a window that the asset lacks"
    )
    world.app.backups.run("uploads")
    runs = follow(world)
    assert [run.success for run in runs] == [True]
    assert world.app.at("offsite").points.all("uploads") == world.app.points.all("uploads")
    assert len(world.app.points.all("uploads")) == 3
    assert not tick(world).run_requests


def test_old_windows_are_copied_although_the_newest_one_was_long_ago(changing: World) -> None:
    world = change(changing, every="hour")
    world.app.backups.run("uploads")
    copying = world.app.at("offsite").copies.copying(world.app.repository)
    copying.run(copying.plan(world.app.points.all("uploads")[-1:]))
    follow(world)
    assert len(world.app.at("offsite").points.all("uploads")) == 3


def test_a_source_that_cannot_be_visited_stops_no_other(
    changing: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = changing
    (world.root / "repository" / "manifests").rename(world.root / "points")  # both lack the open window's
    schedule = world.app.windows.schedule

    def broken(source: str) -> Any:
        if source == "uploads":
            raise ArithmeticError("as a defect would")
        return schedule(source)

    monkeypatch.setattr(world.app.windows, "schedule", broken)
    found = world.sensor(NAME, '{"next": ""}')
    assert [request.tags["backup/source"] for request in found.run_requests] == ["shop"]
    assert titles(world) == ["uploads: the sensor backup_missed_windows fails for this source"]
    assert "ArithmeticError: as a defect would" in world.channel.sent[0][1]
    monkeypatch.undo()
    world.clock.time += timedelta(minutes=1)
    assert "backups/uploads" in str(launched(world.sensor(NAME, found.cursor)))
    assert titles(world)[1].startswith("Resolved: uploads: the sensor")
