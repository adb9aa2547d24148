"""Which stored objects to read again now, so that each object is read once in every cycle. Standard library
only."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class LastSeen:
    """An object of a store, and when its bytes were last known to be right: when they were written or read."""

    key: str
    size: int
    proven_at: datetime


def oldest_first(objects: Iterable[LastSeen]) -> list[LastSeen]:
    return sorted(objects, key=lambda held: (held.proven_at, held.key))


def due(
    objects: Iterable[LastSeen], now: datetime, cycle: timedelta, every: timedelta = timedelta(days=1)
) -> list[LastSeen]:
    """The objects to read now, oldest first, if this is asked at least once in `every`, which is not longer than
    `cycle`.

    Then no object is ever unread for longer than `cycle`. About the same share of the bytes is due each time: as
    few objects as possible, so that the rest can still be read in time at an even pace.
    """
    ordered = oldest_first(objects)
    period = max(cycle - every, MICROSECOND)
    before, positions = 0, []
    for held in ordered:
        positions.append(before)
        before += max(held.size, 1)
    return ordered[: _first_that_may_wait(ordered, positions, before, now, period)]


def _first_that_may_wait(
    ordered: list[LastSeen], positions: list[int], total: int, now: datetime, period: timedelta
) -> int:
    """The least number to read, so that of the rest each object's turn comes before its deadline.

    At an even pace the whole takes one `period`. An object may wait as long as the bytes before it take less time than
    it has left. Integers throughout: the same question has the same answer everywhere.
    """
    length = period // MICROSECOND
    most = (
        None  # by how much the most pressing of those that wait is too late, when nothing before it is read
    )
    for index in reversed(range(len(ordered))):
        left = (ordered[index].proven_at + period - now) // MICROSECOND
        pressing = positions[index] * length - total * left
        most = pressing if most is None else max(most, pressing)
        if most >= positions[index] * length:
            return index + 1
    return 0
