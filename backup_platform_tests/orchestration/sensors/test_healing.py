"""Whatever happens to runs, a window that can still be captured is launched soon after it became overdue."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
from dagster._core.remote_origin import RegisteredCodeLocationOrigin, RemoteRepositoryOrigin
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)

from backup_platform.domain.model import Window
from backup_platform.orchestration.sensors.sweep import Quiet
from backup_platform_tests.orchestration.conftest import DAY, World
from backup_platform_tests.scratch import scratch

MISSED = "backup_missed_windows"
MINUTE = timedelta(minutes=1)
LONG_AGO = datetime.min.replace(tzinfo=UTC)
SOURCES = {
    "quick": {"cron": "*/5 * * * *"},
    "hourly": {"every": "hour", "at": "00:20", "late_limit": "10min"},
}
_S = dg.DagsterRunStatus
_EVENTS = {
    _S.STARTED: dg.DagsterEventType.RUN_START,
    _S.SUCCESS: dg.DagsterEventType.RUN_SUCCESS,
    _S.FAILURE: dg.DagsterEventType.RUN_FAILURE,
}


@dataclass
class Attempt:
    run: dg.DagsterRun
    source: str
    window: str
    status: dg.DagsterRunStatus = _S.QUEUED
    ended: datetime | None = None


@dataclass
class Life:
    """A world in which minutes pass, and what is known of its runs."""

    world: World
    began: datetime = datetime.min
    cursor: str | None = None
    attempts: list[Attempt] = field(default_factory=list)
    ticked: dict[str, str] = field(
        default_factory=dict
    )  # by source, the last window that the schedule launched
    missed: dict[tuple[str, str], datetime] = field(default_factory=dict)  # recorded, and when
    blind_until: datetime = LONG_AGO  # Dagster's scheduler, after its clock was ahead

    def begin(self, second: int) -> None:
        """A new repository, made in the middle of a window, and a new instance."""
        shutil.rmtree(self.world.root / "repository", ignore_errors=True)
        vars(self.world.app).pop("repository", None)
        self.world.clock.time = self.world.clock.time.replace(hour=12, minute=12, second=second)
        self.world.app.setup.init()
        for attempt in self.attempts:
            self.world.instance.delete_run(attempt.run.run_id)
        self.cursor, self.attempts, self.ticked, self.missed = '{"next": ""}', [], {}, {}
        self.began, self.blind_until = self.world.clock.time, LONG_AGO
        for source in self.world.app.plan.sources:
            self.ticked[source] = self.open(source).key
        self.sense()

    def open(self, source: str) -> Window:
        return self.world.app.windows.schedule(source).window_of(self.world.clock.time)

    def tick(self) -> None:
        """What Dagster's scheduler does: the newest tick that it did not see yet, and none before."""
        for source in self.world.app.plan.sources if self.world.clock.time >= self.blind_until else ():
            window = self.open(source)
            due = self.world.app.windows.schedule(source).due(self.world.clock.time)
            if due and self.ticked[source] != window.key:
                self.ticked[source] = window.key
                self.add(source, window.key, {})

    def sense(self) -> None:
        tick = self.world.sensor(MISSED, self.cursor)
        self.cursor = tick.cursor
        now = self.world.clock.time
        self.missed = {missed: at for missed, at in self.missed.items() if at <= now}
        self.missed |= {(event.asset_key.path[-1], event.partition): now for event in tick.asset_events}
        for request in tick.run_requests or []:
            self.add(request.tags["backup/source"], request.partition_key, dict(request.tags))

    def add(self, source: str, window: str, tags: dict[str, str]) -> None:
        key = self.world.translator.asset_key(source)
        tags = {**self.world.translator.run_tags(source), **tags, "dagster/partition": window}
        job = self.world.job_of(source).name
        location = RegisteredCodeLocationOrigin("backup_platform")  # the queue wants to know it
        origin = RemoteRepositoryOrigin(location, "__repository__").get_job_origin(job)
        selected = frozenset({key})
        run = dg.DagsterRun(
            job, tags=tags, asset_selection=selected, status=_S.QUEUED, remote_job_origin=origin
        )
        self.attempts.append(Attempt(self.world.instance.add_run(run), source, window))

    def turn(self, attempt: Attempt, status: dg.DagsterRunStatus) -> None:
        attempt.status = status
        attempt.ended = self.world.clock.time if status != _S.STARTED else None
        event = dg.DagsterEvent(_EVENTS[status].value, attempt.run.job_name)
        self.world.instance.run_storage.handle_run_event(attempt.run.run_id, event, self.world.clock.time)

    def alive(self, *statuses: dg.DagsterRunStatus) -> list[Attempt]:
        return [each for each in self.attempts if each.status in statuses]

    def check(self) -> None:
        """After the sensor: each window that lacks a point is at work, has just become overdue, or failed just now."""
        now = self.world.clock.time
        for source in self.world.app.plan.sources:
            schedule = self.world.app.windows.schedule(source)
            captured = {point.window.key for point in self.world.app.points.all(source)}
            window = self.open(source)
            before = schedule.previous(window)
            wanted = [each for each in (before, window) if each and each.end + schedule.late_limit > now]
            for each in wanted:
                if each.key not in captured and each.end > self.began:
                    assert now < self.deadline(source, each), (source, each.key, now)
            for each in schedule.windows(self.began, now):
                if each.end + schedule.late_limit <= now and schedule.tick(each) >= self.began:
                    assert each.key in captured or (source, each.key) in self.missed, (source, each.key, now)

    def deadline(self, source: str, window: Window) -> datetime:
        """Until when nothing has to be at work for a window."""
        mine = [each for each in self.attempts if (each.source, each.window) == (source, window.key)]
        if any(each.ended is None for each in mine):
            return datetime.max.replace(tzinfo=window.end.tzinfo)
        schedule = self.world.app.windows.schedule(source)
        tick, end = schedule.tick(window), window.end + schedule.late_limit
        ended = [each.ended for each in mine if each.ended]
        if ended:
            return max(ended) + max((end - max(ended)) / 2, MINUTE) + MINUTE
        overdue = tick + min(5 * MINUTE, (window.end - tick) / 2)
        return (self.began if tick < self.began else overdue) + MINUTE


