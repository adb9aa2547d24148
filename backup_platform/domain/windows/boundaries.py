"""Where a zone's time line is cut into windows. Standard library only.

The cuts are exactly those of Dagster's partitions for the same cron expression and zone. Where a zone's clock
jumps, Dagster reads a cron's wall time like this, and so does this module:

- a time that the clock skips is read with the offset before the jump; between 01:00 and 03:59 it moves to the
  end of the jump;
- a time that the clock shows twice is the second one; outside 01:00-03:59 it is the first one for crons of
  one time a day (`30 0 * * *`, weekly and monthly ones too);
- crons of every hour (`7 * * * *`) tick at both, and skip what does not exist.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from typing import NamedTuple, Protocol, TypeAlias
from zoneinfo import ZoneInfo

Ticks: TypeAlias = Callable[[datetime, bool], Iterator[datetime]]
"""`ticks(start, reverse)`: a cron's ticks as naive wall times, after `start`, or before it backwards."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_INSTANT = timedelta(microseconds=1)
_DAY = timedelta(days=1)
_JUMP_HOURS = (1, 2, 3)


class Boundary(NamedTuple):
    """One cut: the instant in UTC, and the local time that names it. The local clock may have skipped that time."""

    instant: datetime
    wall: datetime


class Boundaries(Protocol):
    """The cuts of one cadence in one zone, strictly ascending."""

    def at(self, instant: datetime) -> Boundary:
        """The last cut at or before an instant. Raises LookupError when there is none."""
        ...

    def after(self, boundary: Boundary) -> Iterator[Boundary]:
        """The cuts that follow a cut, in order."""
        ...


class FixedBoundaries:
    """Every `period`, which divides the hour, counted from the zone's full hours whatever its clock does."""

    def __init__(self, zone: ZoneInfo, period: timedelta) -> None:
        self._zone = zone
        self._period = period

    def at(self, instant: datetime) -> Boundary:
        shown = (instant - _EPOCH) + offset_of(instant.astimezone(self._zone))
        return self._boundary(instant - shown % self._period)

    def after(self, boundary: Boundary) -> Iterator[Boundary]:
        instant = boundary.instant
        while True:
            instant += self._period
            yield self._boundary(instant)

    def _boundary(self, instant: datetime) -> Boundary:
        return Boundary(instant, instant.astimezone(self._zone))


class WallBoundaries:
    """Cuts at wall times: `floor` finds the one at or before a naive wall time, `step` the next."""

    def __init__(
        self,
        zone: ZoneInfo,
        floor: Callable[[datetime], datetime],
        step: Callable[[datetime], datetime],
        *,
        once_a_day: bool,
    ) -> None:
        self._zone = zone
        self._floor = floor
        self._step = step
        self._once_a_day = once_a_day

    def at(self, instant: datetime) -> Boundary:
        wall = self._floor(instant.astimezone(self._zone).replace(tzinfo=None))
        found = self._boundary(wall)
        while found.instant > instant:
            wall = self._floor(wall - _INSTANT)
            found = self._boundary(wall)
        return found

    def after(self, boundary: Boundary) -> Iterator[Boundary]:
        wall = boundary.wall.replace(tzinfo=None)
        while True:
            wall = self._existing(self._step(wall))
            yield self._boundary(wall)

    def _existing(self, wall: datetime) -> datetime:
        """The cut that is in force when `wall` is reached: a later one where the zone skipped a whole day."""
        instant = self._boundary(wall).instant
        return self._floor(instant.astimezone(self._zone).replace(tzinfo=None))

    def _boundary(self, wall: datetime) -> Boundary:
        local = read_wall(wall, self._zone, once_a_day=self._once_a_day)
        return Boundary(local.astimezone(UTC), local)


