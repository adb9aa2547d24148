"""Windows: the same cuts and keys as Dagster's, no gap, no overlap, and who may still be captured."""

from __future__ import annotations

import gc
import time as clock
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from itertools import islice, pairwise
from zoneinfo import ZoneInfo, available_timezones

import dagster as dg
import pytest
from cronsim import CronSim
from dagster._utils.schedules import cron_string_iterator
from hypothesis import example, given, settings
from hypothesis import strategies as st

from backup_platform.domain.model import Window
from backup_platform.domain.windows.schedule import CADENCES, Cadence, WindowSchedule
from backup_platform.errors import WindowError

DAY = timedelta(days=1)
ZONES = [
    "UTC",
    "Europe/Berlin",
    "Europe/Dublin",  # winter time is the negative DST
    "America/New_York",
    "Australia/Lord_Howe",  # moves by half an hour
    "Asia/Kathmandu",  # +05:45
    "Asia/Beirut",  # skips midnight
    "America/Santiago",  # skips midnight, shows 23:00 twice
    "America/Havana",  # skips midnight and shows it twice
    "Atlantic/Azores",  # skips midnight and shows it twice
    "Africa/Casablanca",  # negative DST around Ramadan
]
CRONS = [
    "15 2 * * *",
    "30 0 * * *",
    "7 * * * *",
    "*/25 * * * *",
    "20 */2 * * *",
    "0,30 1 * * *",
    "*/15 0,1,2,23 * * *",
    "0 9 * * mon-fri",
    "30 2 * * 0",
    "30 2 1 * *",
    "0 3 31 * *",
]
HALF_HOUR_ZONE = "Australia/Lord_Howe"


def cron_ticks(start: datetime, reverse: bool, cron: str) -> Iterator[datetime]:
    return CronSim(cron, start, reverse=reverse)


def schedule(
    every: str, timezone: str = "UTC", since: datetime | date = date(2025, 1, 1), **more: object
) -> WindowSchedule:
    if every in CADENCES:
        return WindowSchedule(CADENCES[every], timezone, since=since, **more)  # type: ignore[arg-type]
    return WindowSchedule(
        Cadence.from_cron(every),
        timezone,
        since=since,
        ticks=lambda start, reverse: cron_ticks(start, reverse, every),
    )


def jumps(timezone: str) -> list[datetime]:
    """The days of 2025 and 2026 on which a zone's clock jumps, else one day."""
    zone = ZoneInfo(timezone)
    days = [datetime(2025, 1, 5, tzinfo=UTC) + n * DAY for n in range(700)]
    found = [
        day for day in days if day.astimezone(zone).utcoffset() != (day + DAY).astimezone(zone).utcoffset()
    ]
    return found[:2] or [datetime(2025, 5, 5, tzinfo=UTC)]


def stable(every: str, timezone: str) -> bool:
    hourly = every == "hour" or every.split()[1:2] == ["*"]
    return not (timezone == HALF_HOUR_ZONE and hourly)


def around(every: str, timezone: str) -> Iterator[tuple[WindowSchedule, datetime]]:
    """Schedules that start before each jump of a zone's clock, and where to stop after it."""
    rare = every in ("day", "week", "month") or (" " in every and every.split()[2:] != ["*"] * 3)
    before, after = (40 * DAY, 40 * DAY) if rare else (DAY, 2 * DAY)
    for jump in jumps(timezone):
        yield schedule(every, timezone, jump - before), jump + after


def partitions(of: WindowSchedule) -> dg.TimeWindowPartitionsDefinition:
    return dg.TimeWindowPartitionsDefinition(
        start=of.first.key,
        cron_schedule=of.cron_schedule,
        timezone=of.timezone,
        fmt=of.key_format,
        end_offset=1,
    )


def seconds(window: Window) -> tuple[str, float, float]:
    return window.key, window.start.timestamp(), window.end.timestamp()


ODD_CRONS = ("0 0 29 2 *", "30 2 29 2 *", "0 3 31 * *", "15 2 * * *", "*/25 * * * *", "0 9 * * mon-fri")
TIMES = {"day": ("02:15", "00:30", "23:59"), "6h": ("05:59",), "12h": ("11:59", "01:30"), "hour": ("00:59",)}
TIMED = [(name, time.fromisoformat(at)) for name in TIMES for at in TIMES[name]]
TIMED += [("week", time(2, 30)), ("month", time(2, 30)), ("30min", time(0, 29))]


def jump_of(zone: ZoneInfo, draw: st.DataObject) -> datetime:
    """A week of the last twelve years in which the zone's clock jumps, where there is one."""
    weeks = [datetime(2015, 1, 4, tzinfo=UTC) + n * 7 * DAY for n in range(620)]
    offsets = [week.astimezone(zone).utcoffset() for week in weeks]
    found = [week for week, a, b in zip(weeks, offsets, offsets[1:], strict=False) if a != b]
    return draw.draw(st.sampled_from(found or weeks[:1]))


