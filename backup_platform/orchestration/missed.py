"""What did not happen: windows without a recovery point, found from the schedule and the repository.

Dagster's scheduler never launches ticks that it slept through, and its tick history dies with its database;
so neither is asked. The current window is launched; older windows cannot be captured any more and are
recorded as missed.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import dagster as dg

from backup_platform.domain.health import MissedWindows
from backup_platform.domain.model import RecoveryPoint, Window
from backup_platform.errors import DamageError, RepositoryError
from backup_platform.orchestration import sweeping
from backup_platform.orchestration.outbox import ALL, Desk
from backup_platform.orchestration.patience import Patience
from backup_platform.orchestration.runs import Runs
from backup_platform.orchestration.subjects import Subject
from backup_platform.orchestration.translator import BackupTranslator

PATIENCE_S = 20.0  # for the repository's answer, of one source
INCOMPLETE_ATTEMPTS = 3
LONGEST_QUIET = timedelta(hours=1)
# Dagster writes each into its database, some 10 ms apiece, before the next sensor's turn.
MOST_OF_A_SOURCE = 20
MANY = 200


@dataclass
class Memory:
    """What the sensor keeps between evaluations: its cursor."""

    desk: Desk
    next: str = ""  # the source to start with
    recorded: dict[str, str] = field(default_factory=dict)  # by source, the start of its last one recorded
    quiet: dict[str, float] = field(default_factory=dict)  # by source, when it is to be visited again

    @classmethod
    def load(cls, cursor: str | None, sources: Collection[str]) -> Memory:
        state: dict[str, Any] = json.loads(cursor) if cursor else {}
        recorded, quiet = (
            {name: value for name, value in state.get(part, {}).items() if name in sources}
            for part in ("recorded", "quiet")
        )
        return cls(Desk(state.get("desk"), sources), state.get("next", ""), recorded, quiet)

    def dump(self) -> str:
        state = {"next": self.next, "recorded": self.recorded, "quiet": self.quiet}
        return json.dumps({"desk": self.desk.state(), **state})


def missed_windows(
    translator: BackupTranslator, backups: Sequence[Subject]
) -> Callable[[dg.SensorEvaluationContext], dg.SensorResult]:
    """The evaluation of the sensor."""
    subjects = {subject.source: subject for subject in backups}
    runs, app, patience = Runs(backups), translator.app, Patience()

    def evaluate(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        memory = Memory.load(context.cursor, subjects)
        sweep = Sweep(translator, subjects, runs, patience, context, memory)
        return sweep.result(sweeping.sweep(context, app, subjects, memory, sweep.visit))

    return evaluate


class Sweep:
    """One evaluation: visits sources, collects runs to launch and observations to record."""

    def __init__(
        self,
        translator: BackupTranslator,
        subjects: Mapping[str, Subject],
        runs: Runs,
        patience: Patience,
        context: dg.SensorEvaluationContext,
        memory: Memory,
    ) -> None:
        self._translator = translator
        self._app = translator.app
        self._subjects = subjects
        self._patience = patience
        self._context = context
        self._memory = memory
        self._now = self._app.clock.now()
        self._launcher = sweeping.Launcher(context, runs, self._now)
        self._observations: list[dg.AssetObservation] = []

    def visit(self, source: str) -> bool:
        """One source; False when the repository could not be asked, and so need not be for the others.

        Damage that hides the points of one source is an incident of its own.
        """
        if self._now.timestamp() < self._memory.quiet.get(source, 0.0):
            return True
        self._memory.quiet.pop(source, None)
        try:
            missing, points = self._patience.ask(lambda: self._ask(source), PATIENCE_S)
        except DamageError as error:
            self._tell(source, "unknown", (f"{source}: missed windows cannot be found", str(error)))
            return True
        except RepositoryError as error:
            self._tell(ALL, "repository", ("Missed windows cannot be found: no repository", str(error)))
            return False
        self._tell(ALL, "repository", None)
        self._tell(source, "unknown", None)
        self._judge(source, missing, points)
        return True

    def _ask(self, source: str) -> tuple[MissedWindows, list[RecoveryPoint]]:
        """What is missing; and when something is, the points that there are."""
        missing = self._app.missing(source, self._now)
        return missing, self._app.points(source) if missing else []

    def _judge(self, source: str, missing: MissedWindows, points: list[RecoveryPoint]) -> None:
        incomplete = {point.window.key for point in points if point.incomplete}
        for window in missing.catchable:
            # What made a point incomplete seldom passes by itself: then a few attempts are enough.
            most = INCOMPLETE_ATTEMPTS if window.key in incomplete else None
            self._launcher.launch(self._subjects[source], window.key, most=most)
        news = self._record(source, missing.missed)
        lasts = bool(missing.missed) and not _captured_after(points, missing.missed[-1])
        self._tell(source, "missed", _problem(source, missing.missed) if lasts or news else None)
        if not (missing.catchable or lasts or news):
            # Asking the repository sooner costs, and tells nothing new.
            due = sweeping.next_due(self._app, source, self._now, LONGEST_QUIET)
            self._memory.quiet[source] = due.timestamp()

    def result(self, problem: str) -> dg.SensorResult:
        reason = problem or "no window is missing that can be captured now"
        return dg.SensorResult(
            run_requests=self._launcher.requests,
            skip_reason=None if self._launcher.requests else reason,
            asset_events=self._observations,
            cursor=self._memory.dump(),
        )

    def _record(self, source: str, missed: Sequence[Window]) -> bool:
        """Observe windows that were not recorded before, the newest of many; the log tells of all.

        Whether there were any: they are told even when a point was captured since.
        """
        last = self._memory.recorded.get(source)
        new = [w for w in missed if last is None or w.start > datetime.fromisoformat(last)]
        if not new:
            return False
        self._memory.recorded[source] = new[-1].start.isoformat()
        self._context.log.warning("%s: newly missed: %s", source, _span(new))
        most = MOST_OF_A_SOURCE if len(self._observations) < MANY else 1
        self._observations += [self._observation(source, w, len(missed)) for w in new[-most:]]
        return True

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
    title = f"{source}: {len(missed)} {'window' if len(missed) == 1 else 'windows'} missed"
    return title, f"Over, without a complete recovery point: {_span(missed)}."


def _span(windows: Sequence[Window]) -> str:
    first, last = windows[0].key, windows[-1].key
    return first if len(windows) == 1 else f"{len(windows)} windows from {first} to {last}"