class Machine(RuleBasedStateMachine):
    life: Life

    @initialize(second=st.sampled_from([0, 1, 29, 59]))
    def set_up(self, second: int) -> None:
        self.life.begin(second)

    @rule(minutes=st.integers(1, 8))
    def time_passes(self, minutes: int) -> None:
        for _ in range(minutes):
            self.life.world.clock.time += MINUTE
            self.life.tick()
            self.life.sense()
            self.life.check()

    @rule(minutes=st.integers(2, 50))
    def dagster_is_down(self, minutes: int) -> None:
        self.life.world.clock.time += minutes * MINUTE
        self.life.sense()
        self.life.check()

    @rule(hours=st.integers(1, 50))
    def the_clock_is_ahead_once_and_right_again(self, hours: int) -> None:
        """Dagster's scheduler does not tick meanwhile: it has ticked up to the wrong time."""
        self.life.world.clock.time += timedelta(hours=hours)
        self.life.sense()
        self.life.blind_until = max(self.life.blind_until, self.life.world.clock.time)
        self.life.world.clock.time -= timedelta(hours=hours)
        self.life.sense()
        self.life.check()

    @precondition(lambda self: self.life.alive(_S.QUEUED))
    @rule(data=st.data())
    def a_run_starts(self, data: st.DataObject) -> None:
        self.life.turn(data.draw(st.sampled_from(self.life.alive(_S.QUEUED))), _S.STARTED)

    @precondition(lambda self: self.life.alive(_S.STARTED))
    @rule(data=st.data(), works=st.booleans())
    def a_run_ends(self, data: st.DataObject, works: bool) -> None:
        attempt = data.draw(st.sampled_from(self.life.alive(_S.STARTED)))
        if works and self.life.open(attempt.source).key == attempt.window:
            self.life.world.app.backups.run(attempt.source)
            self.life.turn(attempt, _S.SUCCESS)
        else:
            self.life.turn(attempt, _S.FAILURE)

    @precondition(lambda self: self.life.alive(_S.QUEUED))
    @rule(data=st.data())
    def a_run_is_killed_before_it_started(self, data: st.DataObject) -> None:
        self.life.turn(data.draw(st.sampled_from(self.life.alive(_S.QUEUED))), _S.FAILURE)

    @rule(source=st.sampled_from(sorted(SOURCES)))
    def somebody_backs_up_at_the_command_line(self, source: str) -> None:
        self.life.world.app.backups.run(source)


