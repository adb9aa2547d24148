"""Missed windows and drills that are due."""

from __future__ import annotations

import time as clock
from datetime import UTC, date, datetime, time, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backup_platform.domain.windows.health import DrillPolicy, MissedWindows, drill_due, missed_windows
from backup_platform.domain.windows.schedule import CADENCES, WindowSchedule

SINCE = date(2025, 5, 1)
DAILY = WindowSchedule(CADENCES["day"], since=SINCE, at=time(2, 15))
HOURLY = WindowSchedule(CADENCES["hour"], since=SINCE, late_limit=timedelta(hours=2))


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def keys(found: MissedWindows) -> tuple[str | None, list[str], list[str]]:
    current = found.current.key if found.current else None
    return current, [window.key for window in found.late], [window.key for window in found.missed]


class TestMissedWindows:
    def test_all_captured_is_nothing_missed(self) -> None:
        found = missed_windows(DAILY, {"2025-05-01", "2025-05-02"}, at("2025-05-02T12:00"))
        assert keys(found) == (None, [], [])
        assert not found
        assert found.scanned_from is None

    def test_the_current_window_waits_for_its_tick_and_the_allowance(self) -> None:
        assert missed_windows(DAILY, set(), at("2025-05-01T02:19")).current is None
        found = missed_windows(DAILY, set(), at("2025-05-01T02:20"))
        assert keys(found) == ("2025-05-01", [], [])
        assert found

    def test_the_allowance_never_outlasts_a_short_window(self) -> None:
        quarter = WindowSchedule(CADENCES["15min"], since=SINCE)
        allowance = timedelta(hours=1)
        assert missed_windows(quarter, set(), at("2025-05-01T00:07"), allowance=allowance).current is None
        assert missed_windows(quarter, set(), at("2025-05-01T00:08"), allowance=allowance).current

    def test_older_windows_are_missed_oldest_first(self) -> None:
        found = missed_windows(DAILY, {"2025-05-02"}, at("2025-05-05T01:00"))
        assert keys(found) == (None, [], ["2025-05-01", "2025-05-03", "2025-05-04"])

    def test_windows_within_the_late_limit_are_still_catchable(self) -> None:
        found = missed_windows(HOURLY, {"2025-05-01T02:00"}, at("2025-05-01T05:30"))
        assert keys(found) == (
            "2025-05-01T05:00",
            ["2025-05-01T03:00", "2025-05-01T04:00"],
            ["2025-05-01T00:00", "2025-05-01T01:00"],
        )
        assert [window.key[-5:] for window in found.catchable] == ["03:00", "04:00", "05:00"]

    def test_what_is_catchable_is_what_the_schedule_lets_capture(self) -> None:
        now = at("2025-05-01T05:30")
        for window in missed_windows(HOURLY, set(), now).catchable:
            HOURLY.capturable(window, now)

    def test_before_since_nothing_is_missed(self) -> None:
        assert not missed_windows(DAILY, set(), at("2025-04-01T00:00"))

    def test_keys_of_other_schedules_satisfy_nothing(self) -> None:
        assert missed_windows(DAILY, {"2025-05-01T00:00"}, at("2025-05-02T00:00")).missed

    def test_a_limit_bounds_the_work_and_is_said(self) -> None:
        found = missed_windows(HOURLY, set(), at("2025-06-01T00:30"), limit=10)
        assert len(found.missed) + len(found.late) + 1 == 10
        assert found.scanned_from is not None
        assert found.scanned_from.key == "2025-05-31T15:00"

    def test_a_history_that_was_read_to_its_start_is_not_partial(self) -> None:
        found = missed_windows(DAILY, set(), at("2025-05-03T01:00"), limit=3)
        assert found.scanned_from is None
        assert len(found.missed) == 2

    def test_a_long_history_is_read_in_bounded_time(self) -> None:
        old = WindowSchedule(CADENCES["15min"], since=date(1990, 1, 1))
        before = clock.process_time()
        missed_windows(old, set(), at("2025-05-01T00:00"))
        assert clock.process_time() - before < 3

    @given(st.sets(st.integers(0, 60)), st.integers(0, 60 * 60))
    def test_every_window_is_captured_or_told_of(self, done: set[int], minutes: int) -> None:
        now = at("2025-05-01T00:00") + timedelta(minutes=minutes)
        windows = list(HOURLY.windows(HOURLY.first.start, now + timedelta(seconds=1)))
        captured = {window.key for n, window in enumerate(windows) if n in done}
        found = missed_windows(HOURLY, captured, now, allowance=timedelta(0))
        told = {window.key for window in (*found.catchable, *found.missed)}
        assert told == {window.key for window in windows} - captured


class TestDrillDue:
    def due(self, policy: DrillPolicy, key: str, *drilled: str) -> bool:
        windows = [HOURLY.window(other) for other in drilled]
        return drill_due(policy, HOURLY.window(key), windows)

    def test_each_window(self) -> None:
        assert self.due("window", "2025-05-06T10:00", "2025-05-06T09:00")

    def test_never(self) -> None:
        assert not self.due("never", "2025-05-06T10:00")

    @pytest.mark.parametrize("policy", ["daily", "weekly"])
    def test_the_first_point_is_drilled(self, policy: DrillPolicy) -> None:
        assert self.due(policy, "2025-05-06T10:00")

    def test_one_drilled_point_a_day_is_enough(self) -> None:
        assert not self.due("daily", "2025-05-06T10:00", "2025-05-06T00:00")
        assert not self.due("daily", "2025-05-06T10:00", "2025-05-06T23:00")
        assert self.due("daily", "2025-05-06T10:00", "2025-05-05T23:00", "2025-05-07T00:00")

    def test_one_drilled_point_a_week_is_enough_from_monday(self) -> None:
        assert not self.due("weekly", "2025-05-11T23:00", "2025-05-05T00:00")
        assert self.due("weekly", "2025-05-05T00:00", "2025-05-04T23:00")

    def test_days_are_those_of_the_sources_zone(self) -> None:
        window, drilled = HOURLY.window("2025-05-06T22:00"), HOURLY.window("2025-05-06T21:00")
        assert not drill_due("daily", window, [drilled], "UTC")
        assert drill_due("daily", window, [drilled], "Europe/Berlin")