@example(data=None, zone="Antarctica/Casey", timed=("day", time(2, 15)))  # three hours forward at 00:01
@example(data=None, zone="Antarctica/Casey", timed=("0 0 29 2 *", None))
@given(
    data=st.data(),
    zone=st.sampled_from(sorted(available_timezones())),
    timed=st.sampled_from([*TIMED, *((each, None) for each in (*CADENCES, *ODD_CRONS))]),
)
@settings(max_examples=40, deadline=None)
def test_windows_of_every_zone_hold_their_ticks_and_leave_no_gap(
    data: st.DataObject | None, zone: str, timed: tuple[str, time | None]
) -> None:
    every, at = timed
    jump = jump_of(ZoneInfo(zone), data) if data else datetime(2020, 10, 1, tzinfo=UTC)
    cadence = CADENCES.get(every) or Cadence.from_cron(every)
    if cadence.zone_problem(ZoneInfo(zone), jump - DAY):
        return
    of = schedule(every, zone, jump - DAY, **({"at": at} if at else {}))
    end = of.first.end
    for window in islice(of.windows(of.first.end, jump + 9 * DAY), 40):
        assert window.start == end < window.end
        assert window.contains(of.tick(window)), (window, of.tick(window))
        assert {of.window_of(of.tick(window)), of.window(window.key)} == {window}
        end = window.end


CRON_ZONES = ("UTC", "Europe/Berlin", "Europe/Dublin", "Asia/Beirut", "Atlantic/Azores", "Africa/Casablanca")
CASES = [(every, zone) for zone in ZONES for every in CADENCES if stable(every, zone)]
CASES += [(cron, zone) for zone in CRON_ZONES for cron in CRONS]


@pytest.mark.parametrize(("every", "timezone"), CASES)
def test_keys_and_boundaries_are_those_of_dagster(every: str, timezone: str) -> None:
    for ours, end in around(every, timezone):
        theirs = partitions(ours)
        windows = list(ours.windows(ours.first.start, end))
        found = islice(theirs._iterate_time_windows(theirs.start_timestamp), len(windows))
        spans = [(window.start.timestamp(), window.end.timestamp()) for window in found]
        assert [(start, stop) for _, start, stop in map(seconds, windows)] == spans
        with dg.partition_loading_context(end):
            keys = theirs.get_partition_keys()
        assert [window.key for window in windows] == list(keys)[: len(windows)]
        assert keys[-1] == ours.window_of(end).key


@pytest.mark.parametrize(("every", "timezone"), CASES)
def test_dagster_finds_the_same_window_for_a_key(every: str, timezone: str) -> None:
    for ours, end in around(every, timezone):
        theirs = partitions(ours)
        for window in ours.windows(ours.first.start, end):
            found = theirs.time_window_for_partition_key(window.key)
            assert (found.start.timestamp(), found.end.timestamp()) == seconds(window)[1:]


@pytest.mark.parametrize(("every", "timezone"), CASES)
def test_windows_touch_and_keys_are_unique_and_lead_back(every: str, timezone: str) -> None:
    for ours, end in around(every, timezone):
        windows = list(ours.windows(ours.first.start, end))
        assert len(windows) > 1
        assert all(a.end == b.start for a, b in pairwise(windows))
        assert len({window.key for window in windows}) == len(windows)
        assert [ours.window(window.key) for window in windows] == windows
        assert [ours.window_of(window.start) for window in windows] == windows
        assert [ours.previous(window) for window in windows] == [None, *windows[:-1]]
        assert list(ours.newest(windows[-1].start)) == windows[::-1]


ATS = {
    "15min": time(0, 7),
    "30min": time(0, 20),
    "hour": time(0, 59),
    "6h": time(2, 15),
    "12h": time(1, 30),
    "day": time(2, 15),
    "week": time(0, 30),
    "month": time(1, 45),
}


@pytest.mark.parametrize(("every", "timezone"), [(every, zone) for every, zone in CASES if every in CADENCES])
def test_ticks_are_those_of_dagsters_schedule(every: str, timezone: str) -> None:
    for at in (ATS[every], None):
        for plain, end in around(every, timezone):
            ours = schedule(every, timezone, plain.first.start, at=at)
            ticks = cron_string_iterator(ours.first.start.timestamp(), ours.tick_cron, timezone)
            expected = [ours.tick(window).timestamp() for window in ours.windows(ours.first.start, end)]
            assert [tick.timestamp() for tick, _ in zip(ticks, expected, strict=False)] == expected


