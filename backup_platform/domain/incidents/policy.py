"""When people are reminded, and what may wait until the morning."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from zoneinfo import ZoneInfo

REMIND = (timedelta(hours=1), timedelta(days=1))

WINDOWS_TO_SETTLE = 3


def settles_after(window: timedelta) -> timedelta:
    """For how long a source with such windows has not failed when its trouble is over: between hours and a week."""
    return min(max(WINDOWS_TO_SETTLE * window, timedelta(hours=6)), timedelta(days=7))


@dataclass(frozen=True, slots=True)
class QuietHours:
    """Each day from `begin` to `end`, over midnight if `end` is earlier. In them only failures are told."""

    begin: time
    end: time
    timezone: str = "UTC"

    def hold(self, now: datetime) -> bool:
        """Whether warnings wait at `now`."""
        wall = now.astimezone(ZoneInfo(self.timezone)).time()
        if self.begin <= self.end:
            return self.begin <= wall < self.end
        return wall >= self.begin or wall < self.end


@dataclass(frozen=True, slots=True)
class AlertPolicy:
    """`remind` are the pauses between messages of one incident; the last one repeats. Raises ValueError for pauses
    that are none."""

    remind: Sequence[timedelta] = REMIND
    quiet: QuietHours | None = None

    def __post_init__(self) -> None:
        if not self.remind or min(self.remind) <= timedelta():
            raise ValueError("remind holds positive durations")

    def pause(self, messages: int) -> timedelta:
        """The time after the last of so many messages until the next."""
        return self.remind[min(max(messages, 1), len(self.remind)) - 1]

    def holds(self, warning: bool, now: datetime) -> bool:
        """Whether a message waits for the end of the quiet hours."""
        return warning and self.quiet is not None and self.quiet.hold(now)
