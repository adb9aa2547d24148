"""The kinds of values that a plan has, each with its own way of being wrong."""

from __future__ import annotations

import difflib
import os
import re
from datetime import date, datetime, time, timedelta
from typing import Annotated, Any
from zoneinfo import ZoneInfo, available_timezones

from pydantic import BeforeValidator

from backup_platform.domain.cadence import CADENCES
from backup_platform.errors import PlanError

UNITS = {"s": 1, "min": 60, "m": 60, "h": 3600, "d": 86400, "w": 604800}
REFERENCE = re.compile(r"\$\{(?P<kind>[^:}]*):?(?P<name>[^}]*)\}")
SOURCE_NAME = re.compile(r"[a-z0-9][a-z0-9_]{0,62}")


def nearest(word: str, words: list[str]) -> str:
    """", did you mean ...?", or nothing."""
    close = difflib.get_close_matches(word, words, 1, cutoff=0.5)
    return f", did you mean {close[0]!r}?" if close else ""


def duration(value: Any) -> Any:
    if isinstance(value, timedelta):
        return value
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([a-z]+)", str(value).strip())
    if isinstance(value, bool) or not match or match[2] not in UNITS:
        raise ValueError(f'{value!r} is no duration: write a number and a unit, such as "30s", "15min", "6h" or "2d"')
    return timedelta(seconds=float(match[1]) * UNITS[match[2]])


def wall_time(value: Any) -> Any:
    if isinstance(value, time) or value is None:
        return value
    match = re.fullmatch(r"([01]\d|2[0-3]):([0-5]\d)", str(value))
    if not match:
        raise ValueError(f'{value!r} is no time of day: write "HH:MM" in quotes')
    return time(int(match[1]), int(match[2]))


def day(value: Any) -> Any:
    if isinstance(value, date) and not isinstance(value, datetime):
        return value
    try:
        return date.fromisoformat(str(value))
    except ValueError:
        raise ValueError(f"{value!r} is no date: write YYYY-MM-DD") from None


def time_zone(value: Any) -> Any:
    try:
        ZoneInfo(str(value))
    except (KeyError, ValueError, OSError):
        words = sorted(available_timezones())
        raise ValueError(f"there is no time zone {value!r}{nearest(str(value), words)}") from None
    return str(value)


def cadence(value: Any) -> Any:
    if value not in CADENCES:
        names = list(CADENCES)
        raise ValueError(f"{value!r} is no cadence{nearest(str(value), names)} There are: {', '.join(names)}")
    return value


def cron(value: Any) -> Any:
    from cronsim import CronSim, CronSimError

    try:
        if len(str(value).split()) != 5:
            raise CronSimError
        next(CronSim(str(value), datetime(2026, 1, 1)))  # noqa: DTZ001  a wall clock, any zone
    except (CronSimError, StopIteration):
        raise ValueError(f'{value!r} is no cron expression of five fields, such as "15 2 * * *"') from None
    return str(value)


def share(value: Any) -> Any:
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*%", str(value))
    if value != "all" and not (match and 0 < float(match[1]) <= 100):
        raise ValueError(f"{value!r} is no share: write all, or a percentage such as 10%")
    return str(value)


def alert_url(value: Any) -> Any:
    """Secrets come by reference. Errors never repeat the value."""
    text = str(value)
    if "://" not in text and not REFERENCE.match(text):
        raise ValueError("this is no alert channel: write an Apprise URL such as mailto://… or json://host/path")
    userinfo = re.match(r"[^:/]+://([^/@]*)@", text)
    secret = userinfo[1].partition(":")[2] if userinfo else ""
    if secret and not REFERENCE.fullmatch(secret):
        raise ValueError("this URL holds a password: keep it out of the plan, ${env:NAME} or ${file:path} in its place")
    return references(text)


def references(value: Any) -> Any:
    """Only ${env:NAME} and ${file:path} are references."""
    for match in REFERENCE.finditer(str(value)):
        if match["kind"] not in ("env", "file") or not match["name"]:
            raise ValueError(f"{match[0]} is no reference: write ${{env:NAME}} or ${{file:path}}")
    return value


def resolve(value: str, base: str) -> str:
    """The value with its references replaced. Raises PlanError naming the reference, never the secret."""
    return REFERENCE.sub(lambda match: _resolve(match["kind"], match["name"], base), value)


def _resolve(kind: str, name: str, base: str) -> str:
    if kind == "env":
        if name not in os.environ:
            raise PlanError(f"The environment variable {name} is not set.", hint=f"The plan refers to ${{env:{name}}}.")
        return os.environ[name]
    try:
        with open(os.path.join(base, name), encoding="utf-8") as file:
            return file.read().rstrip("\n")
    except OSError as error:
        text = f"The secret file {name} cannot be read: {error.strerror}."
        raise PlanError(text, hint=f"The plan refers to ${{file:{name}}}.") from error


Duration = Annotated[timedelta, BeforeValidator(duration)]
WallTime = Annotated[time, BeforeValidator(wall_time)]
Day = Annotated[date, BeforeValidator(day)]
TimeZone = Annotated[str, BeforeValidator(time_zone)]
CadenceName = Annotated[str, BeforeValidator(cadence)]
Cron = Annotated[str, BeforeValidator(cron)]
Share = Annotated[str, BeforeValidator(share)]
AlertUrl = Annotated[str, BeforeValidator(alert_url)]
Referring = Annotated[str, BeforeValidator(references)]
