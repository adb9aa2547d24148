"""How something grows, from sizes at some instants. Standard library only.

Weekends differ from working days, and now and then much is added or deleted at once. So only sizes whole weeks apart
are compared, and the median of all these comparisons counts (the estimator of Theil and Sen). In the first weeks all
sizes that are a day or more apart are compared.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from itertools import combinations
from statistics import median
from typing import NamedTuple

DAY = timedelta(days=1)
WEEK = 7 * DAY
REACH = 12 * WEEK  # older sizes tell little of how it grows now
ENOUGH = 4  # comparisons
TOLERANCE = DAY / 2  # of what is whole weeks apart


class SizeAt(NamedTuple):
    """A size in bytes at an instant."""

    at: datetime
    size: int


def growth_per_day(sizes: Sequence[SizeAt]) -> float | None:
    """Bytes per day; None where that cannot be told yet."""
    if not sizes:
        return None
    newest = max(each.at for each in sizes)
    recent = sorted(each for each in sizes if newest - each.at <= REACH)
    slopes = list(_slopes(recent, whole_weeks=True))
    if len(slopes) < ENOUGH:
        slopes = list(_slopes(recent, whole_weeks=False))
    return median(slopes) if len(slopes) >= ENOUGH else None


def _slopes(sizes: Sequence[SizeAt], *, whole_weeks: bool) -> Iterator[float]:
    for first, second in combinations(sizes, 2):
        apart = second.at - first.at
        off = min(apart % WEEK, WEEK - apart % WEEK)
        if apart >= (WEEK - TOLERANCE if whole_weeks else DAY) and (not whole_weeks or off <= TOLERANCE):
            yield (second.size - first.size) / (apart / DAY)


def days_until_full(free: int | None, per_day: float | None) -> float | None:
    """When a disk is full if it goes on like this; None where it does not grow, or nobody knows."""
    if free is None or per_day is None or per_day <= 0:
        return None
    return free / per_day