instants = st.datetimes(datetime(2020, 1, 1), datetime(2035, 1, 1), timezones=st.just(UTC))
cases = st.sampled_from(CASES)


@given(cases, instants)
def test_a_window_contains_the_instant_that_it_was_asked_for(
    case: tuple[str, str], instant: datetime
) -> None:
    ours = schedule(*case, since=date(2019, 12, 1))
    window = ours.window_of(instant)
    assert window.contains(instant)
    assert ours.window(window.key) == window
    assert ours.window_of(window.end) == ours.following(window)
    assert ours.following(window).start == window.end
    assert ours.previous(ours.following(window)) == window
    assert next(ours.windows(instant, instant + timedelta(seconds=1))) == window
    assert window.start <= ours.tick(window) < window.end


@given(cases, instants)
def test_since_is_floored_to_its_window(case: tuple[str, str], since: datetime) -> None:
    ours = schedule(*case, since=since)
    assert ours.first.contains(since)
    assert ours.previous(ours.first) is None
    assert ours.current(ours.first.start - timedelta(microseconds=1)) is None
    with pytest.raises(WindowError, match="before the first window"):
        ours.window_of(ours.first.start - timedelta(microseconds=1))
    with pytest.raises(WindowError):
        ours.window(schedule(*case, since=since - 800 * DAY).first.key)


@pytest.mark.parametrize("every", [*CADENCES, "15 2 * * *", "20 */2 * * *"])
def test_a_day_that_a_zone_skipped_has_no_window(every: str) -> None:
    ours = schedule(every, "Pacific/Apia", date(2011, 12, 1))
    windows = list(ours.windows(ours.first.start, datetime(2012, 1, 20, tzinfo=UTC)))
    assert all(a.end == b.start and a.start < a.end for a, b in pairwise(windows))
    assert [ours.window(window.key) for window in windows] == windows
    assert [ours.window_of(window.start) for window in windows] == windows


def test_the_key_of_a_skipped_day_is_refused() -> None:
    with pytest.raises(WindowError, match="no window has the key") as caught:
        schedule("day", "Pacific/Apia", date(2011, 12, 1)).window("2011-12-30")
    assert "2011-12-31" in caught.value.hint


def test_an_hour_that_a_clock_shows_twice_is_two_windows() -> None:
    ours = schedule("hour", "Europe/Berlin", date(2025, 10, 26))
    keys = [window.key for window in ours.windows(ours.first.start, ours.first.start + timedelta(hours=5))]
    assert keys[1:5] == [
        "2025-10-26T01:00+0200",
        "2025-10-26T02:00+0200",
        "2025-10-26T02:00+0100",
        "2025-10-26T03:00+0100",
    ]


@pytest.mark.parametrize("every", ["hour", "7 * * * *"])
def test_hours_are_refused_where_the_clock_moves_by_half_an_hour(every: str) -> None:
    with pytest.raises(ValueError, match="30min"):
        schedule(every, HALF_HOUR_ZONE)


@pytest.mark.parametrize(
    ("every", "at", "last"),
    [("hour", time(2, 15), "00:59"), ("15min", time(0, 15), "00:14"), ("6h", time(6), "05:59")],
)
def test_a_tick_outside_its_window_is_refused(every: str, at: time, last: str) -> None:
    with pytest.raises(ValueError, match=last):
        schedule(every, at=at)


def test_a_cron_has_no_at_and_needs_its_ticks() -> None:
    cadence = Cadence.from_cron("15 2 * * *")
    with pytest.raises(ValueError, match="cron expression"):
        WindowSchedule(cadence, since=date(2025, 1, 1), at=time(1), ticks=lambda start, reverse: iter(()))
    with pytest.raises(ValueError, match="ticks"):
        WindowSchedule(cadence, since=date(2025, 1, 1))


def test_a_cron_that_never_ticks_says_so() -> None:
    with pytest.raises(WindowError, match="no tick"):
        WindowSchedule(
            Cadence.from_cron("15 2 * * *"), since=date(2025, 1, 1), ticks=lambda start, reverse: iter(())
        )


def test_instants_without_a_zone_are_refused() -> None:
    with pytest.raises(ValueError, match="no time zone"):
        schedule("day").window_of(datetime(2025, 5, 1))
    with pytest.raises(ValueError, match="no time zone"):
        schedule("day", since=datetime(2025, 5, 1))


@pytest.mark.parametrize(
    "key",
    ["", "yesterday", "2025-5-1", "2025-05-01T00:00", "2025-W18-4", "20250501", "2025-05-01 ", "2025-02-30"],
)
def test_a_malformed_key_is_refused_with_an_example(key: str) -> None:
    with pytest.raises(WindowError, match="not the key of a window") as caught:
        schedule("day").window(key)
    assert "2025-01-01" in caught.value.hint


