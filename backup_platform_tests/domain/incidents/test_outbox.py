"""Each channel gets each message, whatever becomes of the other channels."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

from backup_platform.domain.incidents.digest import LONGEST_BODY, Parcel, digest
from backup_platform.domain.incidents.message import Message, Occasion
from backup_platform.domain.incidents.outbox import LONGEST_PAUSE, MOST_PENDING, Outbox

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
A, B = "json://a", "json://b"


def message(name: str, cause: str = "why", *, over: bool = False, what: str = "backup failed") -> Message:
    occasion = Occasion.RESOLVED if over else Occasion.OPENED
    return Message(f"{name}|run", occasion, NOW, name, what, cause, f"Window of {name}.", "Since 12:00.")


def outbox(*channels: str) -> Outbox:
    made = Outbox()
    made.address(channels)
    return made


def again(box: Outbox) -> Outbox:
    """As the next evaluation reads it."""
    return Outbox(json.loads(json.dumps(box.state())))


def parcel(box: Outbox, channel: str = A, now: datetime = NOW) -> Parcel:
    found = box.due(channel, now)
    assert found is not None
    return found


def test_one_message_goes_to_each_channel_once() -> None:
    box = outbox(A, B)
    box.add(message("shop"))
    first = parcel(again(box))
    assert first.title == "shop: backup failed"
    assert first.body == f"why Window of shop.\nSince 12:00.\nAlert {message('shop').id}."
    box.sent(A, first.ids)
    box = again(box)
    assert box.due(A, NOW) is None
    assert parcel(box, B).ids == first.ids, "the same message has the same id"
    box.sent(B, first.ids)
    assert again(box).state()["messages"] == []


def test_a_channel_that_fails_is_tried_ever_more_rarely_and_loses_nothing() -> None:
    box, tried = outbox(A, B), 0
    box.add(message("shop"))
    for minute in range(24 * 60):
        now = NOW + minute * MINUTE
        if box.due(A, now):
            tried += 1
            assert "the channel is down" in box.refused(A, "the channel is down", now)
    assert 24 <= tried <= 24 * (timedelta(hours=1) / LONGEST_PAUSE) + 8
    assert parcel(box, B).title == "shop: backup failed"
    assert list(box.failing(3)) == [A]
    box.add(message("files"))
    assert parcel(again(box), A, NOW + timedelta(days=2)).title == "shop and 1 more: backup failed"


def test_nothing_is_held_back_until_a_wrong_time() -> None:
    box = outbox(A)
    box.add(message("shop"))
    box.refused(A, "down", NOW + timedelta(days=2))
    assert box.due(A, NOW)


def test_what_nobody_could_be_told_is_told_when_there_is_a_channel() -> None:
    box = outbox()
    box.add(message("shop"))
    box = again(box)
    box.address([])
    assert box.due("", NOW) is None or box.state()["messages"]
    box.address([A])
    assert parcel(box).title == "shop: backup failed"


def test_what_a_channel_that_left_did_not_get_goes_to_the_one_in_its_place() -> None:
    box = outbox(A)
    box.add(message("shop"))
    box.refused(A, "no such host", NOW)
    box.address([B])
    assert parcel(again(box), B).title == "shop: backup failed"


def test_a_new_channel_gets_what_is_told_from_then_on() -> None:
    box = outbox(A)
    box.add(message("shop"))
    box.address([A, B])
    assert box.due(B, NOW) is None
    box.add(message("files"))
    assert parcel(box, B).title == "files: backup failed"


def test_a_message_may_leave_out_a_channel() -> None:
    box = outbox(A, B)
    box.add(message("channel a"), besides=A)
    assert box.due(A, NOW) is None
    assert box.due(B, NOW)


def test_what_is_held_back_waits() -> None:
    box = outbox(A)
    box.add(message("shop"))
    assert box.due(A, NOW, held=[each.id for each in box.waiting()]) is None
    assert box.due(A, NOW)


def test_only_what_brings_nothing_but_good_news_is_no_failure() -> None:
    for overs in ([True], [True, True], [True, False]):
        found = digest([message(f"s{n}", over=over) for n, over in enumerate(overs)])
        assert found.over is all(overs)
    assert digest([message("a", over=True), message("b")]).title == "b: backup failed (and 1 more)"


def test_many_of_one_cause_are_one_text_with_a_list() -> None:
    found = digest([message(f"s{n}", "The server db1 does not answer.") for n in range(6)])
    assert found.title == "s0 and 5 more: backup failed"
    assert found.body.startswith("s0, s1, s2, s3, s4, s5.\nThe server db1 does not answer.\nThe first: s0.")
    assert found.body.count("does not answer") == 1


def test_two_causes_are_two_texts() -> None:
    found = digest([message("a", "one"), message("b", "two"), message("c", "one")])
    assert found.title == "a and 1 more: backup failed (and 1 more)"
    assert found.body.index("a, c.\none") < found.body.index("b: backup failed\ntwo")


def test_the_text_is_bounded() -> None:
    box = outbox(A)
    for n in range(500):
        box.add(message(f"s{n}", f"{n} " + "x" * 2000))
    found = parcel(box)
    assert found.title.endswith("(and 499 more)")
    assert len(found.body) < LONGEST_BODY + 4000
    assert f"{500 - MOST_PENDING} older alerts were dropped." in found.body
    assert len(json.dumps(box.state())) < MOST_PENDING * 2500
