"""Which recovery points a listing shows, and in which time zone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import TypeAlias

from backup_platform.domain.model import RecoveryPoint
from backup_platform.domain.trust.standing import Standing, State
from backup_platform.domain.windows.zones import zone_of
from backup_platform.domain.words import how_many
from backup_platform.errors import UsageError

Judged: TypeAlias = tuple[RecoveryPoint, Standing]


@dataclass(frozen=True, slots=True)
class PointFilter:
    """The newest `last` of each source, of windows from the day `since` on, in a `state`; None for all."""

    last: int | None = None
    since: date | None = None
    state: State | None = None

    @classmethod
    def of(cls, last: str | None, since: str | None, state: str | None) -> PointFilter:
        """Made from the options of the command line. Raises UsageError."""
        if last is not None and not (last.isdecimal() and int(last)):
            raise UsageError(f"--last {last}: not a number of points.", hint="Write one like --last 10.")
        if state is not None and state not in list(State):
            raise UsageError(
                f"--state {state}: there is no such state.", hint=f"States are {', '.join(State)}."
            )
        return cls(
            int(last) if last else None, _day(since) if since else None, State(state) if state else None
        )

    def of_points(self, judged: Iterable[Judged]) -> list[Judged]:
        chosen = [each for each in judged if self._fits(*each)]
        if self.last is None:
            return chosen
        left, kept = Counter[str](), list[Judged]()
        for point, standing in reversed(chosen):
            left[point.source] += 1
            if left[point.source] <= self.last:
                kept.append((point, standing))
        return kept[::-1]

    def _fits(self, point: RecoveryPoint, judged: Standing) -> bool:
        begins = point.window.start.astimezone(zone_of(point.timezone)).date()
        return self.state in (None, judged.state) and (self.since is None or begins >= self.since)


def _day(text: str) -> date:
    try:
        return datetime.strptime(text, "%Y-%m-%d").date()  # noqa: DTZ007  a day of the source's own zone
    except ValueError:
        raise UsageError(f"--since {text}: not a day.", hint="Write one like --since 2026-11-21.") from None


def one_zone(points: Iterable[RecoveryPoint]) -> str:
    """The zone for all times of a screen: that of the sources where they agree, else UTC."""
    zones = {point.timezone for point in points}
    return zones.pop() if len(zones) == 1 else "UTC"


def summary(shown: Sequence[Judged], total: int, zone: str) -> str:
    """`3 points of 2 sources: 2 proven, 1 unproven. Times are in Europe/Berlin.`"""
    sources = len({point.source for point, _ in shown})
    states = Counter(judged.state for _, judged in shown)
    parts = ", ".join(f"{states[state]:,} {state}" for state in State if states[state])
    amount = how_many(len(shown), "point") if len(shown) == total else f"{len(shown):,} of {total:,} points"
    return f"{amount} of {how_many(sources, 'source')}: {parts}. Times are in {zone}."
