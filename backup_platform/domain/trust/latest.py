"""Which recovery point `latest` selects, and which ones it skips. All code that needs the newest point uses this
module.

The order is that of the chain. The store decides who gets the next number, so this is the order in which points
were stored, even in a copy, which receives the newest point first. No clock of a writer can move a point forward.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple, Protocol, TypeVar

from backup_platform.domain.model import RecoveryPoint, Window
from backup_platform.domain.visible import visible
from backup_platform.domain.words import point_name

SKEW = timedelta(minutes=5)  # between the clocks of a writer and of a store, in good order


class Placed(Protocol):
    """What this module needs of a recovery point."""

    @property
    def sequence(self) -> int: ...

    @property
    def window(self) -> Window: ...

    @property
    def incomplete(self) -> bool: ...

    @property
    def is_suspect(self) -> bool: ...

    @property
    def stored_at(self) -> datetime | None: ...


P = TypeVar("P", bound=Placed)


class Skipped(NamedTuple):
    """A point that `latest` skips, although it is newer than the chosen one or claims to be."""

    point: RecoveryPoint
    why: str

    def __str__(self) -> str:
        return f"{point_name(self.point)} is not `latest`: {self.why}"


@dataclass(frozen=True, slots=True)
class Choice:
    """`point` is None if no point qualifies. `skipped` are oldest first."""

    point: RecoveryPoint | None
    skipped: tuple[Skipped, ...] = ()

    @property
    def newer(self) -> tuple[Skipped, ...]:
        """The points that were stored after the chosen one, or all points if none was chosen."""
        reached = self.point.sequence if self.point else 0
        return tuple(each for each in self.skipped if each.point.sequence > reached)


def begun(start: datetime, stored_at: datetime | None) -> bool:
    """Whether a window had begun when the store received its point. If not, the writer's clock was ahead."""
    return stored_at is None or start <= stored_at + SKEW


def in_time(point: Placed) -> bool:
    return begun(point.window.start, point.stored_at)


def captures(points: Iterable[P]) -> list[P]:
    """The points of one source that count as captures of their windows.

    A point does not count if its window had not begun when the store received it, because a clock was ahead: when
    that window begins, it is captured again. If this is true of all points, the clocks of the writer and the store
    differ, and all points count.
    """
    found = list(points)
    return [point for point in found if in_time(point)] or found


def choose_latest(points: Iterable[RecoveryPoint]) -> Choice:
    """The latest point of one source: the last stored one that is complete, not suspect, and of a window that had
    begun.

    If no complete point has such a window, the clocks of the writer and the store differ, and it is the last stored
    complete point. If no point is complete, it is the last stored incomplete one. A suspect point is never chosen.
    """
    ordered = sorted(points, key=lambda point: point.sequence)
    chosen = last_sound(ordered)
    skipped = [Skipped(point, why) for point in ordered if (why := _why_not(point)) and _newer(point, chosen)]
    return Choice(chosen, tuple(skipped))


def last_sound(ordered: Sequence[P]) -> P | None:
    """The point that `choose_latest` selects among some, in the order of their sequence."""
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
    """For callers that have no better place to report it."""
    logging.getLogger("backup_platform").warning("%s", visible(str(skipped)))
