"""How much may be lost, and how long a restore may take: measured against the plan. Standard library only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from statistics import median

RECENT = 5  # drills that a prediction goes by


@dataclass(frozen=True, slots=True)
class Objective:
    """An amount of time against the plan's. `measured` None: nothing is known yet. `wanted` None: the plan says
    nothing."""

    measured: timedelta | None = None
    wanted: timedelta | None = None

    @property
    def is_missed(self) -> bool:
        """Whether it is known to be longer than the plan allows."""
        return self.measured is not None and self.wanted is not None and self.measured > self.wanted


@dataclass(frozen=True, slots=True)
class DrillRun:
    """A drill that passed: when, how long it took in seconds, and how many bytes of the source it restored. It also
    compared them, so that a restore alone is faster."""

    at: datetime
    duration_s: float
    source_bytes: int


def restore_time(drills: Sequence[DrillRun], size: int) -> timedelta | None:
    """How long a restore of `size` bytes takes, by the bytes per second of the last drills; None without any.

    Not less than the shortest of them: starting a server takes its time whatever the size.
    """
    recent = sorted(drills, key=lambda each: each.at)[-RECENT:]
    if not recent:
        return None
    rates = [each.source_bytes / each.duration_s for each in recent if each.source_bytes and each.duration_s]
    shortest = min(each.duration_s for each in recent)
    return timedelta(seconds=max(size / median(rates) if rates else 0.0, shortest))
