"""A repository that is away, empty or another one says nothing of missed windows; nor does the time before it."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from backup_platform.app import App
from backup_platform.clock import SystemClock
from backup_platform.orchestration.build import build_definitions
from backup_platform.orchestration.sensors.missed_windows import PRESENCE
from backup_platform.orchestration.translator import BackupTranslator
from backup_platform.plan import Plan
from backup_platform.repository.creating import init_repository
from backup_platform.stores.opening import open_store
from backup_platform_tests.orchestration.conftest import DAY, World
from backup_platform_tests.orchestration.sensors.test_missed_windows import NAME, launched, observed, only

NEW = '{"next": ""}'  # the cursor of a sensor that never looked


def nothing(place: Path) -> None:
    assert not place.exists()


def empty(place: Path) -> None:
    place.mkdir()


def another(place: Path) -> None:
    init_repository(open_store(str(place), create=True).store, SystemClock())


@pytest.mark.parametrize(("put", "state"), [(nothing, "away"), (empty, "empty"), (another, "another")])
@pytest.mark.parametrize("restarted", [False, True])
def test_what_became_of_a_repository_is_told_and_no_window_is_missed(
    unloaded: World, put: Callable[[Path], None], state: str, restarted: bool
) -> None:
    """As when a disk is unmounted under the running process, or while it is started anew."""
    world = only(unloaded, "uploads")
    world.app.backups.run("uploads")
    cursor = world.sensor(NAME, NEW).cursor
    place = world.root / "repository"
    place.rename(world.root / "elsewhere")
    put(place)
    if restarted:
        world.load(init=False)
    for _ in range(3):
        world.clock.time += timedelta(hours=5)
        tick = world.sensor(NAME, cursor)
        cursor = tick.cursor
        assert observed(tick) == []
    told = [title for title, _ in world.channel.sent]
    assert [title for title in told if "Still" not in title] == [PRESENCE[state]]
    assert not launched(tick), "a run would fail"
    shutil.rmtree(place, ignore_errors=True)
    (world.root / "elsewhere").rename(place)
    App.load(world.app.plan_path, clock=world.clock).backups.run(
        "uploads"
    )  # as a run does, in a process of its own
    assert observed(world.sensor(NAME, cursor)) == []
    assert [title for title, _ in world.channel.sent][len(told) :] == [f"Resolved: {PRESENCE[state]}"]


def test_a_new_repository_is_taken_over_by_its_fingerprint_in_the_plan(unloaded: World) -> None:
    world = only(unloaded, "uploads")
    cursor = world.sensor(NAME, NEW).cursor
    (world.root / "repository").rename(world.root / "elsewhere")
    another(world.root / "repository")
    world.clock.time += timedelta(hours=2)
    cursor = world.sensor(NAME, cursor).cursor
    [(_, body)] = world.channel.sent
    found = re.search("write `fingerprint: ([-0-9a-f]{47})`", body)
    assert found
    assert not world.launch().success
    world.plan["repository"]["fingerprint"] = found[1]
    world.load(init=False)
    world.sensor(NAME, cursor)
    assert [title for title, _ in world.channel.sent][1:] == [f"Resolved: {PRESENCE['another']}"]
    assert world.launch().success


def test_where_nothing_but_its_cursor_remembers_a_repository_that_is_deleted(unloaded: World) -> None:
    world = only(unloaded, "uploads")
    cursor = world.sensor(NAME, NEW).cursor
    (world.root / "repository").rename(world.root / "elsewhere")
    another(world.root / "repository")
    os.remove(world.app.recognising.place.note)
    world.load(init=False)
    world.clock.time += timedelta(hours=2)
    world.sensor(NAME, cursor)
    [(_, body)] = world.channel.sent
    assert "dagster sensor cursor backup_missed_windows --delete" in body
    world.sensor(NAME, NEW)
    assert len(world.channel.sent) == 1


def quick(world: World, **plan: Any) -> World:
    """One source every five minutes; made at 12:17:01."""
    world.plan["sources"] = {"uploads": {"files": str(world.tree), "cron": "*/5 * * * *", **plan}}
    world.clock.time = world.clock.time.replace(minute=17, second=1)
    return world.load()


@pytest.mark.parametrize("since", [None, "2020-01-01"])
def test_a_new_set_up_begins_with_a_launch_and_without_an_alarm(unloaded: World, since: str | None) -> None:
    world = quick(unloaded, **({"since": since} if since else {}))
    tick = world.sensor(NAME, NEW)
    [(key, _)] = launched(tick)
    assert "T12:15" in str(key)
    world.clock.time += timedelta(minutes=3)
    tick = world.sensor(NAME, tick.cursor)
    assert observed(tick) == []
    assert world.channel.sent == []
    world.clock.time += timedelta(minutes=5)
    tick = world.sensor(NAME, tick.cursor)
    assert [key[-5:] for _, key in observed(tick)] == ["12:20"], "that one ticked while somebody watched"


def test_a_source_that_joins_an_old_plan_begins_without_an_alarm(unloaded: World) -> None:
    world = quick(unloaded)
    world.app.backups.run("uploads")
    cursor = world.sensor(NAME, NEW).cursor
    world.clock.time += timedelta(hours=3)
    world.app.backups.run("uploads")
    world.plan["sources"]["more"] = dict(world.plan["sources"]["uploads"])
    world.load()
    tick = world.sensor(NAME, cursor)
    assert {source for source, _ in observed(tick)} == {"uploads"}
    assert [request.tags["backup/source"] for request in tick.run_requests] == ["more"]


def test_another_schedule_begins_without_an_alarm(unloaded: World) -> None:
    world = only(unloaded, "uploads")
    for _ in range(3):
        world.app.backups.run("uploads")
        world.clock.time += DAY / 2
    cursor = world.sensor(NAME, NEW).cursor
    world.plan["sources"]["uploads"]["every"] = "hour"
    world.clock.time += timedelta(minutes=10)
    tick = world.load().sensor(NAME, cursor)
    assert observed(tick) == []
    assert len(launched(tick)) == 1
    world.clock.time += timedelta(hours=2)
    assert len(observed(world.sensor(NAME, tick.cursor))) == 1


def test_a_second_plan_whose_repository_was_never_made_is_told(world: World, tmp_path: Path) -> None:
    plan = {**world.plan, "repository": {"path": str(tmp_path / "never")}}
    del plan["sources"]["uploads"]["since"], plan["sources"]["shop"]["since"]
    (tmp_path / "second.yaml").write_text(json.dumps(plan))
    app = type(world.app)(
        Plan.load(str(tmp_path / "second.yaml")), str(tmp_path / "second.yaml"), world.clock
    )
    app.channel, app.faults = world.channel, []
    second = build_definitions(BackupTranslator(app, ("archive",), ("archive", "sources")))
    world.repository = dg.Definitions.merge(world.definitions, second).get_repository_def()
    world.sensor("archive_missed_windows", NEW)
    assert [title for title, _ in world.channel.sent] == [PRESENCE["away"]]
    assert f"backup-platform --plan {tmp_path / 'second.yaml'} init" in world.channel.sent[0][1]
    assert str(tmp_path / "never") in world.channel.sent[0][1]
