"""Incidents: one message when something begins to fail, a few reminders, and one message when it is over.

The rules are pure: the caller gives the time, and the book is a value that can be written to JSON and read back.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from backup_platform.domain.visible import visible, visible_lines
from backup_platform.domain.words import span
from backup_platform.errors import BackupError

REMIND_AFTER = (timedelta(hours=4), timedelta(hours=24))
DETAIL_LIMIT = 2000
FORMAT = 1


class Occasion(StrEnum):
    OPENED = "opened"
    REMINDER = "reminder"
    RESOLVED = "resolved"


@dataclass(frozen=True, slots=True)
class Message:
    """What to send to people about the incident `key`."""

    key: str
    occasion: Occasion
    title: str
    body: str


@dataclass(frozen=True, slots=True)
class Incident:
    """Something that has been failing since `opened_at`. `failures` counts the observations of it.

    `messages` were sent, the last at `told_at`.
    """

    title: str
    detail: str
    opened_at: datetime
    failed_at: datetime
    failures: int
    messages: int
    told_at: datetime


class IncidentBook:
    """The open incidents. A key names one thing that can fail: a source's backup, a check, the schedule.

    `remind_after` are the pauses between messages of one incident; the last one repeats.
    """

    def __init__(
        self,
        incidents: Mapping[str, Incident] | None = None,
        *,
        remind_after: Sequence[timedelta] = REMIND_AFTER,
    ) -> None:
        if not remind_after or min(remind_after) <= timedelta():
            raise ValueError("remind_after holds positive durations")
        self._incidents = dict(incidents or {})
        self._remind_after = tuple(remind_after)
        self._before: dict[str, Incident | None] = {}

    @property
    def incidents(self) -> Mapping[str, Incident]:
        """The open ones."""
        return dict(self._incidents)

    def observe(
        self,
        key: str,
        failing: bool,
        title: str,
        detail: str,
        now: datetime,
        *,
        over: tuple[str, str] | None = None,
    ) -> Message | None:
        """Note the state of `key` at `now` (time-zone aware); what people should be told, if anything. `over` is the
        title and detail of the end of an incident that leaves something behind; else its own title is repeated.

        Observe states, in order; each call counts as one observation. The message is held to be
        delivered unless `undelivered` is called with it.
        """
        incident = self._incidents.get(key)
        self._before[key] = incident
        if failing:
            title, detail = visible(title), _bounded(detail)
            return (
                self._begin(key, title, detail, now)
                if incident is None
                else self._continue(key, title, detail, now)
            )
        if incident is None:
            return None
        del self._incidents[key]
        title, left = over or (incident.title, "")
        body = _joined(_bounded(left), _resolved(incident, now))
        return Message(key, Occasion.RESOLVED, f"Resolved: {title}", body)

    def undelivered(self, message: Message) -> None:
        """Take back the last message of its key, which was not sent: the next observation gives it again."""
        before = self._before.get(message.key)
        if message.occasion is Occasion.RESOLVED and before is not None:
            self._incidents[message.key] = before
        elif message.occasion is Occasion.OPENED:
            self._incidents[message.key] = replace(self._incidents[message.key], messages=0)
        elif before is not None:
            current = self._incidents[message.key]
            self._incidents[message.key] = replace(current, messages=before.messages, told_at=before.told_at)

    def forget(self, keys: Iterable[str]) -> None:
        """Close incidents without a message: nobody observes them any more."""
        for key in keys:
            self._incidents.pop(key, None)

    def _begin(self, key: str, title: str, detail: str, now: datetime) -> Message:
        self._incidents[key] = Incident(title, detail, now, now, 1, 1, now)
        return Message(key, Occasion.OPENED, title, _joined(detail, f"Since {_when(now)}."))

    def _continue(self, key: str, title: str, detail: str, now: datetime) -> Message | None:
        old = self._incidents[key]
        incident = replace(old, title=title, detail=detail, failed_at=now, failures=old.failures + 1)
        # a clock that was set back must not silence an incident until it has caught up
        incident = replace(incident, told_at=min(old.told_at, now), opened_at=min(old.opened_at, now))
        due = not incident.messages or now - incident.told_at >= self._pause(incident.messages)
        if due:
            incident = replace(incident, messages=incident.messages + 1, told_at=now)
        self._incidents[key] = incident
        return _still(key, incident, now) if due else None

    def _pause(self, messages: int) -> timedelta:
        return self._remind_after[min(messages, len(self._remind_after)) - 1]

    def to_json(self) -> str:
        """The book as text, the same for the same incidents. `remind_after` is not part of it."""
        incidents = {key: asdict(incident) for key, incident in self._incidents.items()}
        content = {"format": FORMAT, "incidents": incidents}
        return json.dumps(content, sort_keys=True, separators=(",", ":"), default=datetime.isoformat)

    @classmethod
    def from_json(cls, text: str, *, remind_after: Sequence[timedelta] = REMIND_AFTER) -> IncidentBook:
        """The book that `to_json` wrote; an empty text is an empty book. Raises `BackupError`.

        A caller that goes on with an empty book instead sends the message of each open incident once more.
        """
        try:
            incidents = _incidents(json.loads(text)) if text else {}
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise BackupError(f"The record of open incidents cannot be read: {error}.") from error
        return cls(incidents, remind_after=remind_after)


def _incidents(content: Any) -> dict[str, Incident]:
    if content["format"] != FORMAT:
        raise ValueError(f"its format is {content['format']!r}, not {FORMAT}")
    return {key: _incident(fields) for key, fields in content["incidents"].items()}


def _incident(fields: Mapping[str, Any]) -> Incident:
    times = {name: datetime.fromisoformat(fields[name]) for name in ("opened_at", "failed_at", "told_at")}
    if any(time.tzinfo is None for time in times.values()):
        raise ValueError("a time has no time zone")
    return Incident(**{**fields, **times})


def _still(key: str, incident: Incident, now: datetime) -> Message:
    since = _when(incident.opened_at)
    if incident.messages == 1:
        return Message(key, Occasion.OPENED, incident.title, _joined(incident.detail, f"Since {since}."))
    lasted = f"For {span(now - incident.opened_at)}, since {since}; seen {_times(incident)}."
    return Message(
        key, Occasion.REMINDER, f"Still failing: {incident.title}", _joined(incident.detail, lasted)
    )


def _resolved(incident: Incident, now: datetime) -> str:
    lasted = span(max(now - incident.opened_at, timedelta()))
    between = f"from {_when(incident.opened_at)} to {_when(now)}"
    return f"It lasted {lasted}, {between}, and was seen {_times(incident)}."


def _times(incident: Incident) -> str:
    return "once" if incident.failures == 1 else f"{incident.failures} times"


def _joined(*parts: str) -> str:
    return "\n".join(part for part in parts if part)


def _bounded(detail: str) -> str:
    detail = visible_lines(detail)
    return detail if len(detail) <= DETAIL_LIMIT else detail[: DETAIL_LIMIT - 1] + "…"


def _when(instant: datetime) -> str:
    return f"{instant:%Y-%m-%d %H:%M} {instant.tzname()}"
