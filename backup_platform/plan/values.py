"""The kinds of values that a plan holds: each checked, with a message that says how to write it."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from datetime import date, datetime, time, timedelta
from difflib import get_close_matches
from typing import Annotated, Any
from urllib.parse import quote, unquote
from zoneinfo import ZoneInfo, available_timezones

from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer, ValidationInfo, WithJsonSchema

from backup_platform.domain.windows.cadence import CADENCES

_UNITS = {
    "s": timedelta(seconds=1),
    "min": timedelta(minutes=1),
    "h": timedelta(hours=1),
    "d": timedelta(days=1),
    "w": timedelta(weeks=1),
}
_DURATION = r"(\d+(s|min|h|d|w))+"
_PART = re.compile(r"(\d+)(s|min|h|d|w)")
_CRON_NAMES = frozenset(
    "jan feb mar apr may jun jul aug sep oct nov dec sun mon tue wed thu fri sat".split()  # noqa: SIM905
)
_NOT_ZONES = ("posix/", "right/", "localtime", "posixrules", "Factory")
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_HALF_URL = re.compile(r"(s3a?|gs|azure|az|adl|abfss?|https?|file):(?!//)", re.IGNORECASE)
_USER_INFO = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://((?:\$\{[^}]*\}|[^/?#@\s])*)@")
_SECRET_QUERY = re.compile(
    r"[?&](?:pass|password|passwd|pwd|token|apikey|api_key|key|secret)=(?!\$\{)[^&]", re.I
)
_RECIPIENT = re.compile(r"age1[02-9ac-hj-np-z]{58}")
_TOKEN = re.compile(r"[A-Za-z0-9_=-]{20,}")


def suggest(word: str, known: list[str], *, likeness: float = 0.5) -> str:
    """`; did you mean "..."?`, or nothing when no known word is near."""
    near = get_close_matches(word.lower(), known, n=1, cutoff=likeness)
    return f'; did you mean "{near[0]}"?' if near else ""


def parse_duration(value: object) -> timedelta:
    """`90s`, `15min`, `2h`, `1d`, `2w` and sums such as `1h30min`."""
    if isinstance(value, timedelta):
        return value
    text = str(value).replace(" ", "")
    if text == "0":
        return timedelta(0)
    if isinstance(value, str) and re.fullmatch(_DURATION, text):
        try:
            return sum((int(n) * _UNITS[unit] for n, unit in _PART.findall(text)), timedelta(0))
        except OverflowError:
            pass
    raise ValueError(f'"{value}" is not a duration; write one like "30s", "15min", "2h", "1d" or "2w"')


def show_duration(value: timedelta) -> str:
    """The shortest text that `parse_duration` reads back."""
    left = int(value.total_seconds())
    parts = []
    for unit, size in reversed(_UNITS.items()):
        amount, left = divmod(left, int(size.total_seconds()))
        parts += [f"{amount}{unit}"] if amount else []
    return "".join(parts) or "0"


def _positive(value: timedelta) -> timedelta:
    if value <= timedelta(0):
        raise ValueError("must be longer than 0")
    return value


def parse_at(value: object) -> time:
    if isinstance(value, time):
        return value
    if isinstance(value, str) and re.fullmatch(r"([01]\d|2[0-3]):[0-5]\d", value):
        return time.fromisoformat(value)
    raise ValueError(f'"{value}" is not a time of day; write hours and minutes in quotes, like "02:15"')


def _every(value: str) -> str:
    if value in CADENCES:
        return value
    known = ", ".join(CADENCES)
    raise ValueError(f'"{value}" is not one of {known}{suggest(value, list(CADENCES))}')


def _timezone(value: str) -> str:
    try:
        if not value.startswith(_NOT_ZONES):
            return ZoneInfo(value).key
    except (LookupError, ValueError, OSError):
        pass
    raise ValueError(f'"{value}" is not a time zone{_near_zone(value)}')


def _near_zone(value: str) -> str:
    zones = {zone.lower(): zone for zone in sorted(available_timezones(), reverse=True)}
    word = value.lower().replace(" ", "_")
    by_city = [zone for zone in zones if zone.split("/")[-1] == word]
    near = ([word] if word in zones else []) or by_city or get_close_matches(word, zones, n=1, cutoff=0.5)
    return f'; did you mean "{zones[near[0]]}"?' if near else '; write one like "Europe/Berlin" or "UTC"'


def _cron(value: str) -> str:
    fields = value.lower().split()
    if len(fields) != 5:
        raise ValueError(f'"{value}" is not a cron expression: it takes five fields, like "15 2 * * *"')
    if not set(re.findall(r"[a-z]+", value.lower())) <= _CRON_NAMES or re.search(r"[^\w*,/\s-]", value):
        raise ValueError(
            f'"{value}" is a cron expression that not all crons understand: use numbers, names of days '
            "and months, and * , - /"
        )
    if same := re.search(r"\b0*(\w+)-0*\1\b", value.lower()):
        raise ValueError(f'"{value}" is read differently by different crons: write {same[1]}, not {same[0]}')
    if step := re.search(r"(?<![\w/*-])\w+/\d+", value):
        raise ValueError(
            f'"{value}" is read differently by different crons: in {step[0]}, give the step a range, like 1-31/2'
        )
    day, weekday = fields[2], fields[4]
    if (day.startswith("*/") and weekday != "*") or (weekday.startswith("*/") and day != "*"):
        raise ValueError(f'"{value}" is read differently by different crons: make one of its day fields "*"')
    _check_cron(value)
    return " ".join(fields)


def _check_cron(value: str) -> None:
    from cronsim import CronSim, CronSimError

    try:
        following = next(CronSim(value, datetime(2024, 3, 1)))  # noqa: DTZ001 wall time
    except CronSimError as error:
        raise ValueError(f'"{value}" is not a cron expression: {str(error).lower()}') from None
    except StopIteration:
        raise ValueError(f'"{value}" never ticks') from None
    if following.year > 2025:
        raise ValueError(f'"{value}" ticks in leap years only')


def _source_name(value: str) -> str:
    return _name(value, "source")


def _repository_name(value: str) -> str:
    return _name(value, "repository")


def _name(value: str, of: str) -> str:
    """One that Dagster takes as a part of a key."""
    if re.fullmatch(r"[a-z0-9][a-z0-9_]{0,62}", value):
        return value
    better = re.sub(r"[^a-z0-9]+", "_", value.lower()).strip("_")[:63]
    like = f', such as "{better}"' if better else ""
    raise ValueError(f"not a {of}'s name: use a-z, 0-9 and _, at most 63 of them{like}")


def _share(value: str) -> str:
    if value == "all" or _is_percentage(value):
        return value
    raise ValueError(f'"{value}" is not a share; write "all" or a percentage like "10%"')


def _percentage(value: str) -> str:
    if _is_percentage(value):
        return value
    raise ValueError(f'"{value}" is not a percentage; write one like "10%"')


def _is_percentage(value: str) -> bool:
    number = re.fullmatch(r"(\d+(?:\.\d+)?)%", value)
    return bool(number) and 0 < float(value.rstrip("%")) <= 100


def _place_in_coverage(value: str) -> str:
    return _name(value, "place")


def name_of_place(value: str) -> str:
    if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9 _.-]{0,62}", value):
        return value
    raise ValueError('not the name of a place; write one like "office" or "eu-central-1"')


def _owner(value: str) -> str:
    if re.fullmatch(r"team:\S.*|[A-Za-z0-9._%+-]+@[A-Za-z0-9.-]+\.[A-Za-z]{2,}", value):
        return value
    raise ValueError(f'"{value}" is neither an e-mail address nor "team:NAME"')


def _tag_key(value: str) -> str:
    if re.fullmatch(r"([A-Za-z0-9_.-]{1,63}/)?[A-Za-z0-9_.-]{1,63}", value):
        return value
    raise ValueError(
        "not a tag's key: use letters, digits, _ . - and at most one /, 63 characters for each part"
    )


def _tag_value(value: str) -> str:
    if re.fullmatch(r"[A-Za-z0-9_.-]{0,63}", value):
        return value
    raise ValueError("not a tag's value: use letters, digits, _ . - and at most 63 of them")


def _date(value: object) -> date:
    if type(value) is date:
        return value
    if isinstance(value, str) and re.fullmatch(r"\d{4}-\d\d-\d\d", value):
        return date.fromisoformat(value)
    raise ValueError(f'"{value}" is not a date; write one like 2026-11-22')


def without_secret(value: str) -> str:
    """Refuse a URL that holds a secret itself. The message never shows it."""
    info = _USER_INFO.match(value)
    if (info and _is_secret(info[1])) or _SECRET_QUERY.search(value):
        raise ValueError(
            "holds a password or token: put it elsewhere and refer to it, as in ${env:NAME} or ${file:path}"
        )
    return value


def _is_secret(user_info: str) -> bool:
    literal = re.sub(r"\$\{[^}]*\}", "", user_info)
    user, colon, password = literal.partition(":")
    return bool(password) if colon else bool(_TOKEN.fullmatch(user))


def _alert(value: str) -> str:
    if not (_URL.match(value) or value.startswith("${")):
        raise ValueError("not the URL of a channel: it starts like mailtos:// or json://")
    return without_secret(value)


def _web_page(value: str) -> str:
    if not re.fullmatch(r"https?://[^\s?#]+", value):
        raise ValueError('not the address of a web page: write one like "https://dagster.example.org"')
    return without_secret(value)


def is_url(value: str) -> bool:
    return bool(_URL.match(value))


def url_problem(value: str) -> str:
    """What a reader of URLs would take for something else than the name of a place; empty when nothing."""
    scheme, _, rest = re.sub(r"\$\{[^}]*\}", "x", value).partition("://")
    if rest != rest.strip() or re.search(r"[\x00-\x1f\x7f]", rest):
        return "holds a blank at its end, or a control character: leave it out"
    if odd := re.search("[#?]", rest):
        return f'holds "{odd[0]}", which ends the path of a URL: write {quote(odd[0])}'
    host, *segments = rest.split("/")
    if scheme.lower() == "file":
        if host not in ("", "localhost"):
            return f'names the host "{host}": write file:/// before the path of a directory'
        return ""
    if segments[-1:] == [""]:
        segments.pop()
    if wrong := [each for each in map(unquote, segments) if each in ("", ".", "..")]:
        return f'holds "/{wrong[0]}/", which is not a name: leave it out'
    return ""


def absolute(value: str, base: str) -> str:
    """A path from `base`, the plan's directory. One that starts with a reference waits for its value."""
    if value.startswith("${"):
        return value
    return os.path.normpath(os.path.join(base, os.path.expanduser(value)))


