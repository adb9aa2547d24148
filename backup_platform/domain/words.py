"""Amounts, times and lists as text for people: in the command line, in Dagster, in alerts and in errors."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from backup_platform.domain.model import RecoveryPoint, Window

ID_SHOWN = 12  # digits of a recovery point's id
DAY_S = 86_400
_UNITS = ("B", "kB", "MB", "GB", "TB", "PB")


def how_many(amount: int, one: str, many: str = "") -> str:
    """`1 file`, `2,000 files`. Give `many` if the plural is not formed with an s."""
    return f"{amount:,} {one if amount == 1 else many or one + 's'}"


def count(amount: int) -> str:
    """`2,000`."""
    return f"{amount:,}"


def are(amount: int) -> str:
    """The verb for that many."""
    return "is" if amount == 1 else "are"


def were(amount: int) -> str:
    return "was" if amount == 1 else "were"


def size(amount: float) -> str:
    """Bytes in decimal units: `0 B`, `999 B`, `1.5 kB`, `104.9 MB`."""
    value = float(amount)
    for unit in _UNITS:
        if abs(value) < 999.95 or unit == _UNITS[-1]:
            break
        value /= 1000
    return f"{value:.0f} B" if unit == "B" else f"{value:.1f} {unit}"


def rate(amount: float, seconds: float) -> str:
    """Bytes a second; `-` when no time passed."""
    return f"{size(amount / seconds)}/s" if seconds > 0 else "-"


def share(value: float) -> str:
    """`97.0 %`."""
    return f"{100 * value:.1f} %"


def duration(seconds: float) -> str:
    """How long work took: `0.04 s`, `2.4 s`, `1 min 12 s`, `3 h 05 min`, `2 d 04 h`."""
    if seconds < 0.95:
        return f"{seconds:.2f} s"
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours < 48 else f"{hours // 24} d {hours % 24:02d} h"


def span(lasted: timedelta) -> str:
    """How long something lasted, in its two largest units: `2 d 4 h`, `5 min`, `40 s`."""
    minutes = int(lasted.total_seconds()) // 60
    parts = [(minutes // 1440, "d"), (minutes // 60 % 24, "h"), (minutes % 60, "min")]
    shown = [f"{amount} {unit}" for amount, unit in parts if amount][:2]
    return " ".join(shown) or f"{int(lasted.total_seconds())} s"


def days(amount: float) -> str:
    """`1 day`, `2.5 days`."""
    return f"{round(amount, 1):g} {'day' if round(amount, 1) == 1 else 'days'}"


def listing(words: Iterable[str], last: str = "and") -> str:
    """`a`, `a and b`, `a, b and c`; "" of none."""
    *most, end = [*words] or [""]
    return f"{', '.join(most)} {last} {end}" if most else end


def more(amount: int, of: str = "") -> str:
    """What a list leaves out: `and 3 more`, `and 3 more differences`."""
    return f"and {amount:,} more {of}".rstrip()


def first_of(words: Sequence[str], most: int, separator: str = ", ", total: int = 0) -> str:
    """The first ones, and how many are left out: `a, b and 3 more`. Give `total` if there are more than these words."""
    left = (total or len(words)) - most
    return separator.join(words[:most]) + (f" {more(left)}" if left > 0 else "")


def at_most(texts: Sequence[str], most: int, of: str = "") -> list[str]:
    """The first ones, and a last one that says how many are left out."""
    left = len(texts) - most
    return [*texts[:most], *([more(left, of)] if left > 0 else [])]


def with_others(texts: Sequence[str]) -> str:
    """The first text, and how many others there are: `shop is damaged (and 3 more)`; "" of none."""
    return f"{texts[0]} (and {len(texts) - 1:,} more)" if len(texts) > 1 else "".join(texts)


class _OfWindow(Protocol):
    @property
    def source(self) -> str: ...

    @property
    def window(self) -> Window: ...


def point_label(point: _OfWindow) -> str:
    """`shop@2026-11-21`, which every command takes."""
    return f"{point.source}@{point.window.key}"


def point_name(point: RecoveryPoint) -> str:
    """The same with the beginning of its id, because a window may have several: `shop@2026-11-21 (0f3a…)`."""
    return f"{point_label(point)} ({point.id[:ID_SHOWN]})"


def point_in_full(point: RecoveryPoint) -> str:
    """`shop, window 2026-11-21 (Europe/Berlin), point 0f3a…`."""
    return f"{point.source}, window {point.window.key} ({point.timezone}), point {point.id[:ID_SHOWN]}"