def test_a_key_between_boundaries_names_the_window_around_it() -> None:
    with pytest.raises(WindowError, match="no window has the key '2025-05-01'") as caught:
        schedule("week").window("2025-05-01")
    assert "2025-04-28" in caught.value.hint


@pytest.mark.parametrize(
    ("every", "at", "cron"),
    [
        ("15min", None, "*/15 * * * *"),
        ("15min", time(0, 7), "7,22,37,52 * * * *"),
        ("hour", time(0, 20), "20 * * * *"),
        ("6h", time(2, 15), "15 2,8,14,20 * * *"),
        ("day", time(2, 15), "15 2 * * *"),
        ("week", time(2, 15), "15 2 * * 1"),
        ("month", time(2, 15), "15 2 1 * *"),
        ("month", time(0, 0), "0 0 1 * *"),
    ],
)
def test_at_moves_the_tick_and_not_the_windows(every: str, at: time | None, cron: str) -> None:
    moved, plain = schedule(every, at=at), schedule(every)
    assert moved.tick_cron == cron
    assert moved.cron_schedule == plain.cron_schedule
    assert moved.first == plain.first


def test_windows_are_in_utc_so_that_they_compare_as_instants() -> None:
    ours = schedule("hour", "Europe/Berlin", date(2025, 10, 26))
    second = ours.window("2025-10-26T02:00+0100")
    shown = datetime(2025, 10, 26, 2, 30, tzinfo=ZoneInfo("Europe/Berlin"))
    assert second.start.tzinfo is UTC
    assert not second.contains(shown)
    assert second.contains(shown.replace(fold=1))


class TestDue:
    daily = schedule("day", "Europe/Berlin", date(2025, 5, 1), at=time(2, 15))
    berlin = ZoneInfo("Europe/Berlin")

    def test_the_open_window_is_due_from_its_tick_on(self) -> None:
        assert self.daily.due(datetime(2025, 5, 3, 2, 14, tzinfo=self.berlin)) is None
        due = self.daily.due(datetime(2025, 5, 3, 2, 15, tzinfo=self.berlin))
        assert due is not None
        assert due.key == "2025-05-03"

    def test_nothing_is_due_before_since(self) -> None:
        assert self.daily.due(datetime(2025, 4, 30, tzinfo=UTC)) is None


class TestCapturable:
    ours = schedule("day", "Europe/Berlin", date(2025, 5, 1), late_limit=timedelta(hours=2))
    window = ours.window("2025-05-03")

    def test_within_the_window_it_is_not_late(self) -> None:
        assert self.ours.capturable(self.window, self.window.start) == timedelta(0)
        assert self.ours.capturable(self.window, self.window.end - timedelta(seconds=1)) == timedelta(0)
        assert not self.ours.late(self.window, self.window.end - timedelta(seconds=1))

    def test_within_the_limit_it_says_how_late(self) -> None:
        assert self.ours.capturable(self.window, self.window.end) == timedelta(0)
        now = self.window.end + timedelta(minutes=119)
        assert self.ours.capturable(self.window, now) == timedelta(minutes=119)
        assert self.ours.late(self.window, now)

    def test_after_the_limit_it_is_refused(self) -> None:
        now = self.window.end + timedelta(hours=2)
        with pytest.raises(WindowError, match="cannot show what the data was then") as caught:
            self.ours.capturable(self.window, now)
        assert not self.ours.late(self.window, now)
        assert "2025-05-04 00:00 Europe/Berlin, 2 h ago" in caught.value.message
        assert "2025-05-04" in caught.value.hint
        assert "`late_limit` is 2 h" in caught.value.hint
        assert not caught.value.retryable

    def test_without_a_limit_the_end_is_the_end(self) -> None:
        strict = schedule("day", "Europe/Berlin", date(2025, 5, 1))
        with pytest.raises(WindowError, match="ended at"):
            strict.capturable(self.window, self.window.end)

    def test_a_future_window_is_refused(self) -> None:
        with pytest.raises(WindowError, match="in 1 d 1 h") as caught:
            self.ours.capturable(self.window, self.window.start - timedelta(hours=25))
        assert "once it has started" in caught.value.hint


def test_a_year_of_hours_is_fast_and_an_old_since_costs_nothing() -> None:
    """Of this thread alone, without a collection of what other tests left: that may take half a second."""
    ours = schedule("hour", "Europe/Berlin", date(1980, 1, 1))
    start = datetime(2025, 1, 1, tzinfo=UTC)
    gc.collect()
    before = clock.thread_time()
    assert len(list(ours.windows(start, start + 365 * DAY))) == 8760
    assert clock.thread_time() - before < 0.5
    before = clock.thread_time()
    for n in range(100):
        ours.window_of(start + n * DAY)
    assert clock.thread_time() - before < 0.1