def same_place(value: str, base: str) -> str:
    """A directory or URL as it compares with others: however it is written, one place has one such text."""
    if value.lower().startswith("file://"):
        value = unquote(value[len("file://") :]).removeprefix("localhost")
    scheme, separator, rest = value.partition("://")
    written = f"{scheme.lower()}://{unquote(rest)}" if separator and is_url(value) else absolute(value, base)
    return written.rstrip("/") or "/"


StorePlace = tuple[str, str, str]


def store_place(repository: Mapping[str, object]) -> StorePlace:
    """What tells one place from another: path, endpoint, account. What cannot be read is empty, and told elsewhere."""
    credentials = repository.get("credentials")
    account = credentials.get("account_name") if isinstance(credentials, Mapping) else None
    path, endpoint, account = (
        each if isinstance(each, str) else ""
        for each in (repository.get("path"), repository.get("endpoint"), account)
    )
    return path, endpoint.rstrip("/"), account


def _path(value: str, info: ValidationInfo) -> str:
    if not value.strip() or "\0" in value:
        raise ValueError("is empty: write a path")
    base = (info.context or {}).get("base")
    return absolute(value, base) if base else value


def _location(value: str, info: ValidationInfo) -> str:
    if half := _HALF_URL.match(value):
        raise ValueError(f"is neither a URL nor a path; write {half[0]}// or, of a directory, ./{half[0]}")
    if not is_url(value):
        return _path(value, info)
    without_secret(value)
    if problem := url_problem(value):
        raise ValueError(problem)
    return value


