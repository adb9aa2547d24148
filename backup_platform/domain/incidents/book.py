"""The open incidents of a plan: one message when something begins to fail, a few reminders, one when it is over.

The rules are pure: the caller gives the time, and the book is a value that can be written to JSON and read back.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from backup_platform.domain.incidents.message import Message, Occasion
from backup_platform.domain.incidents.policy import AlertPolicy
from backup_platform.domain.incidents.trouble import Trouble
from backup_platform.domain.words import span
from backup_platform.errors import BackupError

FORMAT = 3
SETTLES = timedelta(days=1)
MOST_ASPECTS = 20
_TIMES = ("opened_at", "failed_at", "told_at")


@dataclass(frozen=True, slots=True)
class Incident:
    """Something that has been failing since `opened_at`. `failures` counts the observations of it.

    `messages` were sent, the last at `told_at`. One that ended at `ended_at` is kept for `settles`: if it fails again
    before, it is the same incident, in another of its `episodes`. `end` is what its last message will say.
    """

    problem: Trouble
    opened_at: datetime
    failed_at: datetime
    told_at: datetime
    failures: int = 1
    messages: int = 1
    episodes: int = 1
    settles: timedelta = SETTLES
    ended_at: datetime | None = None
    end: tuple[str, str] = ("", "")
    aspects: tuple[str, ...] = ()

    @property
    def open(self) -> bool:
        return self.ended_at is None


class IncidentBook:
    """The incidents by key. A key names one thing, and one kind of trouble with it."""

    def __init__(
        self, incidents: Mapping[str, Incident] | None = None, policy: AlertPolicy | None = None
    ) -> None:
        self._incidents = dict(incidents or {})
        self._policy = policy or AlertPolicy()

    @property
    def incidents(self) -> Mapping[str, Incident]:
        """Those that are open."""
        return {key: each for key, each in self._incidents.items() if each.open}

    @property
    def keys(self) -> list[str]:
        """Those of all incidents, also of the ones that ended and may come again."""
        return list(self._incidents)

    def observe(
        self,
        key: str,
        problem: Trouble | None,
        now: datetime,
        *,
        over: tuple[str, str] | None = None,
        settles: timedelta = SETTLES,
        since: datetime | None = None,
    ) -> Message | None:
        """Note the state of `key` at `now` (time-zone aware), None for one without a problem; what people should be
        told, if anything.

        Observe states, in order; each call counts as one observation. `since` is when it happened, if not now. `over`
        is what failed no more and the detail of the end, if something is left behind. What fails again within
        `settles` after its end comes and goes: that is one incident.
        """
        old = self._incidents.get(key)
        old = _bounded(old, now) if old else None
        since = min(since or now, now)
        if problem is None:
            return self._ended(key, old, since, over) if old and old.open else None
        if old is None:
            aspects = (problem.aspect,) if problem.aspect else ()
            new = Incident(problem, since, since, now, settles=settles, aspects=aspects)
            self._incidents[key] = new
            return _message(key, Occasion.OPENED, now, new, f"Since {_when(since)}.")
        new = replace(old, problem=problem, failed_at=since, failures=old.failures + 1, settles=settles)
        return self._continued(key, old, new, now)

    def settle(self, now: datetime) -> Iterator[Message]:
        """Forget the incidents that ended long enough ago. Yields the ends of those that came and went. Do it before
        states are observed."""
        for key, each in list(self._incidents.items()):
            incident = self._incidents[key] = _bounded(each, now)
            if incident.ended_at and now - incident.ended_at >= incident.settles:
                del self._incidents[key]
                if incident.episodes > 1:
                    yield _resolved(key, incident, incident.ended_at)

    def leave(self, keys: Collection[str], now: datetime) -> Iterator[Message]:
        """Close incidents of what nobody observes any more."""
        for key in keys:
            incident = self._incidents.pop(key, None)
            if incident and (incident.open or incident.episodes > 1):
                course = f"It is not in the plan any more, and nobody looks at it. {_lasted(incident, now)}"
                yield _message(key, Occasion.LEFT, now, incident, course, told=False)

    def _ended(
        self, key: str, incident: Incident, at: datetime, over: tuple[str, str] | None
    ) -> Message | None:
        ended = replace(incident, ended_at=max(at, incident.opened_at), end=over or ("", ""))
        self._incidents[key] = replace(ended, problem=replace(ended.problem, cause="", where=""))
        return _resolved(key, ended, at) if incident.episodes == 1 else None

    def _continued(self, key: str, old: Incident, new: Incident, now: datetime) -> Message | None:
        occasion, course = self._occasion(old, new, now)
        if not old.open:
            new = replace(new, ended_at=None, episodes=old.episodes + 1)
        aspect = new.problem.aspect
        if aspect and aspect not in new.aspects:
            new = replace(new, aspects=(*new.aspects, aspect)[-MOST_ASPECTS:])
        if occasion is not None:
            new = replace(new, messages=new.messages + 1, told_at=now)
        self._incidents[key] = new
        return _message(key, occasion, now, new, course) if occasion else None

    def _occasion(self, old: Incident, new: Incident, now: datetime) -> tuple[Occasion | None, str]:
        """Why to tell of it now, and its course."""
        if not old.open and old.episodes == 1:
            settles = span(new.settles)
            return Occasion.AGAIN, (
                f"It ended, and fails again. First at {_when(old.opened_at)}. "
                f"From now on its end is told when it has not failed for {settles}."
            )
        course = f"For {span(now - old.opened_at)}, since {_when(old.opened_at)}; seen {_times(new)}."
        if old.episodes > 1:
            course += f" It came and went {old.episodes + (not old.open)} times."
        if new.problem.aspect and new.problem.aspect not in old.aspects:
            return Occasion.CHANGED, course
        due = now - old.told_at >= self._policy.pause(old.messages)
        return (Occasion.REMINDER if due else None), course

    def to_json(self) -> str:
        """The book as text, the same for the same incidents. The policy is not part of it."""
        incidents = {key: asdict(incident) for key, incident in self._incidents.items()}
        content = {"format": FORMAT, "incidents": incidents}
        return json.dumps(content, sort_keys=True, separators=(",", ":"), default=_plain)

    @classmethod
    def from_json(cls, text: str, policy: AlertPolicy | None = None) -> IncidentBook:
        """The book that `to_json` wrote; an empty text is an empty book. Raises `BackupError`.

        A caller that goes on with an empty book instead sends the message of each open incident once more.
        """
        try:
            incidents = _incidents(json.loads(text)) if text else {}
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise BackupError(f"The record of open incidents cannot be read: {error}.") from error
        return cls(incidents, policy)


def _plain(value: datetime | timedelta) -> str | float:
    return value.isoformat() if isinstance(value, datetime) else value.total_seconds()


def _incidents(content: Any) -> dict[str, Incident]:
    if content["format"] != FORMAT:
        raise ValueError(f"its format is {content['format']!r}, not {FORMAT}")
    return {key: _incident(fields) for key, fields in content["incidents"].items()}


def _incident(fields: Mapping[str, Any]) -> Incident:
    times = {name: datetime.fromisoformat(fields[name]) for name in _TIMES}
    if fields["ended_at"]:
        times["ended_at"] = datetime.fromisoformat(fields["ended_at"])
    if any(time.tzinfo is None for time in times.values()):
        raise ValueError("a time has no time zone")
    known = {
        "problem": Trouble(**fields["problem"]),
        "settles": timedelta(seconds=fields["settles"]),
        "end": tuple(fields["end"]),
        "aspects": tuple(fields["aspects"]),
    }
    return Incident(**{**fields, **known, **times})


def _bounded(incident: Incident, now: datetime) -> Incident:
    """A clock that was set back must not silence an incident until it has caught up."""
    times = {name: min(getattr(incident, name), now) for name in _TIMES}
    ended = min(incident.ended_at, now) if incident.ended_at else None
    return replace(incident, ended_at=ended, **times)


def _message(
    key: str, occasion: Occasion, at: datetime, incident: Incident, course: str, *, told: bool = True
) -> Message:
    problem = incident.problem
    cause, where = (problem.cause, problem.where) if told else ("", "")
    return Message(key, occasion, at, problem.name, problem.what, cause, where, course, problem.warning)


def _resolved(key: str, incident: Incident, at: datetime) -> Message:
    what, left = incident.end
    times = f" It came and went {incident.episodes} times." if incident.episodes > 1 else ""
    named = replace(
        incident, problem=replace(incident.problem, what=what or incident.problem.what, cause=left, where="")
    )
    return _message(key, Occasion.RESOLVED, at, named, _lasted(incident, at) + times)


def _lasted(incident: Incident, at: datetime) -> str:
    lasted = span(max(at - incident.opened_at, timedelta()))
    between = f"from {_when(incident.opened_at)} to {_when(at)}"
    return f"It lasted {lasted}, {between}, and was seen {_times(incident)}."


def _times(incident: Incident) -> str:
    return "once" if incident.failures == 1 else f"{incident.failures} times"


def _when(instant: datetime) -> str:
    return f"{instant:%Y-%m-%d %H:%M} {instant.tzname()}"
