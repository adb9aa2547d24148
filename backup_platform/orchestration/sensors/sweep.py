"""What the sensors that launch runs share: they visit sources in turn, and launch what is not running already."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

import dagster as dg

from backup_platform.alerting.couriers import Couriers
from backup_platform.domain.incidents.trouble import Trouble
from backup_platform.domain.model import Window
from backup_platform.domain.windows.health import next_overdue
from backup_platform.domain.windows.schedule import WindowSchedule
from backup_platform.orchestration.runs import Runs, WindowClaims, next_attempt, why_wait
from backup_platform.orchestration.schedules import run_request
from backup_platform.orchestration.sensors.kept import SensorState
from backup_platform.orchestration.sensors.outbox import Desk
from backup_platform.orchestration.sensors.outbox import signature as signature_of
from backup_platform.orchestration.sensors.still_safe import StillSafe
from backup_platform.orchestration.shown import log_of
from backup_platform.orchestration.subjects import WatchedAsset
from backup_platform.orchestration.translator import BackupTranslator

if TYPE_CHECKING:
    from backup_platform.app import App

BUDGET_S = 20.0  # Dagster ends a sensor after 60


class Cursor(Protocol):
    """What a sensor keeps: `next` is the source to start with."""

    desk: Desk
    kept: SensorState
    next: str


def sweep(
    context: dg.SensorEvaluationContext,
    app: App,
    sources: Collection[str],
    cursor: Cursor,
    visit: Callable[[str], bool],
    couriers: Couriers,
    still_safe: StillSafe,
) -> str:
    """Visit sources until the time is used up, or until a visit says that the others need none. Then send the
    messages; returns why that failed, or "". If a visit fails, that is an incident of its source, and the other
    sources are still visited."""
    deadline = app.clock.monotonic() + BUDGET_S
    rest = _rotated(list(sources), cursor.next)
    for source in rest:
        if not _visited(context, app, source, cursor, visit) or app.clock.monotonic() >= deadline:
            break
    cursor.next = next(rest, "")
    return send(
        context,
        app,
        cursor.desk,
        couriers,
        still_safe,
        lambda: cursor.kept.remember({"desk": cursor.desk.state()}),
    )


def send(
    context: dg.SensorEvaluationContext,
    app: App,
    desk: Desk,
    couriers: Couriers,
    still_safe: StillSafe,
    remember: Callable[[], None],
) -> str:
    """Send the messages of a desk; returns why that failed, or ""."""
    desk.explain(partial(still_safe.explained, context))
    problem = desk.deliver(app.channels(), couriers, app.clock.now(), remember, signature_of(app))
    if problem:
        log_of(context).error(problem)
    return problem


def _visited(
    context: dg.SensorEvaluationContext, app: App, source: str, cursor: Cursor, visit: Callable[[str], bool]
) -> bool:
    """What the visit says; True after one that failed."""
    problem: Trouble | None = None
    more = True
    try:
        more = visit(source)
    except Exception as error:
        log_of(context).exception("%s", source)
        what = f"the sensor {context.sensor_name} fails for this source"
        text = f"{type(error).__name__}: {error}\nThe traceback is in the log of the sensor's tick."
        problem = Trouble(source, what, text)
    cursor.desk.observe(source, "sensor", problem, app.clock.now())
    return more


def _rotated(sources: list[str], first: str) -> Iterator[str]:
    """All sources once, beginning with `first` when it is still there."""
    start = sources.index(first) if first in sources else 0
    yield from sources[start:]
    yield from sources[:start]


@dataclass
class Launcher:
    """Collects the runs to launch in one evaluation."""

    context: dg.SensorEvaluationContext
    translator: BackupTranslator
    runs: Runs
    claims: WindowClaims
    now: datetime
    requests: list[dg.RunRequest] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._active = self.runs.active(self.context.instance, self.now)

    def at_work(self, subject: WatchedAsset) -> tuple[str, dg.RunRecord] | None:
        """The window and the record of the oldest run of the subject that has started."""
        mine = [(window, record) for (each, window), record in self._active.items() if each == subject.id]
        started = [(window, record) for window, record in mine if record.start_time]
        return min(started, key=lambda each: each[1].start_time or 0.0, default=None)

    def launch(
        self, subject: WatchedAsset, window: str, *, until: datetime | None = None, most: int | None = None
    ) -> bool:
        """Unless it runs, the last attempt was too short a time ago, or there were `most`. Whether it is launched.

        Dagster fails the whole evaluation for a window that the asset does not have: such a one is never launched.
        """
        if (subject.id, window) in self._active or not self.translator.has_window(subject.source, window):
            return False
        attempts = self.runs.attempts(self.context.instance, subject, window)
        wait = why_wait(attempts, self.now, until)
        if most is not None and len(attempts) >= most:
            wait = f"incomplete after {len(attempts)} attempts"
        if not wait and not self.claims.take(self.context.sensor_name, subject.id, window):
            wait = "its schedule has just launched it"
        if wait:
            log_of(self.context).info("%s %s: %s", subject.name, window, wait)
            return False
        self.requests.append(run_request(subject, window, job=subject.job, attempt=next_attempt(attempts)))
        return True


@dataclass
class Quiet:
    """Until when each source need not be visited: asking the repository sooner costs, and tells nothing new.

    A pause holds for the schedule that it was made for, and for no longer than `longest`, whatever the clock did.
    """

    app: App
    longest: timedelta
    until: dict[str, tuple[str, float]] = field(default_factory=dict)  # by source: its schedule, and when

    @classmethod
    def load(cls, app: App, longest: timedelta, state: Mapping[str, Sequence[Any]]) -> Quiet:
        until = {name: (str(schedule), float(at)) for name, (schedule, at) in state.items()}
        return cls(app, longest, {name: each for name, each in until.items() if name in app.plan.sources})

    def holds(self, source: str, now: datetime) -> bool:
        schedule, until = self.until.get(source, ("", 0.0))
        if schedule == signature(self.app.windows.schedule(source)):
            return now.timestamp() < until <= (now + self.longest).timestamp()
        return False

    def begin(self, source: str, now: datetime, awaited: Window | None) -> None:
        """Until a window becomes overdue: `awaited`, the open one without a point, else the next."""
        schedule = self.app.windows.schedule(source)
        due = min(now + self.longest, next_overdue(schedule, now, awaited))
        self.until[source] = (signature(schedule), due.timestamp())

    def end(self, source: str) -> None:
        self.until.pop(source, None)


def signature(schedule: WindowSchedule) -> str:
    """What says whether a schedule is still the same one."""
    late = int(schedule.late_limit.total_seconds())
    return f"{schedule.cron_schedule}|{schedule.tick_cron}|{schedule.timezone}|{late}"
