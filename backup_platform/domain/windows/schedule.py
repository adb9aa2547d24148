"""The windows of a source's schedule, and when each may be captured. Standard library only."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from backup_platform.domain.model import Window
from backup_platform.domain.windows.boundaries import Boundary, Ticks, read_wall
from backup_platform.domain.windows.cadence import CADENCES, Cadence
from backup_platform.domain.words import span
from backup_platform.errors import WindowError

__all__ = ["CADENCES", "Cadence", "Ticks", "WindowSchedule"]

_INSTANT = timedelta(microseconds=1)
_MINUTE = timedelta(minutes=1)


class WindowSchedule:
    """Windows without gap or overlap, from the one that contains `since`. Each has a unique key.

    Windows are in UTC, because aware times of one zone compare by their wall time, which a clock that is set back shows
    twice. `since` is an instant, or a date, which means its midnight in the schedule's zone. Only a cron needs `ticks`.
    Raises ValueError for a naive `since` and for the problems of `Cadence.at_problem` and `Cadence.zone_problem`, and
    WindowError for a cron that never ticks.
    """

    def __init__(
        self,
        cadence: Cadence,
        timezone: str = "UTC",
        *,
        since: datetime | date,
        at: time | None = None,
        late_limit: timedelta = timedelta(0),
        ticks: Ticks | None = None,
    ) -> None:
        zone = ZoneInfo(timezone)
        start = _instant(since if isinstance(since, datetime) else datetime.combine(since, time(), zone))
        for problem in (at and cadence.at_problem(at), cadence.zone_problem(zone, start)):
            if problem:
                raise ValueError(problem)
        self.cadence = cadence
        self.timezone = timezone
        self.late_limit = late_limit
        self.cron_schedule = cadence.cron
        self.tick_cron = cadence.tick_cron(at)
        self.key_format = cadence.key_format(timezone)
        self._zone = zone
        self._at = timedelta(hours=at.hour, minutes=at.minute) if at else timedelta(0)
        self._boundaries = cadence.boundaries(zone, ticks)
        self.first = self._first(start)

    def __repr__(self) -> str:
        return f"WindowSchedule({self.cadence.name!r}, {self.timezone!r}, first={self.first.key!r})"

    def _first(self, start: datetime) -> Window:
        try:
            return self._window(self._boundaries.at(start))
        except (LookupError, StopIteration):
            raise WindowError(
                f"the cron {self.cadence.cron!r} has no tick near {start:%Y-%m-%d} and thus no windows",
                hint="Correct `cron` in the plan.",
            ) from None

    def window_of(self, instant: datetime) -> Window:
        """The window that contains an instant. Raises WindowError before the first window."""
        instant = _instant(instant)
        if instant < self.first.start:
            raise WindowError(
                f"{self._show(instant)} is before the first window, {self.first.key}",
                hint="Windows start at the plan's `since`, else when the repository was created.",
            )
        return self._window(self._boundaries.at(instant))

    def window(self, key: str) -> Window:
        """The window of a key. Raises WindowError if the key is malformed, has no window, or is before the first
        one."""
        found = self.window_of(self._key_instant(key))
        if found.key != key:
            raise WindowError(
                f"no window has the key {key!r}", hint=f"The window that contains this time is {found.key}."
            )
        return found

    def windows(self, start: datetime, end: datetime) -> Iterator[Window]:
        """The windows that overlap `[start, end)`, oldest first."""
        start, end = max(_instant(start), self.first.start), _instant(end)
        if start >= end:
            return
        opening = self._boundaries.at(start)
        for closing in self._boundaries.after(opening):
            yield self._between(opening, closing)
            if closing.instant >= end:
                return
            opening = closing

    def newest(self, now: datetime) -> Iterator[Window]:
        """The windows that have started by `now`, the one that contains `now` first, back to the first."""
        window = self.current(now)
        while window is not None:
            yield window
            window = self.previous(window)

    def current(self, now: datetime) -> Window | None:
        """The window that contains `now`; None before the first."""
        return self.window_of(now) if _instant(now) >= self.first.start else None

    def previous(self, window: Window) -> Window | None:
        """The window before; None before the first."""
        return self.window_of(window.start - _INSTANT) if window.start > self.first.start else None

    def following(self, window: Window) -> Window:
        return self.window_of(window.end)

    def tick(self, window: Window) -> datetime:
        """When the schedule ticks for a window: its start moved by `at`, always within the window."""
        if not self._at:
            return window.start
        wall = self._boundaries.at(window.start).wall
        if self.cadence.minutes <= 60:
            return window.start + self._at
        once_a_day = self.cadence.minutes == 24 * 60
        local = read_wall(wall.replace(tzinfo=None) + self._at, self._zone, once_a_day=once_a_day)
        # A clock that jumps by hours moves the time beyond an end of the window.
        return max(window.start, min(local.astimezone(UTC), window.end - _MINUTE))

    def due(self, now: datetime) -> Window | None:
        """The current window once its tick has passed."""
        window = self.current(now)
        return window if window is not None and self.tick(window) <= _instant(now) else None

    def capturable(self, window: Window, now: datetime) -> timedelta:
        """How late a capture of `window` is now: 0 within it, and then up to `late_limit` after its end. Raises
        WindowError for a future window and for one that is over, because a snapshot shows the present state only."""
        now = _instant(now)
        if now < window.start:
            raise WindowError(
                f"window {window.key} starts at {self._show(window.start)}, in {span(window.start - now)}",
                hint="It can be captured once it has started.",
            )
        lateness = max(now - window.end, timedelta(0))
        if window.contains(now) or now < window.end + self.late_limit:
            return lateness
        raise WindowError(
            f"window {window.key} ended at {self._show(window.end)}, {span(lateness)} ago: "
            "a snapshot taken now cannot show what the data was then",
            hint=self._late_hint(now),
        )

    def late(self, window: Window, now: datetime) -> bool:
        """Whether the window is over and can still be captured."""
        return window.end <= _instant(now) < window.end + self.late_limit

    def _late_hint(self, now: datetime) -> str:
        current = self.current(now)
        limit = f"`late_limit` is {span(self.late_limit)}" if self.late_limit else "no `late_limit` is set"
        return f"The current window is {current.key if current else 'none'}; {limit} in the plan."

    def _key_instant(self, key: str) -> datetime:
        try:
            moment = datetime.fromisoformat(key)
        except ValueError:
            moment = None
        if moment is None or moment.strftime(self.key_format) != key:
            raise WindowError(
                f"{key!r} is not the key of a window",
                hint=f"Keys of this schedule look like {self.first.key}.",
            )
        if moment.tzinfo is None:
            moment = read_wall(moment, self._zone, once_a_day=self.cadence.minutes == 24 * 60)
        return moment.astimezone(UTC)

    def _window(self, opening: Boundary) -> Window:
        return self._between(opening, next(self._boundaries.after(opening)))

    def _between(self, opening: Boundary, closing: Boundary) -> Window:
        return Window(opening.wall.strftime(self.key_format), opening.instant, closing.instant)

    def _show(self, instant: datetime) -> str:
        return f"{instant.astimezone(self._zone):%Y-%m-%d %H:%M} {self.timezone}"


def _instant(moment: datetime) -> datetime:
    if moment.tzinfo is None:
        raise ValueError(f"{moment} has no time zone")
    return moment.astimezone(UTC)
