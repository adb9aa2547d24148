"""The sensor that sees what did not happen."""

from __future__ import annotations

import json
import os
import re
import time
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event, active_count
from typing import Any

import dagster as dg
import pytest
from dagster._core.remote_origin import RegisteredCodeLocationOrigin, RemoteRepositoryOrigin

from backup_platform.errors import SourceMissingError
from backup_platform.orchestration.runs import LONGEST_PAUSE
from backup_platform.orchestration.sensors import missed_windows as missed
from backup_platform.orchestration.sensors import sweep as sweeping
from backup_platform_tests.orchestration.conftest import DAY, World, bound_by_modes

NAME = "backup_missed_windows"


def launched(tick: Any) -> list[tuple[str | None, str | None]]:
    return [(request.run_key, request.job_name) for request in tick.run_requests or []]


def observed(tick: Any) -> list[tuple[str, str]]:
    return [(event.asset_key.path[-1], event.partition) for event in tick.asset_events]


def days(world: World, first: int, end: int) -> list[str]:
    """Keys of daily windows, counted from today."""
    return [f"{world.clock.time + n * DAY:%Y-%m-%d}" for n in range(first, end)]


def only(world: World, *names: str) -> World:
    world.plan["sources"] = {name: world.plan["sources"][name] for name in names}
    return world.load()


def test_the_current_window_is_launched_and_older_ones_are_recorded(unloaded: World) -> None:
    world = only(unloaded, "uploads")
    tick = world.sensor(NAME)
    assert launched(tick) == [(f"backups/uploads|{world.window}|1", "backup_day_0000_utc")]
    assert observed(tick) == [("uploads", key) for key in days(world, -5, 0)]
    [request] = tick.run_requests
    assert request.tags["backup/source"] == "uploads"
    assert request.asset_selection == [dg.AssetKey(["backups", "uploads"])]


def test_missed_windows_are_recorded_once_and_told_as_one_incident(unloaded: World) -> None:
    world = only(unloaded, "uploads")
    first = world.sensor(NAME)
    assert [title for title, _ in world.channel.sent] == ["uploads: 5 windows missed"]
    second = world.sensor(NAME, first.cursor)
    assert observed(second) == []
    assert len(world.channel.sent) == 1
    world.clock.time += DAY
    third = world.sensor(NAME, second.cursor)
    assert observed(third) == [("uploads", days(world, -1, 0)[0])]
    assert len(world.channel.sent) <= 2


def test_the_incident_is_over_when_something_is_captured(unloaded: World) -> None:
    world = only(unloaded, "uploads")
    cursor = world.sensor(NAME).cursor
    world.launch("uploads")
    tick = world.sensor(NAME, cursor)
    assert launched(tick) == []
    title, body = world.channel.sent[-1]
    assert title == "Resolved: uploads: backed up again, 5 windows stay missed"
    assert days(world, -5, 0)[0] in body
    assert world.sensor(NAME, tick.cursor).skip_message
    assert len(world.channel.sent) == 2


def test_an_outage_of_all_sources_is_one_message(unloaded: World) -> None:
    for n in range(30):
        unloaded.plan["sources"][f"s{n}"] = dict(unloaded.plan["sources"]["uploads"])
    world = unloaded.load()
    tick = world.sensor(NAME)
    assert len(launched(tick)) == 32
    assert len(world.channel.sent) == 1


def test_what_is_not_due_yet_is_not_launched(unloaded: World) -> None:
    unloaded.plan["sources"]["uploads"]["at"] = "18:00"
    world = only(unloaded, "uploads")
    assert launched(world.sensor(NAME)) == []
    world.clock.time += timedelta(hours=6, minutes=1)
    assert launched(world.sensor(NAME)) == [], "the schedule's own run has just been launched"
    world.clock.time += timedelta(minutes=20)
    assert len(launched(world.sensor(NAME))) == 1


def create_run(world: World, job: str, *, alone: bool = True, **options: Any) -> dg.DagsterRun:
    """A run of the uploads for the current window that has not begun."""
    key = world.translator.asset_key("uploads")
    definition = world.repository.get_job(job)
    return world.instance.create_run_for_job(
        definition.get_subset(asset_selection={key}) if alone else definition,
        asset_selection=frozenset({key}) if alone else None,
        **{"tags": {"dagster/partition": world.window}, **options},
    )


