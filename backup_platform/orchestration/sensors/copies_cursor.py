"""What the sensor of copies keeps between evaluations: its cursor."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from backup_platform.domain.checks import CheckResult
from backup_platform.domain.incidents.trouble import Trouble
from backup_platform.domain.model import RecoveryPoint
from backup_platform.domain.words import how_many
from backup_platform.orchestration.sensors.kept import SensorState
from backup_platform.orchestration.sensors.outbox import Desk
from backup_platform.orchestration.sensors.sweep import Quiet

if TYPE_CHECKING:
    import dagster as dg

    from backup_platform.app import App

MOST_OPEN = 50  # windows of a source: older ones without a verdict get one when somebody asks for it
WAITING = ""


@dataclass
class Verdicts:
    """The results of `copies_in_place` for the windows of one source: up to which window they are recorded, and
    which windows failed."""

    seen: str = ""  # the start of the newest window that was judged
    open: dict[str, str] = field(
        default_factory=dict
    )  # what is wrong by window; WAITING while there is time left
    launched: list[str] = field(
        default_factory=list
    )  # windows that a run is to copy, which then checks itself

    def unsettled(self, points: Sequence[RecoveryPoint], now: datetime) -> list[RecoveryPoint]:
        """The points to judge, oldest first: new ones, and those that were not in place. First of all, the newest.
        A point of a window to come, which a clock made that was ahead, waits for its window."""
        points = [point for point in points if point.window.start <= now]
        windows = {point.window.key for point in points}
        self.open = {window: text for window, text in self.open.items() if window in windows}
        self.launched = [window for window in self.launched if window in windows]
        if not self.seen:
            return list(points[-1:])
        over = (point.window.start for point in points if point.window.end <= now)
        seen = datetime.fromisoformat(self.seen)
        if seen > now:  # the clock was ahead, and is right now
            seen = max(over, default=datetime.min.replace(tzinfo=now.tzinfo))
            self.seen = seen.isoformat()
        found = [point for point in points if point.window.start > seen or point.window.key in self.open]
        return found[-MOST_OPEN:]

    def launch(self, window: str) -> None:
        if window not in self.launched:
            self.launched.append(window)

    def note(self, point: RecoveryPoint, found: CheckResult) -> bool:
        """Note a result. Returns whether it must be recorded: it is new, and no run of a copy recorded it."""
        window = point.window.key
        before = self.open.pop(window, WAITING)
        self.seen = max(self.seen, point.window.start.isoformat())
        if not found.ran:
            self.open[window] = WAITING
        elif not found.passed:
            self.open[window] = found.summary
        if not found.ran or not found.passed:
            return found.ran and before == WAITING
        copied = window in self.launched
        self.launched = [each for each in self.launched if each != window]
        return before != WAITING or not copied

    @property
    def settled(self) -> bool:
        return WAITING not in self.open.values()

    def problem(self, source: str) -> Trouble | None:
        """Title and detail of what is wrong."""
        wrong = [(window, text) for window, text in self.open.items() if text != WAITING]
        if not wrong:
            return None
        windows = how_many(len(wrong), "window")
        return Trouble(
            source, f"copies of {windows} are not in place", f"{wrong[-1][1]} (window {wrong[-1][0]})"
        )


@dataclass
class CopiesCursor:
    desk: Desk
    kept: SensorState
    quiet: Quiet
    next: str = ""  # the source to start with
    verdicts: dict[str, Verdicts] = field(default_factory=dict)

    @classmethod
    def load(
        cls,
        context: dg.SensorEvaluationContext,
        app: App,
        sources: Collection[str],
        subjects: Collection[str],
        longest: timedelta,
    ) -> CopiesCursor:
        """Load what concerns the sources and copies of the plan. The rest is dropped."""
        saved = SensorState.load(context)
        state = saved.state
        quiet = Quiet.load(app, longest, state.get("pauses", {}))
        kept = state.get("verdicts", {})
        verdicts = {name: Verdicts(**kept.get(name, {})) for name in sources}
        return cls(
            Desk(state.get("desk"), subjects, app.plan.alerting.policy),
            saved,
            quiet,
            state.get("next", ""),
            verdicts,
        )

    def dump(self) -> str:
        verdicts = {name: asdict(each) for name, each in self.verdicts.items()}
        state = {"next": self.next, "pauses": self.quiet.until, "verdicts": verdicts}
        return self.kept.cursor({"desk": self.desk.state(), **state})
