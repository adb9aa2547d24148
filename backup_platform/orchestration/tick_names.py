"""Names of tick groups, made of cron and time zone alone: no change to other sources ever renames a schedule.

Equal names mean equal ticks, so that a name identifies its group: `0,15,30,45 * * * *` is `*/15 * * * *`.
"""

from __future__ import annotations

import re
from hashlib import blake2b

_STEP = re.compile(r"\*/(\d+)")
_NUMBERS = re.compile(r"\d+(,\d+)*")


def tick_name(cron: str, timezone: str) -> str:
    """`day_0215_europe_berlin`, `hour_00_utc`, `every_15min_utc`; a digest for crons of no such shape."""
    name = _cron_name(cron.split()) or f"cron_{blake2b(cron.encode(), digest_size=4).hexdigest()}"
    return f"{name}_{_slug(timezone)}"


def _cron_name(fields: list[str]) -> str:
    minutes, hours = _numbers(fields[0], 60), _numbers(fields[1], 24)
    day, month, weekday = fields[2:]
    if month != "*" or not minutes:
        return ""
    if len(minutes) == 1 and len(hours) == 1:
        time = f"{hours[0]:02d}{minutes[0]:02d}"
        return _day_name(day, weekday, time)
    if (day, weekday) != ("*", "*"):
        return ""
    if fields[1] == "*":
        return _every(minutes, 60, "min") if len(minutes) > 1 else f"hour_{minutes[0]:02d}"
    return _every(hours, 24, "h", f"_{minutes[0]:02d}") if len(minutes) == 1 and hours else ""


def _day_name(day: str, weekday: str, time: str) -> str:
    if (day, weekday) == ("*", "*"):
        return f"day_{time}"
    if day == "*" and re.fullmatch("[0-6]", weekday):
        return f"week_{weekday}_{time}"
    return f"month_{int(day):02d}_{time}" if weekday == "*" and day.isdigit() else ""


def _every(numbers: list[int], end: int, unit: str, suffix: str = "") -> str:
    """The name of numbers that are evenly spaced over `end`."""
    step = end // len(numbers)
    if numbers != list(range(numbers[0], end, step)) or end % step:
        return ""
    first = f"_{numbers[0]:02d}" if numbers[0] or suffix else ""
    return f"every_{step}{unit}{first}{suffix}"


def _numbers(field: str, end: int) -> list[int]:
    """The values of a cron field that lists them or steps through all; empty for every other field."""
    if step := _STEP.fullmatch(field):
        return list(range(0, end, int(step[1]) or end))
    return sorted({int(number) for number in field.split(",")}) if _NUMBERS.fullmatch(field) else []


def _slug(timezone: str) -> str:
    signed = re.sub(r"([+-])(?=\d)", lambda sign: "_plus_" if sign[0] == "+" else "_minus_", timezone)
    return re.sub(r"[^A-Za-z0-9]+", "_", signed).lower()
