"""Is the size of a recovery point plausible, given the history of its source?

Robust statistics: one bad recovery point in the history moves neither the median nor the median absolute
deviation (MAD), so that a source which shrank is still seen when the window after it is judged.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from backup_platform.domain.model import Json

RECENT = 14  # windows: enough for a median, and a lasting change is accepted within eight of them
MINIMUM = 5  # points before a ratio says anything
SHRUNK = 0.5
GROWN = 5.0
NORMAL_DEVIATIONS = 3.0
MAD_TO_SIGMA = 1.4826


@dataclass(frozen=True, slots=True)
class Plausibility:
    """A verdict with its reason; `metadata` holds numbers with stable names (bytes, ratio, points)."""

    ok: bool
    summary: str
    metadata: Mapping[str, Json] = field(default_factory=dict)


def assess(history: Sequence[int], current: int) -> Plausibility:
    """Judge `current` (bytes) by the sizes of the recovery points before it, oldest first.

    Implausible are: nothing where there was something, half of the usual or less, five times the usual or
    more; but not a source whose size always varies that much.
    """
    if not history:
        return Plausibility(True, "no earlier window to compare with", {"points": 0})
    usual, spread = _usual(history)
    known: dict[str, Json] = {"points": len(history), "usual_bytes": usual, "spread_bytes": spread}
    if usual > 0:
        known["ratio"] = round(current / usual, 4)
    problem = _problem(len(history), current, usual, spread)
    return Plausibility(not problem, problem or _reassurance(len(history), current, usual), known)


def _usual(history: Sequence[int]) -> tuple[int, int]:
    """The median of the recent sizes, and their spread as a standard deviation estimated from the MAD."""
    import pandas as pd

    recent = pd.Series(list(history[-RECENT:]), dtype="float64")
    median = float(recent.median())
    return round(median), round(MAD_TO_SIGMA * float((recent - median).abs().median()))


def _problem(points: int, current: int, usual: int, spread: int) -> str:
    if current == 0 and usual > 0:
        return f"the source is empty; it usually has {usual:,} bytes"
    if points < MINIMUM or abs(current - usual) <= NORMAL_DEVIATIONS * spread:
        return ""
    if current <= usual * SHRUNK:
        return f"{current:,} bytes are {current / usual:.0%} of the usual {usual:,}"
    if usual > 0 and current >= usual * GROWN:
        return f"{current:,} bytes are {current / usual:.1f} times the usual {usual:,}"
    return ""


def _reassurance(points: int, current: int, usual: int) -> str:
    if points < MINIMUM:
        return f"{points} of the {MINIMUM} recovery points that a judgement needs"
    return f"{current:,} bytes; the usual is {usual:,}"
