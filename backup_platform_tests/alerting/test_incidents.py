from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backup_platform.alerting.incidents import DETAIL_LIMIT, IncidentBook, Message, Occasion
from backup_platform.errors import BackupError

START = datetime(2026, 11, 22, 2, 15, tzinfo=UTC)
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)


class Watched:
    """A book whose clock is moved by the test, and which is written and read again at each observation."""

    def __init__(self) -> None:
        self.text, self.now = "", START

    def observe(self, failing: bool, after: timedelta = timedelta(), *, sent: bool = True) -> Message | None:
        self.now += after
        book = IncidentBook.from_json(self.text)
        message = book.observe("shop", failing, "Backup of shop failed", "disk full", self.now)
        if message is not None and not sent:
            book.undelivered(message)
        self.text = book.to_json()
        return message


@pytest.fixture
def watched() -> Watched:
    return Watched()


def test_the_first_failure_is_told_with_its_detail(watched: Watched) -> None:
    expected = Message(
        "shop", Occasion.OPENED, "Backup of shop failed", "disk full\nSince 2026-11-22 02:15 UTC."
    )
    assert watched.observe(True) == expected


def test_one_lasting_failure_is_told_at_its_start_after_4_hours_24_more_and_then_daily(
    watched: Watched,
) -> None:
    told = [watched.now - START for _ in range(5 * 24 * 60) if watched.observe(True, MINUTE)]
    assert told == [MINUTE, 4 * HOUR + MINUTE, *(4 * HOUR + MINUTE + n * DAY for n in range(1, 5))]


def test_a_reminder_says_how_long_and_how_often(watched: Watched) -> None:
    watched.observe(True)
    watched.observe(True, HOUR)
    message = watched.observe(True, 25 * HOUR)
    assert message is not None
    assert (message.occasion, message.title) == (Occasion.REMINDER, "Still failing: Backup of shop failed")
    assert message.body == "disk full\nFor 1 d 2 h, since 2026-11-22 02:15 UTC; seen 3 times."


def test_the_end_is_told_once_with_duration_and_count(watched: Watched) -> None:
    watched.observe(True)
    watched.observe(True, HOUR)
    message = watched.observe(False, HOUR + 5 * MINUTE)
    assert message is not None
    assert (message.occasion, message.title) == (Occasion.RESOLVED, "Resolved: Backup of shop failed")
    assert message.body == (
        "It lasted 2 h 5 min, from 2026-11-22 02:15 UTC to 2026-11-22 04:20 UTC, and was seen 2 times."
    )
    assert watched.observe(False, HOUR) is None
    assert json.loads(watched.text)["incidents"] == {}


def test_health_is_not_told(watched: Watched) -> None:
    assert watched.observe(False) is None


def test_a_failure_after_the_end_is_a_new_incident(watched: Watched) -> None:
    for _ in range(3):
        opened, resolved = watched.observe(True, HOUR), watched.observe(False, MINUTE)
        assert opened is not None
        assert resolved is not None
        assert opened.occasion is Occasion.OPENED
        assert "lasted 1 min" in resolved.body
        assert "seen once" in resolved.body


def test_a_message_that_was_not_delivered_comes_again(watched: Watched) -> None:
    assert watched.observe(True, sent=False)
    again = watched.observe(True, MINUTE)
    assert again is not None
    assert again.occasion is Occasion.OPENED
    assert "Since 2026-11-22 02:15 UTC" in again.body
    assert watched.observe(True, MINUTE) is None
    assert watched.observe(True, 4 * HOUR, sent=False)
    reminder = watched.observe(True, MINUTE)
    assert reminder is not None
    assert reminder.occasion is Occasion.REMINDER
    assert watched.observe(True, 23 * HOUR) is None
    assert watched.observe(False, MINUTE, sent=False)
    resolved = watched.observe(False, MINUTE)
    assert resolved is not None
    assert resolved.occasion is Occasion.RESOLVED
    assert watched.observe(False, MINUTE) is None


def test_incidents_do_not_touch_each_other() -> None:
    book = IncidentBook()
    assert book.observe("a", True, "A", "", START)
    assert book.observe("b", True, "B", "", START + HOUR)
    assert book.observe("a", True, "A", "", START + HOUR) is None
    assert book.observe("a", False, "A", "", START + HOUR)
    assert set(book.incidents) == {"b"}
    book.forget(["a", "b"])
    assert not book.incidents


def test_a_reminder_has_the_newest_title_and_detail() -> None:
    book = IncidentBook()
    book.observe("a", True, "old", "old detail", START)
    message = book.observe("a", True, "new", "new detail", START + 5 * HOUR)
    assert message is not None
    assert message.title == "Still failing: new"
    assert message.body.startswith("new detail\n")


def test_a_clock_that_was_set_back_does_not_silence_an_incident(watched: Watched) -> None:
    watched.observe(True, 365 * DAY)
    assert watched.observe(True, -365 * DAY) is None
    assert watched.observe(True, 4 * HOUR)
    assert watched.observe(False, -DAY)


def test_details_are_bounded_so_that_the_book_stays_small() -> None:
    book = IncidentBook()
    message = book.observe("a", True, "A", "x" * 10**6, START)
    assert message is not None
    assert len(message.body) < DETAIL_LIMIT + 100
    assert len(book.to_json()) < DETAIL_LIMIT + 500


def test_the_pauses_can_be_chosen_but_not_to_nothing() -> None:
    book = IncidentBook(remind_after=[HOUR])
    told = [n for n in range(10) if book.observe("a", True, "A", "", START + n * HOUR / 2)]
    assert told == [0, 2, 4, 6, 8]
    for wrong in ([], [timedelta()], [HOUR, -HOUR]):
        with pytest.raises(ValueError, match="positive"):
            IncidentBook(remind_after=wrong)


ALLOWED: dict[tuple[bool, bool], set[Occasion | None]] = {
    (False, False): {None},
    (False, True): {Occasion.OPENED},
    (True, True): {None, Occasion.REMINDER},
    (True, False): {Occasion.RESOLVED},
}


@given(st.lists(st.tuples(st.sampled_from("ab"), st.booleans(), st.integers(0, 10**6)), max_size=40))
def test_messages_of_a_key_open_and_resolve_in_turn_and_survive_json(
    steps: list[tuple[str, bool, int]],
) -> None:
    book, now, open_keys = IncidentBook(), START, set[str]()
    for key, failing, seconds in steps:
        now += timedelta(seconds=seconds)
        book = IncidentBook.from_json(book.to_json())
        message = book.observe(key, failing, key, "", now)
        assert (message.occasion if message else None) in ALLOWED[key in open_keys, failing]
        open_keys = open_keys | {key} if failing else open_keys - {key}
        assert set(book.incidents) == open_keys


GOOD = IncidentBook()
GOOD.observe("a", True, "A", "", START)


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        "null",
        "{}",
        '{"format":2,"incidents":{}}',
        '{"format":1,"incidents":{"a":{}}}',
        GOOD.to_json().replace("+00:00", ""),
        GOOD.to_json().replace('"title"', '"tilte"'),
    ],
)
def test_a_book_that_cannot_be_read_is_an_error(text: str) -> None:
    with pytest.raises(BackupError, match="cannot be read"):
        IncidentBook.from_json(text)