def _key_file(value: str, info: ValidationInfo) -> str:
    if "secret-key-1" in value.lower() or "platform-key-1" in value.lower():
        raise ValueError(
            "holds a key: write it into a file, and name that, as in /etc/backup-platform/repository.key"
        )
    if is_url(value):
        raise ValueError(
            "is a URL: keys are kept in files of this host, or behind ${env:NAME} or ${file:path}"
        )
    return _path(value, info)


def only_reference(value: str) -> str:
    """Refuse a secret that is written out. The message never shows it."""
    if not re.fullmatch(r"\$\{(env|file):[^}]+\}", value):
        raise ValueError("must refer to a secret, as in ${env:NAME} or ${file:path}")
    return value


def parse_pattern(value: str) -> str:
    """A pattern of tables: `schema.table` or `table`, with `*` and `?`. Raises ValueError."""
    if not value.strip() or value.count(".") > 1:
        raise ValueError(f'"{value}" is not a pattern of tables; write one like `audit.*` or `*_log`')
    return value


def _schema(kind: str = "string", **more: Any) -> WithJsonSchema:
    return WithJsonSchema({"type": kind, **more})


_AS_TEXT = PlainSerializer(show_duration, when_used="json")
_AS_CLOCK = PlainSerializer(lambda at: f"{at:%H:%M}", when_used="json")
Duration = Annotated[
    timedelta,
    BeforeValidator(parse_duration),
    _AS_TEXT,
    WithJsonSchema(
        {"anyOf": [{"type": "string", "pattern": f"^({_DURATION}|0)$"}, {"const": 0}], "examples": ["2h"]}
    ),
]
Span = Annotated[Duration, AfterValidator(_positive)]
At = Annotated[
    time, BeforeValidator(parse_at), _AS_CLOCK, _schema(pattern=r"^\d\d:\d\d$", examples=["02:15"])
]
Every = Annotated[str, AfterValidator(_every), _schema(enum=list(CADENCES))]
Cron = Annotated[str, AfterValidator(_cron), _schema(examples=["15 2 * * mon-fri"])]
Timezone = Annotated[str, AfterValidator(_timezone), _schema(examples=["Europe/Berlin"])]
SourceName = Annotated[str, AfterValidator(_source_name)]
RepositoryName = Annotated[str, AfterValidator(_repository_name)]
PlaceInCoverage = Annotated[str, AfterValidator(_place_in_coverage)]
Percentage = Annotated[str, AfterValidator(_percentage), _schema(examples=["10%"])]
Share = Annotated[str, AfterValidator(_share), _schema(examples=["all", "10%"])]
Owner = Annotated[str, AfterValidator(_owner)]
TagKey = Annotated[str, AfterValidator(_tag_key)]
TagValue = Annotated[str, AfterValidator(_tag_value)]
Day = Annotated[date, BeforeValidator(_date)]
Alert = Annotated[str, AfterValidator(_alert)]
WebPage = Annotated[str, AfterValidator(_web_page)]


def _recipient(value: str) -> str:
    if "secret-key" in value.lower():
        raise ValueError("is an identity, a private key: make a new one, and name its public key, age1…")
    if not _RECIPIENT.fullmatch(value):
        raise ValueError(
            "is not a recipient: recipients are public keys, age1 and 58 characters, all lower case"
        )
    return value


def _recipients(values: list[str]) -> list[str]:
    if len(set(values)) < len(values):
        raise ValueError("names a recipient twice")
    return values


LocalPath = Annotated[str, AfterValidator(_path)]
Reference = Annotated[str, AfterValidator(only_reference)]
Pattern = Annotated[str, AfterValidator(parse_pattern)]
KeyFile = Annotated[str, AfterValidator(_key_file)]
Recipients = Annotated[
    list[Annotated[str, AfterValidator(_recipient)]], Field(min_length=1), AfterValidator(_recipients)
]
Location = Annotated[str, AfterValidator(_location)]
Count = Annotated[int, Field(strict=True, ge=0)]