class CronBoundaries:
    """The ticks of a cron expression."""

    def __init__(self, zone: ZoneInfo, cron: str, ticks: Ticks) -> None:
        self._zone = zone
        self._ticks = ticks
        minute, hour, day, month, weekday = cron.split()
        self._every_hour = ticks_every_hour(cron)
        plain_day = day == "*" or (day.isdigit() and int(day) <= 28 and weekday == "*")
        self._once_a_day = minute.isdigit() and hour.isdigit() and month == "*" and plain_day

    def at(self, instant: datetime) -> Boundary:
        start = instant.astimezone(self._zone).replace(tzinfo=None) + self._disorder(instant) + _INSTANT
        ordered = _descending(self._readings(self._ticks(start, True)))
        for boundary in ordered:
            if boundary.instant <= instant:
                return boundary
        raise LookupError("the cron has no tick at or before that instant")

    def after(self, boundary: Boundary) -> Iterator[Boundary]:
        last = boundary.instant
        start = last.astimezone(self._zone).replace(tzinfo=None) - self._disorder(last) - _INSTANT
        for following in _ascending(self._readings(self._ticks(start, False))):
            if following.instant > last:
                last = following.instant
                yield following

    def _disorder(self, instant: datetime) -> timedelta:
        """How far around an instant ticks may be out of order: twice the jump of the zone's clock near it."""
        before, after = ((instant + n * _DAY).astimezone(self._zone) for n in (-1, 1))
        return 2 * abs(offset_of(after) - offset_of(before))

    def _readings(self, ticks: Iterable[datetime]) -> Iterator[_TickCuts]:
        for wall in ticks:
            first, second = (wall.replace(tzinfo=self._zone, fold=fold) for fold in (0, 1))
            a, b = Boundary(first.astimezone(UTC), first), Boundary(second.astimezone(UTC), second)
            skipped = max(offset_of(first) - offset_of(first - _DAY), timedelta(0))
            yield _TickCuts(min(a, b).instant, max(a, b).instant + skipped, self._cuts(a, b))

    def _cuts(self, first: Boundary, second: Boundary) -> list[Boundary]:
        if self._every_hour:
            return [first, second] if first.instant < second.instant else [first] if first == second else []
        wall = first.wall.replace(tzinfo=None)
        local = read_wall(wall, self._zone, once_a_day=self._once_a_day)
        return [Boundary(local.astimezone(UTC), local)]


class _TickCuts(NamedTuple):
    """The cuts of one tick: no later tick cuts before `earliest`, no earlier one after `latest`."""

    earliest: datetime
    latest: datetime
    cuts: list[Boundary]


def _ascending(readings: Iterable[_TickCuts]) -> Iterator[Boundary]:
    waiting: list[Boundary] = []
    for earliest, _, made in readings:
        for boundary in made:
            heapq.heappush(waiting, boundary)
        while waiting and waiting[0].instant <= earliest:
            yield heapq.heappop(waiting)
    yield from sorted(waiting)


def _descending(readings: Iterable[_TickCuts]) -> Iterator[Boundary]:
    waiting: list[Boundary] = []
    for _, latest, made in readings:
        # stable and strictly later: of two walls of one instant the earlier names it, as going forward
        waiting = sorted([*waiting, *made], key=lambda boundary: boundary.instant)
        while waiting and waiting[-1].instant > latest:
            yield waiting.pop()
    yield from reversed(waiting)


def read_wall(wall: datetime, zone: ZoneInfo, *, once_a_day: bool) -> datetime:
    """The local time that Dagster uses for a cron's wall time. A skipped midnight keeps its name."""
    local = wall.replace(tzinfo=zone)
    if local.hour in _JUMP_HOURS and _jump(local) > timedelta(0):
        local = local.replace(minute=0) + ((local + timedelta(hours=1)).dst() or timedelta(0))
    if once_a_day:  # with a negative DST `local` is still skipped, and Dagster goes an hour back
        return local.replace(fold=1) if local.hour in _JUMP_HOURS and _jump(local) else local
    return local.replace(fold=1) if _jump(local) < timedelta(0) else local


def _jump(local: datetime) -> timedelta:
    """How far the clock jumps over a wall time: positive when skipped, negative when shown twice."""
    return offset_of(local.replace(fold=1)) - offset_of(local.replace(fold=0))


def offset_of(local: datetime) -> timedelta:
    offset = local.utcoffset()
    assert offset is not None
    return offset


def ticks_every_hour(cron: str) -> bool:
    return cron.split()[1] in ("*", "*/1", "0-23")
