"""One message when something begins to fail, a few reminders, one when it is over."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backup_platform.domain.incidents.book import IncidentBook
from backup_platform.domain.incidents.message import Message, Occasion
from backup_platform.domain.incidents.policy import AlertPolicy, QuietHours
from backup_platform.domain.incidents.trouble import LONGEST_CAUSE, Trouble
from backup_platform.errors import BackupError

START = datetime(2026, 11, 22, 2, 15, tzinfo=UTC)
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
FULL = Trouble("shop", "backup failed", "disk full", "Window 2026-11-22.")


class Watched:
    """A book whose clock is moved by the test, and which is written and read again at each observation."""

    def __init__(self, policy: AlertPolicy | None = None) -> None:
        self.text, self.now, self.policy = "", START, policy

    def observe(self, problem: Trouble | None, after: timedelta = timedelta(), **how: Any) -> Message | None:
        self.now += after
        book = IncidentBook.from_json(self.text, self.policy)
        message = book.observe("shop", problem, self.now, **how)
        self.text = book.to_json()
        return message

    def settle(self, after: timedelta = timedelta()) -> list[Message]:
        self.now += after
        book = IncidentBook.from_json(self.text, self.policy)
        messages = list(book.settle(self.now))
        self.text = book.to_json()
        return messages


@pytest.fixture
def watched() -> Watched:
    return Watched()


def said(message: Message | None) -> tuple[str, str]:
    assert message is not None
    return message.title, message.body


def test_the_first_failure_is_told_with_its_detail(watched: Watched) -> None:
    assert said(watched.observe(FULL)) == (
        "shop: backup failed",
        "disk full Window 2026-11-22.\nSince 2026-11-22 02:15 UTC.",
    )


def test_one_lasting_failure_is_told_at_its_start_after_an_hour_and_then_daily(watched: Watched) -> None:
    told = [watched.now - START for _ in range(3 * 24 * 60) if watched.observe(FULL, MINUTE)]
    assert told == [MINUTE, HOUR + MINUTE, *(HOUR + MINUTE + n * DAY for n in range(1, 3))]


def test_a_reminder_says_how_long_and_how_often(watched: Watched) -> None:
    watched.observe(FULL)
    watched.observe(FULL, 30 * MINUTE)
    title, body = said(watched.observe(FULL, 25 * HOUR))
    assert title == "Still failing: shop: backup failed"
    assert body.endswith("\nFor 1 d 1 h, since 2026-11-22 02:15 UTC; seen 3 times.")


def test_the_end_is_told_once_with_duration_and_count(watched: Watched) -> None:
    watched.observe(FULL)
    watched.observe(FULL, 30 * MINUTE)
    title, body = said(watched.observe(None, 95 * MINUTE))
    assert title == "Resolved: shop: backup failed"
    assert (
        body
        == "It lasted 2 h 5 min, from 2026-11-22 02:15 UTC to 2026-11-22 04:20 UTC, and was seen 2 times."
    )
    assert watched.observe(None, HOUR) is None
    assert watched.settle(DAY) == []
    assert json.loads(watched.text)["incidents"] == {}


def test_an_end_says_what_stays(watched: Watched) -> None:
    watched.observe(FULL)
    over = ("backed up again, 2 windows stay missed", "No recovery point: 2 windows.")
    title, body = said(watched.observe(None, HOUR, over=over))
    assert title == "Resolved: shop: backed up again, 2 windows stay missed"
    assert body.startswith("No recovery point: 2 windows.\nIt lasted 1 h")


def test_health_is_not_told(watched: Watched) -> None:
    assert watched.observe(None) is None


def test_what_comes_and_goes_is_one_incident_with_a_count(watched: Watched) -> None:
    """A source that fails every other window."""
    told: list[str] = []
    for _ in range(8):
        for problem in (FULL, None):
            message = watched.observe(problem, 5 * MINUTE, settles=6 * HOUR)
            told += [message.title] if message else []
            told += [each.title for each in watched.settle()]
    assert told == [
        "shop: backup failed",
        "Resolved: shop: backup failed",
        "Again: shop: backup failed",
    ]
    assert watched.settle(5 * HOUR) == []
    [end] = watched.settle(HOUR)
    assert end.title == "Resolved: shop: backup failed"
    assert "from 2026-11-22 02:20 UTC to 2026-11-22 03:35 UTC" in end.body
    assert end.body.endswith("It came and went 8 times.")


def test_what_fails_long_after_its_end_is_a_new_incident(watched: Watched) -> None:
    watched.observe(FULL)
    watched.observe(None, HOUR, settles=HOUR)
    watched.settle(DAY)
    message = watched.observe(FULL)
    assert message is not None
    assert message.occasion is Occasion.OPENED


def test_another_aspect_of_a_known_incident_is_told_once(watched: Watched) -> None:
    first = Trouble("shop", "check schema_unchanged warns", "added table notes", aspect="notes")
    second = Trouble("shop", "check schema_unchanged warns", "removed table orders", aspect="orders")
    watched.observe(first)
    assert watched.observe(first, MINUTE) is None
    title, body = said(watched.observe(second, MINUTE))
    assert title == "Also: shop: check schema_unchanged warns"
    assert body.startswith("removed table orders")
    assert watched.observe(first, MINUTE) is None
    assert watched.observe(second, MINUTE) is None


def test_what_nobody_observes_any_more_is_closed_and_that_is_told() -> None:
    book = IncidentBook()
    book.observe("old", FULL, START)
    book.observe("over", FULL, START)
    book.observe("over", None, START + MINUTE)
    [message] = book.leave(["old", "over"], START + HOUR)
    assert message.title == "Left the plan: shop: backup failed"
    assert message.over
    assert "not in the plan any more" in message.body
    assert not book.incidents


def test_incidents_do_not_touch_each_other() -> None:
    book = IncidentBook()
    assert book.observe("a", FULL, START)
    assert book.observe("b", FULL, START + MINUTE)
    assert book.observe("a", FULL, START + MINUTE) is None
    assert book.observe("a", None, START + MINUTE)
    assert set(book.incidents) == {"b"}


def test_a_clock_that_was_set_back_does_not_silence_an_incident(watched: Watched) -> None:
    watched.observe(FULL, 365 * DAY)
    assert watched.observe(FULL, -365 * DAY) is None
    assert watched.observe(FULL, HOUR)
    assert watched.observe(None, -DAY)
    watched.now += 365 * DAY
    assert watched.observe(FULL)
    watched.observe(None)
    watched.settle(-365 * DAY)
    assert json.loads(watched.text)["incidents"], "it has just ended"
    watched.settle(DAY)
    assert json.loads(watched.text)["incidents"] == {}


def test_what_happened_before_it_was_seen_is_told_with_its_time(watched: Watched) -> None:
    assert "Since 2026-11-22 01:15 UTC." in said(watched.observe(FULL, since=START - HOUR))[1]
    assert "to 2026-11-22 02:00 UTC" in said(watched.observe(None, since=START - 15 * MINUTE))[1]


def test_details_are_bounded_so_that_the_book_stays_small() -> None:
    book = IncidentBook()
    message = book.observe("a", Trouble("A" * 10**6, "x" * 10**6, "x" * 10**6, "x" * 10**6), START)
    assert message is not None
    assert len(message.body) < 2 * LONGEST_CAUSE + 100
    assert len(book.to_json()) < 3 * LONGEST_CAUSE + 500


def test_the_pauses_can_be_chosen_but_not_to_nothing() -> None:
    book = IncidentBook(policy=AlertPolicy([HOUR]))
    told = [n for n in range(10) if book.observe("a", FULL, START + n * HOUR / 2)]
    assert told == [0, 2, 4, 6, 8]
    for wrong in ([], [timedelta()], [HOUR, -HOUR]):
        with pytest.raises(ValueError, match="positive"):
            AlertPolicy(wrong)


@pytest.mark.parametrize(("hour", "held"), [(21, False), (22, True), (3, True), (6, False), (12, False)])
def test_quiet_hours_hold_back_warnings_and_never_failures(hour: int, held: bool) -> None:
    begin, end = datetime(2026, 1, 1, 22).time(), datetime(2026, 1, 1, 6).time()
    policy = AlertPolicy(quiet=QuietHours(begin, end, "Europe/Berlin"))
    now = START.replace(hour=hour - 1, minute=0) if hour else START
    assert policy.holds(True, now) is held
    assert not policy.holds(False, now)


@pytest.mark.parametrize(
    "text", ["no", "[]", "{}", '{"format": 999, "incidents": {}}', '{"format": 3, "incidents": {"a": {}}}']
)
def test_a_book_that_cannot_be_read_is_an_error(text: str) -> None:
    with pytest.raises(BackupError, match="cannot be read"):
        IncidentBook.from_json(text)


STEPS = st.lists(st.tuples(st.booleans(), st.integers(0, 3000)), max_size=60)


@given(STEPS)
def test_beginnings_and_ends_alternate_whatever_happens(steps: list[tuple[bool, int]]) -> None:
    watched = Watched()
    told: list[Occasion] = []
    for failing, minutes in steps:
        told += [each.occasion for each in watched.settle(minutes * MINUTE)]
        message = watched.observe(FULL if failing else None)
        told += [message.occasion] if message else []
    told = [each for each in told if each is not Occasion.REMINDER]
    begins = {Occasion.OPENED, Occasion.AGAIN}
    assert [each in begins for each in told] == [n % 2 == 0 for n in range(len(told))]
    watched.settle()
    last = steps[-1][0] if steps else False
    assert bool(IncidentBook.from_json(watched.text).incidents) == last
