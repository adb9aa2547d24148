from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

from backup_platform.errors import BackupError
from backup_platform.orchestration.sensors.outbox import LONGEST_PAUSE, MOST_PENDING, Desk, Outbox

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


class Channel:
    """Refuses the first `failures` messages."""

    def __init__(self, failures: int = 0) -> None:
        self.failures = failures
        self.tried = 0
        self.sent: list[tuple[str, str]] = []
        self.over: list[bool] = []

    def send(self, title: str, body: str, *, over: bool = False) -> None:
        self.tried += 1
        if self.tried <= self.failures:
            raise BackupError("the channel is down", hint="Try later.")
        self.sent.append((title, body))
        self.over.append(over)


def test_one_message_goes_out_as_it_is_and_only_once() -> None:
    outbox, channel = Outbox(), Channel()
    outbox.add("shop: backup failed", "no such file")
    assert outbox.deliver(lambda: channel, NOW) == ""
    assert outbox.deliver(lambda: channel, NOW) == ""
    assert channel.sent == [("shop: backup failed", "no such file")]


def test_only_what_brings_nothing_but_good_news_is_no_failure() -> None:
    channel = Channel()
    for endings in ([True], [True, True], [True, False]):
        outbox = Outbox()
        for over in endings:
            outbox.add("shop: backup failed", "", over=over)
        Outbox(json.loads(json.dumps(outbox.state()))).deliver(lambda: channel, NOW)
    assert channel.over == [True, True, False]


def test_whether_it_is_over_is_not_read_from_the_title() -> None:
    channel, desk = Channel(), Desk(None, ["Resolved"])
    desk.observe("Resolved", "run", ("Resolved: backup failed", "of a source with that name"), NOW)
    desk.deliver(lambda: channel, NOW)
    desk.observe("Resolved", "run", None, NOW)
    desk.deliver(lambda: channel, NOW)
    assert channel.over == [False, True]


def test_messages_that_an_older_version_kept_are_sent() -> None:
    outbox, channel = Outbox({"pending": [["Resolved: a", "b"]]}), Channel()
    outbox.deliver(lambda: channel, NOW)
    assert (channel.sent, channel.over) == ([("Resolved: a", "b")], [False])


def test_many_messages_go_out_as_one() -> None:
    outbox, channel = Outbox(), Channel()
    for n in range(500):
        outbox.add(f"s{n}: missed", f"windows of s{n}")
    outbox.deliver(lambda: channel, NOW)
    [(title, body)] = channel.sent
    assert title.endswith("(and 499 more)")
    assert "windows of s305" in body
    assert "s499: missed" in body
    assert "windows of s499" not in body, "a channel cuts what is too long"
    assert f"{500 - MOST_PENDING} older alerts were dropped." in body


def test_a_failing_channel_delays_the_alert_and_loses_nothing() -> None:
    outbox, channel = Outbox(), Channel(failures=2)
    outbox.add("first", "1")
    problem = outbox.deliver(lambda: channel, NOW)
    assert "the channel is down. Try later." in problem
    outbox = Outbox(json.loads(json.dumps(outbox.state())))
    outbox.add("second", "2")
    assert outbox.deliver(lambda: channel, NOW + MINUTE) != ""
    assert outbox.deliver(lambda: channel, NOW + 3 * MINUTE) == ""
    assert channel.sent == [("first (and 1 more)", "first\n1\n\nsecond\n2")]


def test_a_failing_channel_is_tried_ever_more_rarely() -> None:
    """Because a channel that works beside it gets the message at each try."""
    outbox, channel = Outbox(), Channel(failures=10**6)
    outbox.add("title", "body")
    day = range(24 * 60)
    for minute in day:
        outbox.deliver(lambda: channel, NOW + minute * MINUTE)
    assert 24 <= channel.tried <= 24 * (timedelta(hours=1) / LONGEST_PAUSE) + 8


def test_a_channel_that_cannot_be_made_loses_nothing_either() -> None:
    """A secret that cannot be read is found out when the notifier is made."""

    def broken() -> Channel:
        raise BackupError("no secret")

    outbox, channel = Outbox(), Channel()
    outbox.add("title", "body")
    assert "no secret" in outbox.deliver(broken, NOW)
    outbox.deliver(lambda: channel, NOW + MINUTE)
    assert channel.sent == [("title", "body")]


def test_bad_news_come_first() -> None:
    outbox, channel = Outbox(), Channel()
    outbox.add("Resolved: a", "", over=True)
    outbox.add("b: backup failed", "why")
    outbox.deliver(lambda: channel, NOW)
    assert channel.sent == [("b: backup failed (and 1 more)", "b: backup failed\nwhy\n\nResolved: a")]


SHOP_DOWN = ("shop: backup failed", "no such file")


def test_a_lasting_problem_is_told_once_and_its_end_too() -> None:
    channel = Channel()
    state = None
    for minute, problem in enumerate([SHOP_DOWN] * 5 + [None] * 5):
        desk = Desk(state, ["shop"])
        desk.observe("shop", "run", problem, NOW + minute * MINUTE)
        desk.deliver(lambda: channel, NOW + minute * MINUTE)
        state = json.loads(json.dumps(desk.state()))
    assert [title for title, _ in channel.sent] == ["shop: backup failed", "Resolved: shop: backup failed"]


def test_two_problems_of_a_source_are_two_incidents() -> None:
    channel, desk = Channel(), Desk(None, ["shop"])
    desk.observe("shop", "run", SHOP_DOWN, NOW)
    desk.observe("shop", "check drill", ("shop: check drill failed", ""), NOW)
    desk.deliver(lambda: channel, NOW)
    assert len(channel.sent) == 1
    assert "check drill failed" in channel.sent[0][1]


def test_a_source_that_left_the_plan_leaves_no_incident_behind() -> None:
    channel, desk = Channel(), Desk(None, ["shop"])
    desk.observe("shop", "run", SHOP_DOWN, NOW)
    desk.deliver(lambda: channel, NOW)
    back_again = Desk(Desk(desk.state(), ["other"]).state(), ["other", "shop"])
    back_again.observe("shop", "run", SHOP_DOWN, NOW)
    back_again.deliver(lambda: channel, NOW)
    assert len(channel.sent) == 2


def test_a_book_that_cannot_be_read_is_begun_anew() -> None:
    channel = Channel()
    desk = Desk({"book": '{"format": 999}', "outbox": {}}, ["shop"])
    desk.observe("shop", "run", SHOP_DOWN, NOW)
    desk.deliver(lambda: channel, NOW)
    assert len(channel.sent) == 1
