"""Which recovery point `latest` means, and what it passes over. Every place that picks the newest point asks here.

The order is that of the chain: the store decides who gets the next place, so it is the order in which points were
stored, also in a copy, which receives the newest first. No clock of a writer can move a point forward in it.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

from backup_platform.domain.model import RecoveryPoint
from backup_platform.domain.visible import visible
from backup_platform.domain.words import point_name

SKEW = timedelta(minutes=5)  # between the clocks of a writer and of a store, in good order


class Skipped(NamedTuple):
    """A point that `latest` passes over, although it is newer than the chosen one or says so."""

    point: RecoveryPoint
    why: str

    def __str__(self) -> str:
        return f"{point_name(self.point)} is not `latest`: {self.why}"


@dataclass(frozen=True, slots=True)
class Choice:
    """`point` is None where nothing qualifies. `skipped` are oldest first."""

    point: RecoveryPoint | None
    skipped: tuple[Skipped, ...] = ()

    @property
    def newer(self) -> tuple[Skipped, ...]:
        """Those that were stored after the chosen one, or all where none was chosen."""
        reached = self.point.sequence if self.point else 0
        return tuple(each for each in self.skipped if each.point.sequence > reached)


def begun(start: datetime, stored_at: datetime | None) -> bool:
    """Whether a window had begun when the store received its point. Else the writer's clock was ahead."""
    return stored_at is None or start <= stored_at + SKEW


def in_time(point: RecoveryPoint) -> bool:
    return begun(point.window.start, point.stored_at)


def captures(points: Iterable[RecoveryPoint]) -> list[RecoveryPoint]:
    """Of one source: the points that count as captures of their windows. One that a clock that was ahead gave to a
    window of the future is none: when that window comes, it is captured. Where no point is of a window that had begun,
    the clocks of writer and store differ for all, and all count."""
    found = list(points)
    return [point for point in found if in_time(point)] or found


def choose_latest(points: Iterable[RecoveryPoint]) -> Choice:
    """Of one source: the last stored that is complete, not suspect, and of a window that had begun.

    Where no complete point is of such a window, the clocks of writer and store differ for all: the last stored of them.
    Where none is complete, the last stored of the incomplete ones. A suspect point is never chosen.
    """
    ordered = sorted(points, key=lambda point: point.sequence)
    chosen = _last(ordered)
    skipped = [Skipped(point, why) for point in ordered if (why := _why_not(point)) and _newer(point, chosen)]
    return Choice(chosen, tuple(skipped))


def _last(ordered: Sequence[RecoveryPoint]) -> RecoveryPoint | None:
    sound = [point for point in ordered if not point.is_suspect]
    complete = [point for point in sound if not point.incomplete]
    found = [point for point in complete if in_time(point)] or complete or sound
    return found[-1] if found else None


def _newer(point: RecoveryPoint, chosen: RecoveryPoint | None) -> bool:
    if chosen is None:
        return True
    later = point.sequence > chosen.sequence or point.window.start > chosen.window.start
    return later and point.id != chosen.id


def _why_not(point: RecoveryPoint) -> str:
    if point.is_suspect:
        return f"suspect: {point.suspect[0]}"
    if not in_time(point):
        return "its window had not begun when the point was stored: a clock was ahead"
    return "incomplete" if point.incomplete else ""


def log_skipped(skipped: Skipped) -> None:
    """For who has no better place to say it."""
    logging.getLogger("backup_platform").warning("%s", visible(str(skipped)))
