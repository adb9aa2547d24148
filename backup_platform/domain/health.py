"""Which windows have no recovery point, and which points are due for a drill. Standard library only."""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal, TypeAlias
from zoneinfo import ZoneInfo

from backup_platform.domain.boundaries import Boundary
from backup_platform.domain.cadence import CADENCES
from backup_platform.domain.model import Window
from backup_platform.domain.schedule import WindowSchedule

DrillPolicy: TypeAlias = Literal["window", "daily", "weekly", "never"]

ALLOWANCE = timedelta(minutes=5)
SCAN_LIMIT = 20_000


@dataclass(frozen=True, slots=True)
class MissedWindows:
    """Windows without a complete recovery point, each list oldest first.

    `current` is the open window when its tick has passed: capture it now. `late` windows are over and within
    the schedule's `late_limit`: a capture is still accepted, marked late. `missed` windows are lost and stay
    missed. `scanned_from` is set when the history was too long to look at all of it: older windows were not
    judged.
    """

    current: Window | None
    late: tuple[Window, ...]
    missed: tuple[Window, ...]
    scanned_from: Window | None = None

    @property
    def catchable(self) -> tuple[Window, ...]:
        """What can still be captured, oldest first."""
        return (*self.late, self.current) if self.current else self.late

    def __bool__(self) -> bool:
        return bool(self.current or self.late or self.missed)


def missed_windows(
    schedule: WindowSchedule,
    captured: AbstractSet[str],
    now: datetime,
    *,
    allowance: timedelta = ALLOWANCE,
    limit: int = SCAN_LIMIT,
) -> MissedWindows:
    """What `captured`, the keys of the windows with a complete point, lacks of the schedule.

    The current window counts from its tick plus `allowance`, the time that a regular run needs to commit, or
    from the half of what remains of the window when that is sooner. Looks at the `limit` newest windows.
    """
    current: Window | None = None
    late: list[Window] = []
    missed: list[Window] = []
    last: Window | None = None
    for count, window in enumerate(schedule.newest(now)):
        if count == limit:
            break
        last = window
        if window.key in captured:
            continue
        if window.contains(now):
            current = window if _overdue(schedule, window, now, allowance) else None
        else:
            (late if schedule.late(window, now) else missed).append(window)
    partial = last if last is not None and last.start > schedule.first.start else None
    return MissedWindows(current, tuple(reversed(late)), tuple(reversed(missed)), partial)


def _overdue(schedule: WindowSchedule, window: Window, now: datetime, allowance: timedelta) -> bool:
    tick = schedule.tick(window)
    return now >= tick + min(allowance, (window.end - tick) / 2)


def drill_due(policy: DrillPolicy, window: Window, drilled: Iterable[Window], timezone: str = "UTC") -> bool:
    """Whether the point of `window` must be drilled; `drilled` are the windows of points whose drill passed.

    `daily` and `weekly` ask for one drilled point per day and per week, Monday to Sunday in the source's
    zone. Points count by their windows, not by when the drill ran: one that ends after midnight proves the
    day before.
    """
    if policy in ("window", "never"):
        return policy == "window"
    period = _period(policy, window, timezone)
    return all(_period(policy, other, timezone) != period for other in drilled)


def _period(policy: DrillPolicy, window: Window, timezone: str) -> Boundary:
    cadence = CADENCES["day" if policy == "daily" else "week"]
    return cadence.boundaries(ZoneInfo(timezone), None).at(window.start)