@pytest.mark.parametrize("job", ["backup_day_0000_utc", "__ASSET_JOB"])
def test_what_waits_or_runs_is_not_launched(unloaded: World, job: str) -> None:
    """By the schedule or by hand: runs that were launched by hand have no tags of ours before they start."""
    world = only(unloaded, "uploads")
    # The queue wants to know where a job is loaded from.
    location = RegisteredCodeLocationOrigin("backup_platform")
    origin = RemoteRepositoryOrigin(location, "__repository__").get_job_origin(job)
    run = create_run(world, job, status=dg.DagsterRunStatus.QUEUED, remote_job_origin=origin)
    assert launched(world.sensor(NAME)) == []
    for event in ("PIPELINE_STARTING", "PIPELINE_START", "PIPELINE_CANCELING"):
        world.instance.report_dagster_event(dg.DagsterEvent(event, run.job_name), run.run_id)
        assert launched(world.sensor(NAME)) == []


def test_a_run_of_the_whole_job_covers_its_sources(world: World) -> None:
    create_run(world, "backup_day_0000_utc", alone=False)
    assert [key for key, _ in launched(world.sensor(NAME))] == [f"backups/shop|{world.window}|1"]


def test_a_run_of_another_window_is_in_nobodys_way(unloaded: World) -> None:
    world = only(unloaded, "uploads")
    create_run(world, "backup_day_0000_utc", tags={"dagster/partition": days(world, -1, 0)[0]})
    assert len(launched(world.sensor(NAME))) == 1


def noon_zone() -> str:
    """A zone where it is about noon now: no window ends while the test runs."""
    offset = 12 - datetime.now(UTC).hour
    return f"Etc/GMT{-offset:+d}" if offset else "UTC"


def test_failed_windows_are_tried_again_ever_more_rarely(unloaded: World) -> None:
    """Runs end by the machine's clock, which the sensor is asked by here."""
    unloaded.plan["sources"]["uploads"]["timezone"] = noon_zone()
    world = only(unloaded, "uploads")
    now = world.clock.time = datetime.now(UTC)
    key = world.app.windows.schedule("uploads").window_of(now).key
    pauses = []
    for attempt in range(1, 4):
        world.app.faults = [SourceMissingError("gone")]
        assert not world.launch("uploads", key).success
        ended = datetime.now(UTC)
        world.clock.time = ended
        assert launched(world.sensor(NAME)) == []
        while not launched(world.sensor(NAME)):
            world.clock.time += timedelta(minutes=1)
        assert launched(world.sensor(NAME))[0][0] == f"backups/uploads|{key}|{attempt + 1}"
        pauses.append(round((world.clock.time - ended) / timedelta(minutes=1)))
    assert pauses == [5, 10, 20]
    assert timedelta(hours=1) < LONGEST_PAUSE < DAY


def test_what_a_person_cancelled_stays_cancelled(unloaded: World) -> None:
    unloaded.plan["sources"]["uploads"]["timezone"] = noon_zone()
    world = only(unloaded, "uploads")
    world.clock.time = datetime.now(UTC)
    key = world.app.windows.schedule("uploads").window_of(world.clock.time).key
    tags = {**world.translator.run_tags("uploads"), "dagster/partition": key}
    run = world.instance.create_run_for_job(world.job_of("uploads"), tags=tags)
    world.instance.report_run_canceled(run)
    world.clock.time += timedelta(hours=5)
    assert launched(world.sensor(NAME)) == []


def test_an_incomplete_point_is_tried_again_a_few_times_only(unloaded: World) -> None:
    unloaded.plan["sources"]["uploads"]["timezone"] = noon_zone()
    world = only(unloaded, "uploads")
    (world.tree / "secret.txt").write_text("x")
    (world.tree / "secret.txt").chmod(0)
    world.clock.time = datetime.now(UTC)
    key = world.app.windows.schedule("uploads").window_of(world.clock.time).key
    tries = []
    for _ in range(4):
        with bound_by_modes():
            world.launch("uploads", key)
        world.clock.time = datetime.now(UTC) + timedelta(hours=5)
        tries.append(len(launched(world.sensor(NAME))))
    assert tries == [1, 1, 0, 0]


def test_late_windows_are_launched_too(unloaded: World) -> None:
    unloaded.plan["sources"]["uploads"]["late_limit"] = "1d"
    world = only(unloaded, "uploads")
    tick = world.sensor(NAME)
    keys = [key for key, _ in launched(tick)]
    assert keys == [f"backups/uploads|{day}|1" for day in days(world, -1, 1)]
    assert observed(tick) == [("uploads", key) for key in days(world, -5, -1)]