@contextmanager
def world_of(sources: dict[str, Any]) -> Iterator[World]:
    with tempfile.TemporaryDirectory(dir=scratch()) as root, dg.DagsterInstance.ephemeral() as instance:
        world = World(Path(root), instance)
        world.clock.time -= 2 * DAY  # Dagster knows no window of the future, and a clock may be ahead
        files = {"files": str(world.tree), "since": f"{world.clock.time:%Y-%m-%d}"}
        world.plan["sources"] = {name: {**files, **each} for name, each in sources.items()}
        yield world.load(init=False)


def test_a_window_that_can_be_captured_is_launched_within_a_minute() -> None:
    with world_of(SOURCES) as world:

        class Here(Machine):
            life = Life(world)

        examples = settings(max_examples=8, stateful_step_count=10, deadline=None, database=None)
        run_state_machine_as_test(Here, settings=examples)


def test_a_source_is_not_left_alone_between_its_tick_and_the_end_of_the_allowance() -> None:
    """Then its regular run never came, and its window was missed."""
    with world_of({"quick": SOURCES["quick"]}) as world:
        world.clock.time = world.clock.time.replace(minute=15)
        world.app.setup.init()
        world.app.backups.run("quick")
        world.clock.time = world.clock.time.replace(minute=21)
        cursor = world.sensor(MISSED, '{"next": ""}').cursor
        launched = []
        for _ in range(3):
            world.clock.time += MINUTE
            tick = world.sensor(MISSED, cursor)
            launched += [
                (request.partition_key[-5:], world.clock.time.minute) for request in tick.run_requests
            ]
            cursor = tick.cursor
        assert launched[:1] == [("12:20", 23)]


def test_a_window_that_failed_is_tried_again_before_it_is_over() -> None:
    with world_of({"quick": SOURCES["quick"]}) as world:
        life = Life(world)
        life.begin(0)
        life.turn(life.attempts[0], _S.FAILURE)
        for attempts in (1, 2):
            world.clock.time += MINUTE
            life.sense()
            assert [each.window[-5:] for each in life.attempts] == attempts * ["12:10"]


def test_a_pause_that_a_clock_made_that_was_ahead_does_not_hold() -> None:
    with world_of({"quick": SOURCES["quick"]}) as world:
        world.app.setup.init()
        world.app.backups.run("quick")
        cursor = world.sensor(MISSED, '{"next": ""}').cursor
        world.clock.time -= timedelta(days=1)
        world.sensor(MISSED, cursor)
        state = json.loads(cursor)
        assert (
            Quiet.load(world.app, timedelta(hours=1), state["pauses"]).holds("quick", world.clock.time)
            is False
        )


def test_a_run_that_died_unnoticed_keeps_no_window_for_ever() -> None:
    with world_of({"hourly": {"every": "day"}}) as world:
        life = Life(world)
        world.app.setup.init()
        [request] = world.sensor(MISSED, '{"next": ""}').run_requests
        life.add("hourly", request.partition_key, dict(request.tags))
        life.turn(life.attempts[0], _S.STARTED)
        world.clock.time += timedelta(hours=5, minutes=59)
        assert not world.sensor(MISSED, '{"next": ""}').run_requests
        world.clock.time += timedelta(minutes=2)
        [again] = world.sensor(MISSED, '{"next": ""}').run_requests
        assert again.run_key.endswith("|2")
