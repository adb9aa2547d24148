"""Which windows have no recovery point, and which points are due for a drill. Standard library only."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal, TypeAlias
from zoneinfo import ZoneInfo

from backup_platform.domain.model import Window
from backup_platform.domain.windows.boundaries import Boundary
from backup_platform.domain.windows.cadence import CADENCES
from backup_platform.domain.windows.schedule import WindowSchedule

DrillPolicy: TypeAlias = Literal["window", "daily", "weekly", "never"]

ALLOWANCE = timedelta(minutes=5)
SCAN_LIMIT = 20_000


@dataclass(frozen=True, slots=True)
class MissedWindows:
    """Windows without a complete recovery point, each list oldest first.

    `current` is the open window when its tick has passed: capture it now. `awaited` is the open window when there is
    time left for its regular run. `late` windows are over and within the schedule's `late_limit`: a capture is still
    accepted, marked late. `missed` windows are lost and stay missed. `scanned_from` is set when the history was too
    long to look at all of it: older windows were not judged.
    """

    current: Window | None
    late: tuple[Window, ...]
    missed: Sequence[Window]
    scanned_from: Window | None = None
    awaited: Window | None = None

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
    begun: datetime | None = None,
    judged: datetime | None = None,
    allowance: timedelta = ALLOWANCE,
    limit: int = SCAN_LIMIT,
) -> MissedWindows:
    """The windows of the schedule that are not in `captured`, the keys of the windows with a complete point.

    Backups of the source began at `begun`: windows with an earlier tick were never due. The window that was open at
    `begun` is wanted at once, but is not missed if it ends without a point. Looks at the `limit` newest windows, and at
    none that ended by `judged`.
    """
    found: dict[str, Window] = {}
    late: list[Window] = []
    missed: list[Window] = []
    last: Window | None = None
    earliest = max(filter(None, (begun, judged)), default=None)
    for count, window in enumerate(schedule.newest(now)):
        if count == limit or (earliest and window.end <= earliest):
            break
        last = window
        if window.key in captured:
            continue
        if window.contains(now):
            due = overdue_at(schedule, window, begun, allowance=allowance)
            found["current" if now >= due else "awaited"] = window
        elif schedule.late(window, now):
            late.append(window)
        elif not begun or schedule.tick(window) >= begun:
            missed.append(window)
    start = max(schedule.first.start, begun) if begun else schedule.first.start
    partial = last if last and last.start > start else None
    return MissedWindows(
        found.get("current"), tuple(reversed(late)), tuple(reversed(missed)), partial, found.get("awaited")
    )


def overdue_at(
    schedule: WindowSchedule,
    window: Window,
    begun: datetime | None = None,
    *,
    allowance: timedelta = ALLOWANCE,
) -> datetime:
    """When a window without a point is overdue: at its tick plus `allowance`, the time that a regular run needs to
    commit, or after half of what remains of the window, if that is sooner. If its tick came before backups had
    `begun`, it is overdue at once, because there is no regular run."""
    tick = schedule.tick(window)
    if begun and tick < begun:
        return max(begun, window.start)
    return tick + min(allowance, (window.end - tick) / 2)


def next_overdue(schedule: WindowSchedule, now: datetime, awaited: Window | None) -> datetime:
    """When a window becomes overdue next: the `awaited` one, which is open and has no point, or else the window after
    it."""
    if now < schedule.first.start:
        return overdue_at(schedule, schedule.first)
    due = overdue_at(schedule, awaited) if awaited else now
    return due if due > now else overdue_at(schedule, schedule.following(schedule.window_of(now)))


def drill_due(
    policy: DrillPolicy,
    window: Window,
    drilled: Iterable[Window],
    timezone: str = "UTC",
    *,
    on_trust: bool = False,
) -> bool:
    """Whether the point of `window` must be drilled. `drilled` are the windows of points whose drill passed. A point
    that took something `on_trust` is drilled in any case, unless the policy is `never`.

    `daily` and `weekly` require one drilled point for each day and each week, Monday to Sunday, in the source's zone.
    Points count by their windows, not by the time of the drill: a drill that ends after midnight proves the day before.
    """
    if policy in ("window", "never"):
        return policy == "window"
    if on_trust:
        return True
    period = _period(policy, window, timezone)
    return all(_period(policy, other, timezone) != period for other in drilled)


def _period(policy: DrillPolicy, window: Window, timezone: str) -> Boundary:
    cadence = CADENCES["day" if policy == "daily" else "week"]
    return cadence.boundaries(ZoneInfo(timezone), None).at(window.start)
