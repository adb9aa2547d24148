"""A source's past at random: what was judged before and is extended equals a look at every window anew."""

from __future__ import annotations

import shutil
import tempfile
from datetime import timedelta
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from backup_platform.domain.model import RecoveryPoint
from backup_platform.domain.windows.health import MissedWindows
from backup_platform_tests.actions.status.history_support import Past, hourly
from backup_platform_tests.scratch import scratch
from backup_platform_tests.support import START

CHOICES = st.integers(0, 1_000)
LATE = st.sampled_from([timedelta(0), timedelta(hours=3)])


def told(found: MissedWindows | None) -> object:
    assert found is not None
    return found.current, found.late, tuple(found.missed), found.scanned_from, found.awaited


class HistoryMachine(RuleBasedStateMachine):
    @initialize(late=LATE, early=st.sampled_from([0, 30]))
    def create(self, late: timedelta, early: int) -> None:
        self.folder = Path(tempfile.mkdtemp(dir=scratch()))
        self.past = Past(self.folder, schedule=hourly(late, START - timedelta(hours=early)))
        self.points: list[RecoveryPoint] = []
        self.lost: list[tuple[RecoveryPoint, bytes]] = []
        self.known = START

    def teardown(self) -> None:
        if hasattr(self, "folder"):
            shutil.rmtree(self.folder)

    @rule(minutes=st.sampled_from([3, 55, 60, 65, 400]))
    def wait(self, minutes: int) -> None:
        self.past.clock.advance(minutes=minutes)

    @rule(hours=st.integers(1, 8))
    def an_hourly_backup_runs(self, hours: int) -> None:
        for _ in range(hours):
            self.capture(incomplete=False, back=0)
            self.past.clock.advance(hours=1)

    @rule(incomplete=st.booleans(), back=st.integers(0, 6))
    def capture(self, incomplete: bool, back: int) -> None:
        """Of the present window, or of one before: a backup that took long, or is late."""
        schedule, now = self.past.schedule, self.past.clock.now()
        window = schedule.window_of(max(now - timedelta(hours=back), schedule.first.start))
        self.points.append(self.past.commit(window, incomplete=incomplete))

    @precondition(lambda self: len(self.points) > 1)
    @rule(choice=CHOICES)
    def forget(self, choice: int) -> None:
        self.past.forget(self.points.pop(choice % (len(self.points) - 1)))

    @precondition(lambda self: self.points)
    @rule(choice=CHOICES)
    def lose(self, choice: int) -> None:
        point = self.points.pop(choice % len(self.points))
        self.lost.append((point, self.past.lose(point)))

    @precondition(lambda self: self.lost)
    @rule()
    def bring_back(self) -> None:
        point, data = self.lost.pop()
        if point.sequence not in {each.sequence for each in self.points}:
            self.past.bring_back(point, data)
            self.points.append(point)

    @rule(hours=st.integers(1, 50))
    def look_while_the_clock_is_ahead(self, hours: int) -> None:
        self.past.clock.advance(hours=hours)
        self.past.look(self.known)
        self.past.clock.advance(hours=-hours)

    @rule(hours=st.integers(1, 50))
    def back_up_while_the_clock_of_the_writer_is_ahead(self, hours: int) -> None:
        self.past.clock.advance(hours=hours)
        window, stored_at = self.past.schedule.window_of(self.past.clock.now()), self.past.clock.now()
        self.past.clock.advance(hours=-hours)
        if window.start > self.past.clock.now():
            self.points.append(self.past.commit(window))
        assert stored_at > self.past.clock.now()

    @rule(hours=st.integers(-5, 5))
    def somebody_watches_since(self, hours: int) -> None:
        self.known = START + timedelta(hours=hours)

    @rule(late=LATE, early=st.sampled_from([0, 5, 30]))
    def change_the_schedule(self, late: timedelta, early: int) -> None:
        self.past.schedule = hourly(late, START - timedelta(hours=early))

    @rule()
    def lose_the_notes(self) -> None:
        shutil.rmtree(self.past.notes, ignore_errors=True)

    @invariant()
    def the_same_as_anew(self) -> None:
        for known in (self.known, None):
            assert told(self.past.look(known).missed) == told(self.past.looked_at_anew(known))


HistoryMachine.TestCase.settings = settings(max_examples=25, stateful_step_count=20)
TestHistory = HistoryMachine.TestCase
