"""The incidents that a sensor observes, and their messages on the way to the channels of the plan."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Collection, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from backup_platform.alerting.couriers import Couriers
from backup_platform.domain.incidents.book import SETTLES, IncidentBook
from backup_platform.domain.incidents.digest import Parcel
from backup_platform.domain.incidents.message import Message
from backup_platform.domain.incidents.outbox import Outbox
from backup_platform.domain.incidents.policy import AlertPolicy
from backup_platform.domain.incidents.trouble import Trouble
from backup_platform.domain.ports import AlertChannel
from backup_platform.errors import BackupError

if TYPE_CHECKING:
    from backup_platform.app import App

ALL = "*"  # in the place of a source: what concerns all of them
SEND_WITHIN_S = (
    10.0  # of an evaluation, which Dagster ends after 60; a channel that takes longer is asked later
)
FAILED_IN_A_ROW = 3  # before the other channels are told of one


def read_cursor(cursor: str | None) -> dict[str, Any]:
    """The state that a sensor kept. An unreadable cursor (changed by a person or another version) counts as empty:
    then open incidents are reported once more, which is better than a sensor that always fails."""
    try:
        state = json.loads(cursor) if cursor else {}
    except ValueError:
        state = {}
    return state if isinstance(state, dict) else {}


class Desk:
    """The incidents of sources: each is a source and what is wrong with it."""

    def __init__(
        self, state: dict[str, Any] | None, sources: Collection[str], policy: AlertPolicy | None = None
    ) -> None:
        """`sources` are those that are observed. Incidents of others are closed, and that is told."""
        state = state or {}
        self._policy = policy or AlertPolicy()
        self._book = _book(state.get("book", ""), self._policy)
        self._outbox = Outbox(state.get("outbox"))
        self._known = {*sources, ALL}
        self._settled_at: datetime | None = None
        self._news: list[tuple[Message, str | None]] = []

    def state(self) -> dict[str, Any]:
        """JSON-serialisable."""
        return {"book": self._book.to_json(), "outbox": self._outbox.state()}

    def observe(
        self,
        source: str,
        kind: str,
        problem: Trouble | None,
        now: datetime,
        over: tuple[str, str] | None = None,
        *,
        settles: timedelta = SETTLES,
        since: datetime | None = None,
        besides: str | None = None,
    ) -> None:
        """Note the state of something, see `IncidentBook.observe`. `besides` is a channel that is not told."""
        self._settle(now)
        key = f"{source}|{kind}"
        message = self._book.observe(key, problem, now, over=over, settles=settles, since=since)
        if message:
            self._news.append((message, besides))

    def explain(self, explained: Callable[[Sequence[Message]], Sequence[Message]]) -> None:
        """Complete the messages of what was observed; their order stays."""
        texts = explained([message for message, _ in self._news])
        self._news = [(text, besides) for text, (_, besides) in zip(texts, self._news, strict=True)]

    def deliver(
        self,
        channels: Sequence[AlertChannel],
        couriers: Couriers,
        now: datetime,
        remember: Callable[[], None],
        signature: str = "",
    ) -> str:
        """Send what is due, to all channels at once and within `SEND_WITHIN_S`; why something was not sent, or "".

        `remember` is called before anything is sent, and after each channel that took it.
        """
        self._outbox.address([channel.name for channel in channels])
        for landed in couriers.landed():
            self._landed(landed.channel, landed.ids, landed.error, now)
        self._collect(now)
        held = {m.id for m in self._outbox.waiting() if self._policy.holds(m.warning, now)}
        due = {channel: self._outbox.due(channel.name, now, held) for channel in channels}
        if any(due.values()):
            remember()
        free = {channel: parcel for channel, parcel in due.items() if channel.name not in couriers.away}
        awaited = [channel.name for channel, parcel in free.items() if parcel]
        for channel, parcel in free.items():
            if parcel:
                couriers.send(channel.name, parcel, _sending(channel, signature))
        problems = []
        for landed in couriers.landed(awaited, SEND_WITHIN_S):
            problems.append(self._landed(landed.channel, landed.ids, landed.error, now))
            remember()
        for name in sorted(couriers.away & {channel.name for channel, parcel in due.items() if parcel}):
            problems.append(self._outbox.refused(name, f"no answer within {SEND_WITHIN_S:.0f} s", now))
        return " ".join(problem for problem in problems if problem)

    def _landed(self, channel: str, ids: Collection[str], error: str, now: datetime) -> str:
        if error:
            return self._outbox.refused(channel, error, now)
        self._outbox.sent(channel, ids)
        return ""

    def _collect(self, now: datetime) -> None:
        """What is to be told, besides what was observed."""
        gone = [key for key in self._book.keys if key.partition("|")[0] not in self._known]
        self._news += [(message, None) for message in self._book.leave(gone, now)]
        self._settle(now)
        self._observe_channels(now)
        for message, besides in self._news:
            self._outbox.add(message, besides=besides)
        self._news = []

    def _settle(self, now: datetime) -> None:
        """Once for each time: there may be many incidents."""
        if self._settled_at == now:
            return
        self._settled_at = now
        self._news += [(message, None) for message in self._book.settle(now)]

    def _observe_channels(self, now: datetime) -> None:
        failing = self._outbox.failing(FAILED_IN_A_ROW)
        for name, queue in failing.items():
            since = datetime.fromisoformat(queue.failing_since)
            problem = Trouble(f"alert channel {name}", "takes no messages", queue.reason)
            self.observe(ALL, f"channel {name}", problem, now, since=since, besides=name)
        for key in self._book.incidents:
            source, _, kind = key.partition("|")
            name = kind.removeprefix("channel ")
            if source == ALL and kind != name and not self._outbox.fails(name):
                self.observe(ALL, kind, None, now)


def _sending(channel: AlertChannel, signature: str) -> Callable[[Parcel], None]:
    def deliver(parcel: Parcel) -> None:
        body = "\n".join(part for part in (parcel.body, signature) if part)
        channel.send(parcel.title, body, over=parcel.over)

    return deliver


def signature(app: App) -> str:
    """The last line of a message: where it comes from."""
    return f"Plan {app.plan_path} on host {socket.gethostname()}."


def _book(text: str, policy: AlertPolicy) -> IncidentBook:
    """The book of incidents. An unreadable one counts as empty: then open incidents are reported once more, which
    is better than silence."""
    try:
        return IncidentBook.from_json(text, policy)
    except BackupError:
        return IncidentBook(policy=policy)
