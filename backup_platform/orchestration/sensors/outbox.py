"""The open incidents of a sensor, and its messages that are not sent yet.

Both are kept in the sensor's cursor. So a lasting failure is reported once, and a failing channel delays an alert
but never loses it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from backup_platform.alerting.incidents import IncidentBook, Occasion
from backup_platform.domain.ports import Notifier
from backup_platform.domain.words import how_many, more, were
from backup_platform.errors import BackupError

LONGEST_PAUSE = timedelta(hours=1)
ALL = "*"  # in the place of a source: what concerns all of them
MOST_IN_FULL = 10  # of one message; of the others it has the titles
MOST_PENDING = 200  # beyond, the oldest are counted instead of kept: a cursor is no archive


def read_cursor(cursor: str | None) -> dict[str, Any]:
    """The state that a sensor kept. An unreadable cursor (changed by a person or another version) counts as empty:
    then open incidents are reported once more, which is better than a sensor that always fails."""
    try:
        state = json.loads(cursor) if cursor else {}
    except ValueError:
        state = {}
    return state if isinstance(state, dict) else {}


@dataclass(frozen=True, slots=True)
class PendingAlert:
    """A message on its way. `over` when what it tells of has ended; one that an older version kept rings once more."""

    title: str
    body: str
    over: bool = False


class Outbox:
    """What one sensor has to say. All that is pending goes out as one message, of however many sources."""

    def __init__(self, state: dict[str, Any] | None = None) -> None:
        state = state or {}
        self._pending = [PendingAlert(*told) for told in state.get("pending", [])]
        self._dropped: int = state.get("dropped", 0)
        self._failures: int = state.get("failures", 0)
        self._retry_at: float = state.get("retry_at", 0.0)

    def state(self) -> dict[str, Any]:
        """JSON-serialisable."""
        return {
            "pending": [[each.title, each.body, each.over] for each in self._pending],
            "dropped": self._dropped,
            "failures": self._failures,
            "retry_at": self._retry_at,
        }

    def add(self, title: str, body: str, *, over: bool = False) -> None:
        self._pending.append(PendingAlert(title, body, over))
        if len(self._pending) > MOST_PENDING:
            self._pending.pop(0)
            self._dropped += 1

    def deliver(self, notifier: Callable[[], Notifier], now: datetime) -> str:
        """Send what is pending; the reason when it could not be sent, else "".

        A channel that fails is tried again after 1, 2, 4 ... minutes, because the channels that work get the
        message each time.
        """
        latest = (now + LONGEST_PAUSE).timestamp()  # a clock that was ahead must not hold anything back
        if not self._pending or now.timestamp() < self._retry_at <= latest:
            return ""
        try:
            notifier().send(*self._digest(), over=self._over())
        except BackupError as error:
            self._failures += 1
            pause = min(timedelta(minutes=2 ** min(self._failures - 1, 10)), LONGEST_PAUSE)
            self._retry_at = (now + pause).timestamp()
            return f"{how_many(len(self._pending), 'alert')} not sent, next try in {pause}: {error}"
        self._pending, self._dropped, self._failures, self._retry_at = [], 0, 0, 0.0
        return ""

    def _over(self) -> bool:
        return not self._dropped and all(each.over for each in self._pending)

    def _digest(self) -> tuple[str, str]:
        if len(self._pending) == 1 and not self._dropped:
            return self._pending[0].title, self._pending[0].body
        lost = (
            [f"{how_many(self._dropped, 'older alert')} {were(self._dropped)} dropped."]
            if self._dropped
            else []
        )
        bad_news_first = sorted(self._pending, key=lambda each: each.over)
        parts = [f"{each.title}\n{each.body}".strip() for each in bad_news_first[:MOST_IN_FULL]]
        parts += [each.title for each in bad_news_first[MOST_IN_FULL:]]
        title = f"{bad_news_first[0].title} ({more(len(self._pending) + self._dropped - 1)})"
        return title, "\n\n".join(parts + lost)


class Desk:
    """The incidents of sources: each is a source and what is wrong with it."""

    def __init__(self, state: dict[str, Any] | None, sources: Collection[str]) -> None:
        """Keeps incidents of `sources` only, because nobody observes those of a source that left the plan."""
        state = state or {}
        self._book = _book(state.get("book", ""))
        known = {*sources, ALL}
        self._book.forget([key for key in self._book.incidents if key.partition("|")[0] not in known])
        self._outbox = Outbox(state.get("outbox"))

    def state(self) -> dict[str, Any]:
        """JSON-serialisable."""
        return {"book": self._book.to_json(), "outbox": self._outbox.state()}

    def observe(
        self,
        source: str,
        what: str,
        problem: tuple[str, str] | None,
        now: datetime,
        over: tuple[str, str] | None = None,
    ) -> None:
        """Note the state of something. `problem` is its title and detail, and None means that there is no problem.
        `over` replaces the title in the message of its end, if something remains."""
        title, detail = problem or ("", "")
        message = self._book.observe(f"{source}|{what}", problem is not None, title, detail, now, over=over)
        if message:
            self._outbox.add(message.title, message.body, over=message.occasion is Occasion.RESOLVED)

    def deliver(self, notifier: Callable[[], Notifier], now: datetime) -> str:
        """See `Outbox.deliver`."""
        return self._outbox.deliver(notifier, now)


def _book(text: str) -> IncidentBook:
    """The book of incidents. An unreadable one counts as empty: then open incidents are reported once more, which
    is better than silence."""
    try:
        return IncidentBook.from_json(text)
    except BackupError:
        return IncidentBook()
