"""What the sensors that launch runs share: they visit sources in turn, and launch what is not running already."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Protocol

import dagster as dg

from backup_platform.orchestration.outbox import Desk
from backup_platform.orchestration.runs import Runs, why_wait
from backup_platform.orchestration.schedules import run_request
from backup_platform.orchestration.subjects import Subject

if TYPE_CHECKING:
    from backup_platform.app import App

BUDGET_S = 20.0  # Dagster ends a sensor after 60


class Cursor(Protocol):
    """What a sensor keeps: `next` is the source to start with."""

    desk: Desk
    next: str


def sweep(
    context: dg.SensorEvaluationContext,
    app: App,
    sources: Collection[str],
    cursor: Cursor,
    visit: Callable[[str], bool],
) -> str:
    """Visit sources until the time is used up or a visit says that the others need none; then deliver what is to be
    told. What was wrong with that, "" for nothing."""
    deadline = app.clock.monotonic() + BUDGET_S
    rest = _rotated(list(sources), cursor.next)
    for source in rest:
        if not visit(source) or app.clock.monotonic() >= deadline:
            break
    cursor.next = next(rest, "")
    problem = cursor.desk.deliver(app.notifier, app.clock.now())
    if problem:
        context.log.error(problem)
    return problem


def _rotated(sources: list[str], first: str) -> Iterator[str]:
    """All sources once, beginning with `first` when it is still there."""
    start = sources.index(first) if first in sources else 0
    yield from sources[start:]
    yield from sources[:start]


@dataclass
class Launcher:
    """Collects the runs to launch in one evaluation."""

    context: dg.SensorEvaluationContext
    runs: Runs
    now: datetime
    requests: list[dg.RunRequest] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._active = self.runs.active(self.context.instance)

    def launch(self, subject: Subject, window: str, *, most: int | None = None) -> bool:
        """Unless it runs, the last attempt was too short a time ago, or there were `most`. Whether it is launched."""
        if (subject.id, window) in self._active:
            return False
        attempts = self.runs.attempts(self.context.instance, subject, window)
        wait = why_wait(attempts, self.now)
        if most is not None and len(attempts) >= most:
            wait = f"incomplete after {len(attempts)} attempts"
        if wait:
            self.context.log.info("%s %s: %s", subject.name, window, wait)
            return False
        self.requests.append(run_request(subject, window, job=subject.job, attempt=len(attempts) + 1))
        return True


def next_due(app: App, source: str, now: datetime, longest: timedelta) -> datetime:
    """When there can be something new of a source, at most `longest` from now."""
    schedule, latest = app.schedule(source), now + longest
    current = schedule.current(now)
    if current is None:
        return latest
    tick = schedule.tick(current)
    return min(latest, tick if tick > now else schedule.tick(schedule.following(current)))