AWAY = "The repository is unreachable: missed windows cannot be found"


def test_a_repository_that_is_away_is_one_incident(world: World, tmp_path: Path) -> None:
    (world.root / "repository").rename(tmp_path / "away")
    world.load(init=False)
    first = world.sensor(NAME)
    assert launched(first) == []
    second = world.sensor(NAME, first.cursor)
    assert [title for title, _ in world.channel.sent] == [AWAY]
    (tmp_path / "away").rename(world.root / "repository")
    world.load(init=False)
    world.sensor(NAME, second.cursor)
    assert len(world.channel.sent) == 2
    assert f"Resolved: {AWAY}" in world.channel.sent[1][1]


def test_damage_of_one_source_hides_nothing_of_the_others(world: World) -> None:
    world.launch("uploads")
    for manifest in (world.root / "repository" / "manifests").rglob("*"):
        if manifest.is_file():
            manifest.chmod(0o600)
            manifest.write_bytes(b"no manifest")
    world.load(init=False)
    tick = world.sensor(NAME)
    assert [key for key, _ in launched(tick)] == [f"backups/shop|{world.window}|1"]
    assert "uploads: missed windows cannot be found" in world.channel.sent[0][1]


def test_a_repository_that_never_answers_holds_nobody_up(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a hung network file system. A sensor that Dagster ends keeps nothing of what it found."""
    answer = Event()
    missing = world.app.windows.missing
    monkeypatch.setattr(world.app.windows, "missing", lambda *asked: answer.wait() and missing(*asked))
    monkeypatch.setattr(missed, "ANSWER_WITHIN_S", 0.2)
    before = active_count()
    tick = world.sensor(NAME)
    for _ in range(5):
        tick = world.sensor(NAME, tick.cursor)
    assert active_count() == before + 1
    assert [title for title, _ in world.channel.sent] == [AWAY]
    answer.set()
    wait_for(lambda: active_count() == before)
    assert len(launched(world.sensor(NAME, tick.cursor))) == 2


def wait_for(condition: Callable[[], bool]) -> None:
    while not condition():
        time.sleep(0.01)


def test_a_window_that_was_missed_is_told_even_if_the_next_was_captured_at_once(unloaded: World) -> None:
    world = only(unloaded, "uploads")
    cursor = world.sensor(NAME).cursor
    world.launch("uploads")
    cursor = world.sensor(NAME, cursor).cursor
    world.channel.sent.clear()
    world.clock.time += 2 * DAY
    world.launch("uploads")
    cursor = world.sensor(NAME, cursor).cursor
    assert [title for title, _ in world.channel.sent] == ["Again: uploads: 1 window missed"]
    assert f"point: {days(world, -1, 0)[0]}. Missed before: 5 windows." in world.channel.sent[0][1]
    world.sensor(NAME, cursor)
    assert len(world.channel.sent) == 1, (
        "what comes and goes is told as over when it has not failed for three days"
    )


def test_a_message_of_missed_windows_shows_the_points_between_them(unloaded: World) -> None:
    unloaded.plan["sources"]["uploads"]["every"] = "hour"
    world = only(unloaded, "uploads")
    world.app.backups.run("uploads")
    cursor = world.sensor(NAME, '{"next": ""}').cursor
    for hours in (2, 3):
        world.clock.time += timedelta(hours=hours)
        world.app.backups.run("uploads")
    world.sensor(NAME, cursor)
    [(title, body)] = world.channel.sent
    assert title == "uploads: 3 windows missed"
    assert re.search("point: [0-9-]+T13:00, [0-9-]+T15:00 to [0-9-]+T16:00 .2 windows.[.]", body)


def test_a_channel_that_is_down_delays_the_alert_and_hinders_no_launch(unloaded: World) -> None:
    world = only(unloaded, "uploads")
    world.channel.down = True
    tick = world.sensor(NAME)
    assert len(launched(tick)) == 1
    world.channel.down = False
    world.clock.time += timedelta(minutes=5)
    world.sensor(NAME, tick.cursor)
    assert [title for title, _ in world.channel.sent] == ["uploads: 5 windows missed"]


def test_sources_are_paged_through_within_the_time_budget(
    unloaded: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    for n in range(10):
        unloaded.plan["sources"][f"s{n}"] = dict(unloaded.plan["sources"]["uploads"])
    world = unloaded.load()
    world.clock.pace = sweeping.BUDGET_S / 3
    cursor, ticks = None, 0
    seen: list[str] = []
    while len(seen) < 12:
        tick = world.sensor(NAME, cursor)
        page = [request.tags["backup/source"] for request in tick.run_requests]
        assert 1 <= len(page) <= 4
        assert not set(page) & set(seen), "each source before any a second time"
        seen += page
        cursor, ticks = tick.cursor, ticks + 1
    assert ticks >= 3


def test_a_source_that_left_the_plan_is_forgotten(world: World) -> None:
    world.clock.pace = sweeping.BUDGET_S
    cursor = world.sensor(NAME).cursor
    assert json.loads(cursor)["next"] == "shop"
    world = only(world, "uploads")
    tick = world.sensor(NAME, cursor)
    assert "shop" not in tick.cursor


def test_many_missed_windows_are_recorded_by_the_newest(unloaded: World) -> None:
    unloaded.plan["sources"]["uploads"].update(every="hour")
    world = only(unloaded, "uploads")
    tick = world.sensor(NAME)
    assert len(observed(tick)) == missed.MOST_OF_A_SOURCE
    schedule = world.app.windows.schedule("uploads")
    last = schedule.previous(schedule.window_of(world.clock.time))
    assert last is not None
    assert observed(tick)[-1] == ("uploads", last.key)
    assert all(event.metadata["missed_windows"].value == 5 * 24 + 12 for event in tick.asset_events)


def test_a_wide_outage_is_not_written_out_window_by_window(
    unloaded: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(missed, "MANY", 7)
    for n in range(3):
        unloaded.plan["sources"][f"s{n}"] = dict(unloaded.plan["sources"]["uploads"])
    world = unloaded.load()
    sources = [source for source, _ in observed(world.sensor(NAME))]
    assert sorted(Counter(sources).values()) == [1, 1, 1, 5, 5]


def asked(world: World, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The sources whose points are asked for from now on."""
    seen: list[str] = []
    missing = world.app.windows.missing

    def record(source: str, now: datetime, known: datetime) -> Any:
        seen.append(source)
        return missing(source, now, known)

    monkeypatch.setattr(world.app.windows, "missing", record)
    return seen


def test_a_source_in_order_is_asked_again_when_its_next_window_is_due(
    unloaded: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A list of a remote store costs money, each minute and source."""
    unloaded.plan["sources"]["uploads"]["every"] = "hour"
    world = only(unloaded, "uploads")
    world.launch("uploads", f"{world.clock.time:%Y-%m-%dT%H:00}")
    cursor = world.sensor(NAME, world.sensor(NAME).cursor).cursor
    seen = asked(world, monkeypatch)
    for _ in range(59):
        world.clock.time += timedelta(minutes=1)
        cursor = world.sensor(NAME, cursor).cursor
    assert seen == []
    world.clock.time += timedelta(minutes=6)
    assert len(launched(world.sensor(NAME, cursor))) == 1


def test_a_source_in_order_is_asked_once_an_hour_at_least(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody may have deleted its point."""
    world.launch("uploads")
    cursor = world.sensor(NAME, world.sensor(NAME).cursor).cursor
    seen = asked(world, monkeypatch)
    for _ in range(4):
        world.clock.time += timedelta(minutes=30)
        cursor = world.sensor(NAME, cursor).cursor
    assert seen.count("uploads") == 2


def test_a_point_that_was_stored_before_its_window_is_no_capture(unloaded: World) -> None:
    """The clock of a writer was ahead. The window is captured when it comes; when it was not, the alert says why."""
    world = only(unloaded, "uploads")
    world.launch("uploads")
    world.clock.time += DAY
    world.launch("uploads")
    point = world.app.points.all("uploads")[-1]
    stored = (point.window.start - DAY).timestamp()
    os.utime(world.root / "repository" / world.app.points.manifest_path(point), (stored, stored))
    world.load(init=False)
    world.clock.time += timedelta(minutes=10)
    tick = world.sensor(NAME)
    assert launched(tick) == [(f"backups/uploads|{world.window}|2", "backup_day_0000_utc")]
    world.clock.time += DAY
    world.sensor(NAME, tick.cursor)
    assert "a clock was ahead" in world.channel.sent[-1][1]
