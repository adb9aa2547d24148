"""What a sensor has to say reaches every channel, whatever becomes of the others and of the evaluation."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from threading import Event
from typing import Any

import pytest

from backup_platform.alerting.couriers import Couriers
from backup_platform.domain.incidents.policy import AlertPolicy, QuietHours
from backup_platform.domain.incidents.trouble import Trouble
from backup_platform.errors import BackupError
from backup_platform.orchestration.sensors import outbox
from backup_platform.orchestration.sensors.outbox import Desk

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
SHOP = Trouble("shop", "backup failed", "no such file")


class Hook:
    """A channel that refuses while it is `down`, and waits for `answer`."""

    def __init__(self, name: str = "json://a") -> None:
        self.name = name
        self.down = False
        self.answer = Event()
        self.answer.set()
        self.sent: list[tuple[str, bool]] = []
        self.bodies: list[str] = []

    def send(self, title: str, body: str, *, over: bool = False) -> None:
        self.answer.wait()
        if self.down:
            raise BackupError("the channel is down")
        self.sent.append((title, over))
        self.bodies.append(body)


class Desks:
    """Evaluations of a sensor: each reads what the one before wrote."""

    def __init__(self, *channels: Hook, policy: AlertPolicy | None = None) -> None:
        self.channels: Sequence[Hook] = channels
        self.sources = ["shop"]
        self.state: Any = None
        self.remembered: list[Any] = []
        self.couriers = Couriers()
        self.policy = policy
        self.now = NOW

    def evaluate(self, *problems: Trouble | None, kind: str = "run", after: timedelta = MINUTE) -> str:
        self.now += after
        desk = Desk(self.state, self.sources, self.policy)
        for problem in problems:
            desk.observe(problem.name if problem else "shop", kind, problem, self.now)
        said = desk.deliver(
            self.channels, self.couriers, self.now, lambda: self.remembered.append(desk.state()), "Plan p."
        )
        self.state = json.loads(json.dumps(desk.state()))
        return said


def titles(channel: Hook) -> list[str]:
    return [title for title, _ in channel.sent]


def test_a_lasting_problem_is_told_once_and_its_end_too() -> None:
    desks = Desks(Hook())
    for problem in [SHOP] * 5 + [None] * 5:
        desks.evaluate(problem)
    assert desks.channels[0].sent == [
        ("shop: backup failed", False),
        ("Resolved: shop: backup failed", True),
    ]
    assert desks.channels[0].bodies[0].endswith("\nPlan p.")


def test_two_problems_of_a_source_are_two_incidents() -> None:
    hook = Hook()
    desk = Desk(None, ["shop"])
    desk.observe("shop", "run", SHOP, NOW)
    desk.observe("shop", "check drill", Trouble("shop", "check drill failed"), NOW)
    desk.deliver([hook], Couriers(), NOW, lambda: None)
    assert titles(hook) == ["shop: backup failed (and 1 more)"]
    assert "check drill failed" in hook.bodies[0]


def test_a_slow_channel_delays_neither_the_others_nor_the_evaluation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox, "SEND_WITHIN_S", 0.2)
    slow, sound = Hook("json://slow"), Hook("json://sound")
    slow.answer.clear()
    desks = Desks(slow, sound)
    assert "no answer" in desks.evaluate(SHOP)
    for _ in range(2):
        desks.evaluate(SHOP)
    assert (slow.sent, titles(sound)) == ([], ["shop: backup failed"])
    slow.answer.set()
    wait_for(lambda: slow.sent != [])
    desks.evaluate(SHOP, after=2 * MINUTE)
    desks.evaluate(SHOP, after=30 * MINUTE)
    assert titles(slow) == ["shop: backup failed"], "what it took in the end is not sent again"
    assert titles(sound) == ["shop: backup failed"]


def test_nobody_waits_twice_for_a_channel_that_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox, "SEND_WITHIN_S", 0.2)
    slow, sound = Hook("json://slow"), Hook("json://sound")
    slow.answer.clear()
    desks = Desks(slow, sound)
    desks.evaluate(SHOP)
    monkeypatch.setattr(outbox, "SEND_WITHIN_S", 10**6)
    desks.evaluate(None)
    desks.evaluate(None)
    assert titles(sound) == ["shop: backup failed", "Resolved: shop: backup failed"]
    slow.answer.set()


def wait_for(condition: Callable[[], bool]) -> None:
    from time import sleep

    while not condition():
        sleep(0.01)


def test_a_channel_that_fails_is_an_incident_on_the_others() -> None:
    broken, sound = Hook("json://broken"), Hook("json://sound")
    broken.down = True
    desks = Desks(broken, sound)
    for _ in range(10):
        desks.evaluate(SHOP)
    title = "alert channel json://broken: takes no messages"
    assert titles(sound) == ["shop: backup failed", title]
    assert "the channel is down" in sound.bodies[1]
    broken.down = False
    desks.evaluate(SHOP, after=30 * MINUTE)
    assert titles(broken) == ["shop: backup failed"]
    desks.evaluate(SHOP)
    assert titles(sound)[2:] == [f"Resolved: {title}"]


def test_what_was_sent_is_remembered_before_anything_else_happens() -> None:
    """Killed after the first channel took it: the state that was remembered sends nothing twice, and loses nothing."""
    broken, sound = Hook("json://broken"), Hook("json://sound")
    broken.down = True
    desks = Desks(broken, sound)
    desks.evaluate(SHOP)
    before = json.loads(json.dumps(desks.remembered[0]))
    assert [each["name"] for each in before["outbox"]["messages"]] == ["shop"], "before it was sent"
    for state in desks.remembered:
        again = Desks(Hook("json://broken"), Hook("json://sound"))
        again.state = json.loads(json.dumps(state))
        again.evaluate(SHOP, after=5 * MINUTE)
        assert titles(again.channels[0]) == ["shop: backup failed"]
        owed = state["outbox"]["queues"]["json://sound"]["ids"]
        assert titles(again.channels[1]) == (["shop: backup failed"] if owed else [])
    assert not owed


def test_what_is_sent_a_second_time_has_the_same_id() -> None:
    desks = Desks(Hook())
    desks.evaluate(SHOP)
    first = desks.channels[0].bodies[0]
    desks.state = desks.remembered[0]
    desks.evaluate(SHOP)
    assert desks.channels[0].bodies[1] == first


def test_what_failed_while_the_plan_had_no_channels_is_told_when_it_has() -> None:
    hook = Hook()
    desks = Desks()
    desks.evaluate(SHOP)
    desks.evaluate(None)
    desks.channels = [hook]
    desks.evaluate(None)
    [(title, over)] = hook.sent
    assert (title, over) == ("shop: backup failed (and 1 more)", False)
    assert "Resolved: shop: backup failed" in hook.bodies[0]


def test_a_source_that_leaves_the_plan_closes_its_incidents_and_says_so() -> None:
    hook = Hook()
    desks = Desks(hook)
    desks.evaluate(SHOP)
    desks.sources = ["other"]
    desks.evaluate()
    assert hook.sent[1:] == [("Left the plan: shop: backup failed", True)], "a pager that rang is told"
    desks.sources = ["shop"]
    desks.evaluate(SHOP)
    assert hook.sent[2:] == [("shop: backup failed", False)]


def test_warnings_wait_for_the_end_of_the_quiet_hours_and_failures_do_not() -> None:
    hook = Hook()
    quiet = QuietHours((NOW - MINUTE).time(), (NOW + 60 * MINUTE).time())
    desks = Desks(hook, policy=AlertPolicy(quiet=quiet))
    warning = Trouble("shop", "check schema_unchanged warns", warning=True)
    desks.evaluate(warning, kind="schema")
    assert hook.sent == []
    desks.evaluate(SHOP)
    assert titles(hook) == ["shop: backup failed"]
    desks.evaluate(SHOP, after=60 * MINUTE)
    assert "check schema_unchanged warns" in "\n".join([*titles(hook)[1:], *hook.bodies[1:]])


def test_a_channel_that_breaks_in_an_unknown_way_holds_up_nothing() -> None:
    class Odd(Hook):
        def send(self, title: str, body: str, *, over: bool = False) -> None:
            raise ZeroDivisionError("odd")

    desks = Desks(Odd("odd://"), Hook())
    assert "ZeroDivisionError: odd" in desks.evaluate(SHOP)
    assert titles(desks.channels[1]) == ["shop: backup failed"]


@pytest.mark.parametrize("book", ['{"format": 999}', "no"])
def test_a_book_that_cannot_be_read_is_begun_anew(book: str) -> None:
    desks = Desks(Hook())
    desks.state = {"book": book, "outbox": {}}
    desks.evaluate(SHOP)
    assert titles(desks.channels[0]) == ["shop: backup failed"]
