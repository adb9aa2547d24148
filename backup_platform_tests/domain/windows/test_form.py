"""What a point says of its window: what schedules give is believed, what none can give is not."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest
from cronsim import CronSim
from hypothesis import given, settings
from hypothesis import strategies as st

from backup_platform.domain.keep.retention import Candidate, KeepRules, decide
from backup_platform.domain.model import Window
from backup_platform.domain.windows.cadence import CADENCES, Cadence
from backup_platform.domain.windows.form import gives, stored_late, strange_form
from backup_platform.domain.windows.schedule import WindowSchedule

START = datetime(2026, 11, 22, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
ZONES = ("UTC", "Europe/Berlin", "America/New_York", "Africa/Cairo", "Asia/Beirut", "Europe/Dublin")
CRONS = ("30 2 * * *", "7 * * * *", "0 0 1 * *", "15 1,3 * * 0")
DAILY = WindowSchedule(CADENCES["day"], since=date(2026, 1, 1))


def schedule(cadence: str, zone: str) -> WindowSchedule:
    def ticks(start: datetime, reverse: bool) -> Iterator[datetime]:
        return iter(CronSim(cadence, start, reverse=reverse))

    found = CADENCES.get(cadence) or Cadence.from_cron(cadence)
    return WindowSchedule(found, zone, since=date(2025, 1, 1), ticks=ticks)


@pytest.mark.parametrize("cadence", [*CADENCES, *CRONS])
@pytest.mark.parametrize("zone", ZONES)
def test_no_window_of_a_schedule_is_strange(cadence: str, zone: str) -> None:
    """Across the days on which clocks move, too; and whatever the plan says today."""
    made = schedule(cadence, zone)
    for month, day in ((3, 7), (3, 28), (4, 23), (10, 24), (10, 30)):
        start = datetime(2026, month, day, tzinfo=UTC)
        for window in made.windows(start, start + 3 * DAY):
            assert strange_form(window, zone) == "", window
            assert gives(made, window)


@pytest.mark.parametrize(
    ("window", "zone"),
    [
        (Window("2026-11-22", START + DAY - timedelta(seconds=1), START + 9 * DAY), "UTC"),
        (Window("2026-11-22T23:59:59", START + DAY - timedelta(seconds=1), START + 9 * DAY), "UTC"),
        (Window("2026-11-21", START, START + DAY), "UTC"),
        (Window("2026-11-22", START, START + DAY), "Europe/Berlin"),
        (Window("2026-11-22", START, START), "UTC"),
        (Window("2026-11-22", START, START - DAY), "UTC"),
        (Window("x", START, START + DAY), "UTC"),
        (Window("2026-11-22", START, START + DAY), "Mars/Base"),
        (Window("2026-11-22", START, START + DAY), "../../etc/passwd"),
        (Window("0001-01-01", START.replace(year=1, month=1, day=1), START), "America/New_York"),
        (Window("9999-12-31", START, START + DAY), "America/New_York"),
    ],
)
def test_what_no_schedule_gives_is_strange_and_evicts_nobody(window: Window, zone: str) -> None:
    why = strange_form(window, zone)
    assert why
    real = Candidate("real", 1, "2026-11-20", START - 2 * DAY, START - 2 * DAY)
    forged = Candidate("forged", 2, window.key, window.start, START + 9 * DAY, strange=why)
    decisions = decide(KeepRules(last=1), [real, forged], START + 9 * DAY, "UTC")
    assert [each.keep for each in decisions] == [True, True]
    assert decisions[1].reasons[0] == f"{why}: not counted"


@pytest.mark.parametrize(
    ("window", "given"),
    [
        (Window("2026-11-22", START, START + DAY), True),
        (Window("2026-11-22", START, START + 2 * DAY), False),
        (Window("2026-11-22T00:00", START, START + DAY), False),
        (Window("2025-11-22", START - 365 * DAY, START - 364 * DAY), False),
    ],
)
def test_a_schedule_gives_its_own_windows(window: Window, given: bool) -> None:
    assert gives(DAILY, window) is given


def test_of_a_window_that_the_plan_does_not_give_a_day_is_believed() -> None:
    month = Window("2026-11-01", START - 21 * DAY, START + 9 * DAY)
    assert not stored_late(month, START + 10 * DAY, DAY, planned=True)
    assert stored_late(month, START + 10 * DAY + HOUR, DAY, planned=True)
    assert stored_late(month, START - 19 * DAY + HOUR, DAY, planned=False)
    assert not stored_late(month, START - 19 * DAY, DAY, planned=False)
    endless = replace(month, end=datetime.max.replace(tzinfo=UTC))
    assert stored_late(endless, START, DAY, planned=False)


def stored(sequence: int, start: datetime, at: datetime, doubt: str = "") -> Candidate:
    made = Candidate(f"p{sequence}", sequence, start.isoformat(), start, at)
    return replace(made, late=doubt == "late", foreign=doubt == "foreign")


rule_sets = st.builds(
    KeepRules, hourly=st.integers(0, 5), daily=st.integers(0, 5), last=st.integers(0, 5), weekly=st.integers(0, 3)
)  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(rule_sets, st.lists(st.tuples(st.integers(0, 400), st.sampled_from(["late", "foreign"])), max_size=30))
def test_whatever_is_forged_what_the_rules_keep_of_the_real_points_stays(
    rules: KeepRules, forged: list[tuple[int, str]]
) -> None:
    now = START + 17 * HOUR
    real = [stored(n, START - (14 - n) * DAY, START - (14 - n) * DAY + HOUR) for n in range(1, 15)]
    false = [stored(15 + n, now - hours * HOUR, now, doubt) for n, (hours, doubt) in enumerate(forged)]
    before = {each.id for each in decide(rules, real, now, "UTC") if each.keep}
    after = {each.id for each in decide(rules, [*real, *false], now, "UTC") if each.keep}
    assert before - {"p14"} <= after  # the last of the chain stays as that only


def test_after_a_change_of_the_schedule_the_old_points_go_as_the_rules_say() -> None:
    """None is kept for ever because the plan's schedule does not give its window any more."""
    change = START - 10 * DAY
    hours = [change - n * HOUR for n in range(48, 0, -1)]
    days = [change + n * DAY for n in range(10)]
    points = [
        stored(n, start, start + HOUR / 2, "foreign" if start < change else "")
        for n, start in enumerate([*hours, *days], 1)
    ]
    kept = [each.id for each in decide(KeepRules(daily=12), points, START, "UTC") if each.keep]
    assert kept == ["p24", "p48", *(f"p{n}" for n in range(49, 59))]
