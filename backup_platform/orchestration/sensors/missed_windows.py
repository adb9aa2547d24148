"""Missed windows: windows without a recovery point, found by comparing the schedule with the repository.

Dagster's scheduler never launches ticks during which it was down, and its tick history is lost with its database.
So neither is used. The current window is launched. Older windows can no longer be captured, and are recorded as
missed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import dagster as dg

from backup_platform.alerting.couriers import Couriers
from backup_platform.domain.incidents.book import SETTLES
from backup_platform.domain.incidents.policy import settles_after
from backup_platform.domain.incidents.trouble import Trouble
from backup_platform.domain.model import RecoveryPoint, Window
from backup_platform.domain.trust.latest import captures
from backup_platform.domain.visible import inert
from backup_platform.domain.windows.health import MissedWindows
from backup_platform.domain.windows.runs import ending_after
from backup_platform.domain.windows.schedule import WindowSchedule
from backup_platform.domain.words import how_many
from backup_platform.errors import BackupError, DamageError, RepositoryChangedError, RepositoryError
from backup_platform.orchestration.runs import Runs, WindowClaims
from backup_platform.orchestration.sensors import failed_ticks as ticks
from backup_platform.orchestration.sensors import presence
from backup_platform.orchestration.sensors import sweep as sweeping
from backup_platform.orchestration.sensors.bounded_call import BoundedCall
from backup_platform.orchestration.sensors.failed_windows import settle_failed
from backup_platform.orchestration.sensors.kept import SensorState
from backup_platform.orchestration.sensors.outbox import ALL, Desk
from backup_platform.orchestration.sensors.still_safe import StillSafe
from backup_platform.orchestration.sensors.sweep import Quiet, signature
from backup_platform.orchestration.shown import log_of
from backup_platform.orchestration.subjects import WatchedAsset
from backup_platform.orchestration.translator import BackupTranslator

if TYPE_CHECKING:
    from backup_platform.app import App

ANSWER_WITHIN_S = 20.0  # for the repository's answer, of one source
INCOMPLETE_ATTEMPTS = 3
LONGEST_QUIET = timedelta(hours=1)
# Dagster writes each into its database, some 10 ms apiece, before the next sensor's turn.
MOST_OF_A_SOURCE = 20
MANY = 200
MOST_ROWS = 6  # of consecutive windows in a message
PRESENCE = {
    presence.AWAY: "The repository is unreachable: missed windows cannot be found",
    presence.EMPTY: "The place of the repository is empty: missed windows cannot be found",
    presence.ANOTHER: "Another repository than before is in its place: missed windows cannot be found",
}
IF_MEANT = "If you changed it on purpose, accept the new one: `dagster sensor cursor {} --delete`."


@dataclass
class WindowsCursor:
    """What the sensor keeps between evaluations: its cursor."""

    desk: Desk
    kept: SensorState
    quiet: Quiet
    next: str = ""  # the source to start with
    repository: str = ""  # its id
    recorded: dict[str, str] = field(default_factory=dict)  # by source, the start of its last one recorded
    known: dict[str, list[str]] = field(
        default_factory=dict
    )  # by source, its schedule and since when it is watched
    begun: dict[str, str] = field(default_factory=dict)  # by source, the start of an incident's first window

    @classmethod
    def load(
        cls, context: dg.SensorEvaluationContext, app: App, watched: Collection[str] = ()
    ) -> WindowsCursor:
        kept = SensorState.load(context)
        state, sources = kept.state, app.plan.sources
        recorded, known, begun = (
            {name: value for name, value in state.get(part, {}).items() if name in sources}
            for part in ("recorded", "known", "begun")
        )
        return cls(
            Desk(state.get("desk"), [*sources, *watched], app.plan.alerting.policy),
            kept,
            Quiet.load(app, LONGEST_QUIET, state.get("pauses", {})),
            state.get("next", ""),
            state.get("repository", ""),
            recorded,
            known,
            begun,
        )

    def dump(self) -> str:
        state = {"next": self.next, "recorded": self.recorded, "repository": self.repository}
        more = {"known": self.known, "begun": self.begun, "pauses": self.quiet.until}
        return self.kept.cursor({"desk": self.desk.state(), **state, **more})

    def watched_since(self, source: str, schedule: WindowSchedule, now: datetime) -> datetime:
        """Since when the source is watched with this schedule. No earlier window counts as missed."""
        kept, since = self.known.get(source, ["", ""])
        if kept != signature(schedule):
            since = now.isoformat()
            self.known[source] = [signature(schedule), since]
        if datetime.fromisoformat(since) > now:  # the clock was ahead, and is right now
            self.known[source] = [kept, now.isoformat()]
        return min(datetime.fromisoformat(since), now)

    def of_incident(
        self, source: str, missed: Sequence[Window], news: Sequence[Window], *, lasts: bool
    ) -> list[Window]:
        """The windows that are missed since the incident began, which ends when it neither `lasts` nor has `news`."""
        first = self.begun.pop(source, None)
        if lasts or news:
            since = [*news, *missed[-1:]][0].start.isoformat()
            first = self.begun[source] = min(first or since, since)
        return [window for window in missed if first and window.start >= datetime.fromisoformat(first)]

    def recorded_until(self, source: str, schedule: WindowSchedule, now: datetime) -> datetime | None:
        """The start of the last window that is recorded as missed. None if that window is not over: the clock was
        ahead, and is right now, and what it said then does not count."""
        current, last = schedule.current(now), self.recorded.get(source)
        if current is None or last is None or datetime.fromisoformat(last) >= current.start:
            return None
        return datetime.fromisoformat(last)


def missed_windows(
    translator: BackupTranslator,
    backups: Sequence[WatchedAsset],
    claims: WindowClaims,
    watched: Sequence[str] = (),
    *,
    running: bool = True,
) -> Callable[[dg.SensorEvaluationContext], dg.SensorResult]:
    """The evaluation of the sensor. It also reports failures of the `watched` sensors, which report all others."""
    subjects = {subject.source: subject for subject in backups}
    runs, app, patience = Runs(backups), translator.app, BoundedCall()
    couriers, still_safe = Couriers(), StillSafe(translator)

    def evaluate(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        memory = WindowsCursor.load(context, app, [ticks.subject_of(name) for name in watched])
        ticks.tell_failures(context, memory.desk, watched, app.clock.now(), running=running)
        launcher = sweeping.Launcher(context, translator, runs, claims, app.clock.now())
        sweep = WindowsSweep(translator, subjects, launcher, patience, context, memory)
        return sweep.result(sweeping.sweep(context, app, subjects, memory, sweep.visit, couriers, still_safe))

    return evaluate


class WindowsSweep:
    """One evaluation: visits sources, collects runs to launch and observations to record."""

    def __init__(
        self,
        translator: BackupTranslator,
        subjects: Mapping[str, WatchedAsset],
        launcher: sweeping.Launcher,
        patience: BoundedCall,
        context: dg.SensorEvaluationContext,
        memory: WindowsCursor,
    ) -> None:
        self._translator = translator
        self._app = translator.app
        self._subjects = subjects
        self._patience = patience
        self._context = context
        self._memory = memory
        self._now = launcher.now
        self._launcher = launcher
        self._observations: list[dg.AssetObservation] = []
        self._asked = False
        self._another: RepositoryChangedError | None = None

    def visit(self, source: str) -> bool:
        """One source; False when the repository could not be asked, and so need not be for the others.

        Damage that hides the points of one source is an incident of its own.
        """
        if self._memory.quiet.holds(source, self._now):
            return True
        self._memory.quiet.end(source)
        try:
            missing, points = self._patience.ask(lambda: self._ask(source), ANSWER_WITHIN_S)
        except DamageError as error:
            self._tell(
                source,
                "unknown",
                Trouble(source, "missed windows cannot be found", self._translator.told(error)),
            )
            return True
        except RepositoryError as error:
            self._tell_presence(error)
            return False
        self._tell_presence(self._another)
        self._tell(source, "unknown", None)
        self._judge(source, missing, points)
        return True

    def _ask(self, source: str) -> tuple[MissedWindows, list[RecoveryPoint]]:
        """What is missing; and when something is, the points that there are."""
        if not self._asked:
            self._another = self._changed()
            self._asked = True
        since = self._memory.watched_since(source, self._app.windows.schedule(source), self._now)
        missing = self._app.windows.missing(source, self._now, since)
        points = self._app.points.all(source) if missing else []
        if missing.missed:
            presence.answering(self._app)  # a disk that was unmounted meanwhile has no points, either
        return missing, points

    def _changed(self) -> RepositoryChangedError | None:
        info = presence.answering(self._app)
        if self._app.recognising.pin or not self._memory.repository:
            self._memory.repository = info.id
        return presence.changed(info, self._memory.repository)

    def _tell_presence(self, error: BackupError | None) -> None:
        """Report the state of the repository: each is an incident of its own, at most one is open, and none means
        that windows were missed."""
        state = presence.state_of(error) if error else ""
        meant = f" {IF_MEANT.format(self._context.sensor_name)}" if error and error is self._another else ""
        text = self._translator.told(error) if error else ""
        for each, title in PRESENCE.items():
            self._tell(ALL, each, Trouble("", title, text + meant) if each == state else None)

    def _judge(self, source: str, missing: MissedWindows, points: list[RecoveryPoint]) -> None:
        incomplete = {point.window.key for point in points if point.incomplete} | _ahead(points, more_than=1)
        late = self._app.windows.schedule(source).late_limit
        for window in missing.catchable:
            # What made a point incomplete seldom passes by itself: then a few attempts are enough.
            most = INCOMPLETE_ATTEMPTS if window.key in incomplete else None
            self._launcher.launch(self._subjects[source], window.key, until=window.end + late, most=most)
        missed = () if self._another else missing.missed
        news = self._record(source, missed)
        lasts = bool(missed) and not _captured_after(points, missed[-1])
        own = self._memory.of_incident(source, missed, news, lasts=lasts)
        if not self._another:
            settle_failed(self._context, self._translator, self._subjects[source], missed)
            self._tell(
                source,
                "missed",
                self._problem(source, own, len(missed), _ahead(points)) if lasts or news else None,
                _over(own),
                settles=self._settles(source),
            )
        if not (missing.catchable or lasts or news):
            self._memory.quiet.begin(source, self._now, missing.awaited)

    def result(self, problem: str) -> dg.SensorResult:
        reason = inert(problem) or "no window is missing that can be backed up now"
        return dg.SensorResult(
            run_requests=self._launcher.requests,
            skip_reason=None if self._launcher.requests else reason,
            asset_events=self._observations,
            cursor=self._memory.dump(),
        )

    def _record(self, source: str, missed: Sequence[Window]) -> list[Window]:
        """Record missed windows as observations, if they were not recorded before; of many only the newest, and the
        log has all. Returns whether there were any, because they are reported even if a point was captured
        since."""
        last = self._memory.recorded_until(source, self._app.windows.schedule(source), self._now)
        new = [w for w in ending_after(missed, last) if w.start > last] if last else list(missed)
        if not new:
            return []
        self._memory.recorded[source] = new[-1].start.isoformat()
        log_of(self._context).warning("%s: newly missed: %s", source, _span(new))
        most = MOST_OF_A_SOURCE if len(self._observations) < MANY else 1
        self._observations += [self._observation(source, w, len(missed)) for w in new[-most:]]
        return new

    def _observation(self, source: str, window: Window, total: int) -> dg.AssetObservation:
        return dg.AssetObservation(
            asset_key=self._translator.asset_key(source),
            partition=window.key,
            description=f"Missed: the window ended at {window.end.isoformat()} without a complete recovery point.",
            metadata={"missed_windows": total, "window": window.key},
        )

    def _tell(
        self,
        source: str,
        what: str,
        problem: Trouble | None,
        over: tuple[str, str] | None = None,
        *,
        settles: timedelta = SETTLES,
    ) -> None:
        self._memory.desk.observe(source, what, problem, self._now, over, settles=settles)

    def _settles(self, source: str) -> timedelta:
        window = self._app.windows.schedule(source).current(self._now)
        return settles_after(window.end - window.start) if window else SETTLES

    def _problem(self, source: str, own: Sequence[Window], total: int, ahead: Collection[str]) -> Trouble:
        """Of the windows that are missed since the incident began; `total` are all that ever were."""
        detail = f"Ended without a complete recovery point: {_span(own)}."
        if total > len(own):
            detail += f" Missed before: {how_many(total - len(own), 'window')}."
        early = [window.key for window in own if window.key in ahead]
        if early:
            early_one = f"The point of {early[-1]} does not count"
            detail += f" {early_one}: a clock was ahead, and it was stored before its window."
        working = self._launcher.at_work(self._subjects[source])
        if working:
            since = datetime.fromtimestamp(working[1].start_time or 0.0, UTC)
            run = working[1].dagster_run.run_id
            detail += f" Run {run} of window {working[0]} has been at work since {since:%Y-%m-%d %H:%M} UTC."
        return Trouble(source, f"{how_many(len(own), 'window')} missed", where=detail)


def _captured_after(points: Sequence[RecoveryPoint], window: Window) -> bool:
    return any(point.window.start > window.start and not point.incomplete for point in captures(points))


def _ahead(points: Sequence[RecoveryPoint], more_than: int = 0) -> set[str]:
    """Windows with points that were stored before the window had begun."""
    counting = {point.id for point in captures(points)}
    found = Counter(point.window.key for point in points if point.id not in counting)
    return {window for window, count in found.items() if count > more_than}


def _over(missed: Sequence[Window]) -> tuple[str, str] | None:
    """The end of the incident: what was missed stays so."""
    if not missed:
        return None
    verb = "stays" if len(missed) == 1 else "stay"
    return (
        f"backed up again, {how_many(len(missed), 'window')} {verb} missed",
        f"No recovery point: {_span(missed)}.",
    )


def _span(windows: Sequence[Window]) -> str:
    """`2026-11-18 to 2026-11-20 (3 windows), 2026-11-22`: points in between are not among them. The newest last."""
    rows: list[list[Window]] = []
    for window in windows:
        if rows and rows[-1][-1].end == window.start:
            rows[-1].append(window)
        else:
            rows.append([window])
    shown = [_row(row) for row in rows[-MOST_ROWS:]]
    earlier = sum(map(len, rows[:-MOST_ROWS]))
    return ", ".join([*([f"{how_many(earlier, 'earlier window')}"] if earlier else []), *shown])


def _row(row: Sequence[Window]) -> str:
    return row[0].key if len(row) == 1 else f"{row[0].key} to {row[-1].key} ({len(row):,} windows)"
