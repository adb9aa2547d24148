"""How often a source is captured. Standard library only."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

from backup_platform.domain.windows.boundaries import (
    Boundaries,
    CronBoundaries,
    FixedBoundaries,
    Ticks,
    WallBoundaries,
    offset_of,
    ticks_every_hour,
)
from backup_platform.domain.words import span

_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Cadence:
    """One interval of the plan's `every`, or a cron. `cron` gives the boundaries of the windows. `minutes` is the span
    within which `at` moves the tick: the window, at most a day. It is 0 for a cron, which ticks at the start of its
    windows."""

    name: str
    cron: str
    minutes: int

    @classmethod
    def from_cron(cls, expression: str) -> Cadence:
        """Windows from tick to tick of a cron expression, which the plan has checked."""
        return cls(expression, " ".join(expression.split()), 0)

    @property
    def is_cron(self) -> bool:
        return self.minutes == 0

    @property
    def longest(self) -> timedelta | None:
        """How long its longest window is, without the change of a clock; None for a cron."""
        of_days = {"week": 7 * _DAY, "month": 31 * _DAY}
        return None if self.is_cron else of_days.get(self.name, timedelta(minutes=self.minutes))

    def objective_problem(self, rpo: timedelta) -> str | None:
        """Why no data can be as young as `rpo` at all times, for people; None when it can."""
        longest = self.longest
        if longest is None or rpo > longest:
            return None
        return (
            f"with `every: {self.name}` the newest recovery point is up to {span(longest)} old, and older while a "
            "backup runs: write a longer time, or shorter windows"
        )

    def key_format(self, timezone: str) -> str:
        """The strftime format of keys. Keys of windows shorter than a day have the offset, because a clock shows some
        hours twice."""
        if self.name in ("day", "week", "month"):
            return "%Y-%m-%d"
        return "%Y-%m-%dT%H:%M" if timezone == "UTC" else "%Y-%m-%dT%H:%M%z"

    def at_problem(self, at: time) -> str | None:
        """Why the tick cannot be at `at`, for people; None when it can."""
        if self.is_cron:
            return "`at` has no meaning beside `cron`: write the time into the cron expression"
        offset = at.hour * 60 + at.minute
        if offset < self.minutes:
            return None
        last = f"{(self.minutes - 1) // 60:02d}:{(self.minutes - 1) % 60:02d}"
        return (
            f'`at: "{at:%H:%M}"` is outside the window: with `every: {self.name}`, `at` counts from the '
            f'start of each window, "00:00" to "{last}"'
        )

    def zone_problem(self, zone: ZoneInfo, since: datetime) -> str | None:
        """Why this cadence has no stable windows in a zone from `since` on; None if it has. If the clock moves by half
        an hour, Dagster's hours start at :00 or :30, depending on the day on which it is asked."""
        period = timedelta(minutes=self.minutes or 60)
        if not (self.minutes in (15, 30, 60) or (self.is_cron and ticks_every_hour(self.cron))):
            return None
        months = (since.astimezone(UTC) + 30 * _DAY * n for n in range(25))
        if len({offset_of(month.astimezone(zone)) % period for month in months}) == 1:
            return None
        return (
            f"the clock of {zone.key} moves by less than an hour, so that an hourly schedule has no stable "
            "windows there: write `timezone: UTC` or `every: 30min`"
        )

    def tick_cron(self, at: time | None) -> str:
        """The cron of the schedule's ticks: the windows' own, moved by `at`."""
        if at is None or (at.hour, at.minute) == (0, 0):
            return self.cron
        if self.minutes < 60:
            return f"{_list(at.minute, 60, self.minutes)} * * * *"
        if self.minutes == 60:
            return f"{at.minute} * * * *"
        hours = _list(at.hour, 24, self.minutes // 60)
        return " ".join([str(at.minute), hours, *self.cron.split()[2:]])

    def boundaries(self, zone: ZoneInfo, ticks: Ticks | None) -> Boundaries:
        """Raises ValueError when a cron's `ticks` are missing."""
        if self.is_cron:
            if ticks is None:
                raise ValueError(f"the windows of cron {self.cron!r} need its ticks")
            return CronBoundaries(zone, self.cron, ticks)
        if self.minutes <= 60:
            return FixedBoundaries(zone, timedelta(minutes=self.minutes))
        if self.name == "month":
            return WallBoundaries(zone, _month_start, _next_month, once_a_day=True)
        if self.name == "week":
            return WallBoundaries(zone, _week_start, lambda start: start + 7 * _DAY, once_a_day=True)
        step = timedelta(minutes=self.minutes)
        return WallBoundaries(zone, _floor_to(step), lambda start: start + step, once_a_day=step == _DAY)


CADENCES = {
    cadence.name: cadence
    for cadence in (
        Cadence("15min", "*/15 * * * *", 15),
        Cadence("30min", "*/30 * * * *", 30),
        Cadence("hour", "0 * * * *", 60),
        Cadence("6h", "0 */6 * * *", 6 * 60),
        Cadence("12h", "0 */12 * * *", 12 * 60),
        Cadence("day", "0 0 * * *", 24 * 60),
        Cadence("week", "0 0 * * 1", 24 * 60),
        Cadence("month", "0 0 1 * *", 24 * 60),
    )
}


def _list(first: int, end: int, step: int) -> str:
    return ",".join(str(n) for n in range(first, end, step))


def _midnight(wall: datetime) -> datetime:
    return wall.replace(hour=0, minute=0, second=0, microsecond=0)


def _floor_to(step: timedelta) -> Callable[[datetime], datetime]:
    def floor(wall: datetime) -> datetime:
        midnight = _midnight(wall)
        return midnight + (wall - midnight) // step * step

    return floor


def _week_start(wall: datetime) -> datetime:
    return _midnight(wall) - wall.weekday() * _DAY


def _month_start(wall: datetime) -> datetime:
    return _midnight(wall).replace(day=1)


def _next_month(start: datetime) -> datetime:
    return (start + 31 * _DAY).replace(day=1)
