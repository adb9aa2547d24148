"""What a point says about its window, and whether that can be true. Standard library only.

Whoever forges a point chooses key, start, end and time zone. In a real point these fit together: the key names the
start, and the plan's schedule has exactly this window. Points of an earlier schedule are not in the plan's schedule any
more, and a cron is not recorded. For those only the form can be checked.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from backup_platform.domain.model import Window
from backup_platform.domain.windows.boundaries import read_wall
from backup_platform.domain.windows.schedule import WindowSchedule
from backup_platform.errors import WindowError

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LONGEST = timedelta(days=1)  # that is believed of a window that the plan's schedule does not give


def strange_form(window: Window, timezone: str) -> str:
    """Why no schedule can have a window, for people; empty if one can."""
    if not _EPOCH <= window.start < window.end:
        return "its window does not end after its start"
    if window.start.second or window.start.microsecond:
        return "its window does not start at a full minute"
    try:
        named = _named(window.key, ZoneInfo(timezone))
    except (ValueError, KeyError, OSError, OverflowError):  # of what is no time, and what is no zone
        return "the key of its window is not a time"
    return "" if window.start in named else "the key of its window does not name its start"


def _named(key: str, zone: ZoneInfo) -> set[datetime]:
    moment = datetime.fromisoformat(key)
    if moment.tzinfo is not None:
        return {moment.astimezone(UTC)}
    return {read_wall(moment, zone, once_a_day=once).astimezone(UTC) for once in (True, False)}


def gives(schedule: WindowSchedule, window: Window) -> bool:
    """Whether a schedule has exactly this window."""
    try:
        return schedule.window_of(window.start) == window
    except (WindowError, LookupError, OverflowError):
        return False


def stored_late(window: Window, stored_at: datetime, patience: timedelta, *, planned: bool) -> bool:
    """Whether the store received a point more than `patience` after the end of its window. For a window that is not
    `planned`, only the first day counts. Otherwise a forged window that started long ago and ends tomorrow would be in
    time."""
    length = window.end - window.start
    over = stored_at - window.start - patience
    return over > (length if planned else min(length, _LONGEST))
