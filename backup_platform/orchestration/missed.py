"""What did not happen: windows without a recovery point, found from the schedule and the repository.

Dagster's scheduler never launches ticks that it slept through, and its tick history dies with its database;
so neither is asked. The current window is launched; older windows cannot be captured any more and are
recorded as missed.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import dagster as dg

from backup_platform.domain.model import RecoveryPoint, Window
from backup_platform.errors import BackupError
from backup_platform.orchestration.outbox import Desk
from backup_platform.orchestration.runs import SourceRuns, why_wait
from backup_platform.orchestration.schedules import run_request
from backup_platform.orchestration.translator import BackupTranslator

BUDGET_S = 20.0  # Dagster ends a sensor after 60
INCOMPLETE_ATTEMPTS = 3
MOST_OBSERVATIONS = 20  # a source and evaluation


@dataclass
class Memory:
    """What the sensor keeps between evaluations: its cursor."""

    desk: Desk
    next: str = ""  # the source to start with
    recorded: dict[str, str] = field(default_factory=dict)  # by source, the start of its last one recorded

    @classmethod
    def load(cls, cursor: str | None, sources: Collection[str]) -> Memory:
        state: dict[str, Any] = json.loads(cursor) if cursor else {}
        recorded = {name: at for name, at in state.get("recorded", {}).items() if name in sources}
        return cls(Desk(state.get("desk"), sources), state.get("next", ""), recorded)

    def dump(self) -> str:
        return json.dumps({"desk": self.desk.state(), "next": self.next, "recorded": self.recorded})


def missed_windows(
    translator: BackupTranslator, job_of: Mapping[str, str]
) -> Callable[[dg.SensorEvaluationContext], dg.SensorResult]:
    """The evaluation of the sensor; `job_of` names the job of each source."""
    runs, app = SourceRuns(translator, job_of), translator.app

    def evaluate(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        memory = Memory.load(context.cursor, job_of)
        sweep = Sweep(translator, job_of, runs, context, memory)
        deadline = app.clock.monotonic() + BUDGET_S
        rest = _from(list(job_of), memory.next)
        for source in rest:
            sweep.visit(source)
            if app.clock.monotonic() >= deadline:
                break
        memory.next = next(rest, "")
        problem = memory.desk.deliver(app.notifier, app.clock.now())
        if problem:
            context.log.error(problem)
        return sweep.result(problem)

    return evaluate


class Sweep:
    """One evaluation: visits sources, collects runs to launch and observations to record."""

    def __init__(
        self,
        translator: BackupTranslator,
        job_of: Mapping[str, str],
        runs: SourceRuns,
        context: dg.SensorEvaluationContext,
        memory: Memory,
    ) -> None:
        self._translator = translator
        self._app = translator.app
        self._job_of = job_of
        self._runs = runs
        self._context = context
        self._memory = memory
        self._now = self._app.clock.now()
        self._active = runs.active(context.instance)
        self._requests: list[dg.RunRequest] = []
        self._observations: list[dg.AssetObservation] = []

    def visit(self, source: str) -> None:
        """One source. That its points cannot be read is an incident too, and no reason to skip the others."""
        try:
            missing = self._app.missing(source, self._now)
            points = self._app.points(source) if missing else []
        except BackupError as error:
            self._tell(source, "unknown", (f"{source}: missed windows cannot be found", str(error)))
            return
        self._tell(source, "unknown", None)
        incomplete = {point.window.key for point in points if point.incomplete}
        for window in missing.catchable:
            self._catch_up(source, window, incomplete=window.key in incomplete)
        self._record(source, missing.missed)
        lasts = missing.missed and not _captured_after(points, missing.missed[-1])
        self._tell(source, "missed", _problem(source, missing.missed) if lasts else None)

    def result(self, problem: str) -> dg.SensorResult:
        reason = problem or "no window is missing that can be captured now"
        return dg.SensorResult(
            run_requests=self._requests,
            skip_reason=None if self._requests else reason,
            asset_events=self._observations,
            cursor=self._memory.dump(),
        )

    def _catch_up(self, source: str, window: Window, *, incomplete: bool) -> None:
        """Launch a run, unless there is one, or the last was too short a time ago.

        What made a point incomplete seldom passes by itself: then a few attempts are enough.
        """
        if (source, window.key) in self._active:
            return
        attempts = self._runs.attempts(self._context.instance, source, window.key)
        wait = why_wait(attempts, self._now)
        if incomplete and len(attempts) >= INCOMPLETE_ATTEMPTS:
            wait = f"incomplete after {len(attempts)} attempts"
        if wait:
            self._context.log.info("%s %s: %s", source, window.key, wait)
            return
        job, attempt = self._job_of[source], len(attempts) + 1
        self._requests.append(run_request(self._translator, source, window.key, job=job, attempt=attempt))

    def _record(self, source: str, missed: Sequence[Window]) -> None:
        """Observe windows that were not recorded before, the newest of many; the log names how many."""
        last = self._memory.recorded.get(source)
        new = [w for w in missed if last is None or w.start > datetime.fromisoformat(last)]
        if not new:
            return
        self._memory.recorded[source] = new[-1].start.isoformat()
        self._context.log.warning("%s: newly missed: %s", source, _span(new))
        self._observations += [self._observation(source, w, len(missed)) for w in new[-MOST_OBSERVATIONS:]]

    def _observation(self, source: str, window: Window, total: int) -> dg.AssetObservation:
        return dg.AssetObservation(
            asset_key=self._translator.asset_key(source),
            partition=window.key,
            description=f"Missed: it ended at {window.end.isoformat()} without a complete recovery point.",
            metadata={"missed_windows": total, "window": window.key},
        )

    def _tell(self, source: str, what: str, problem: tuple[str, str] | None) -> None:
        self._memory.desk.observe(source, what, problem, self._now)


def _captured_after(points: Sequence[RecoveryPoint], window: Window) -> bool:
    return any(point.window.start > window.start and not point.incomplete for point in points)


def _problem(source: str, missed: Sequence[Window]) -> tuple[str, str]:
    noun = "window" if len(missed) == 1 else "windows"
    return (
        f"{source}: {len(missed)} {noun} missed",
        f"Over, without a complete recovery point: {_span(missed)}.",
    )


def _from(sources: list[str], first: str) -> Iterator[str]:
    """All sources once, beginning with `first` when it is still there."""
    start = sources.index(first) if first in sources else 0
    yield from sources[start:]
    yield from sources[:start]


def _span(windows: Sequence[Window]) -> str:
    first, last = windows[0].key, windows[-1].key
    return first if len(windows) == 1 else f"{len(windows)} windows from {first} to {last}"
