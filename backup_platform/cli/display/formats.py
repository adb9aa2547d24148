"""Amounts and times as text for people: decimal units, the source's own time zone."""

from __future__ import annotations

from datetime import datetime

from backup_platform.domain.windows.zones import zone_of

_UNITS = ("B", "kB", "MB", "GB", "TB", "PB")


def size(amount: float) -> str:
    """Bytes: `0 B`, `999 B`, `1.5 kB`, `104.9 MB`."""
    value = float(amount)
    for unit in _UNITS:
        if value < 999.95 or unit == _UNITS[-1]:
            break
        value /= 1000
    return f"{value:.0f} B" if unit == "B" else f"{value:.1f} {unit}"


def count(amount: int) -> str:
    return f"{amount:,}"


def duration(seconds: float) -> str:
    """`0.04 s`, `2.4 s`, `1 min 12 s`, `3 h 05 min`, `2 d 04 h`."""
    if seconds < 0.95:
        return f"{seconds:.2f} s"
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours < 48 else f"{hours // 24} d {hours % 24:02d} h"


def rate(amount: float, seconds: float) -> str:
    """Bytes a second; `-` when no time passed."""
    return f"{size(amount / seconds)}/s" if seconds > 0 else "-"


def share(value: float) -> str:
    """`97.0 %`."""
    return f"{100 * value:.1f} %"


def instant(moment: datetime, timezone: str) -> str:
    """`2026-11-22 02:15`, in the source's time zone."""
    return moment.astimezone(zone_of(timezone)).strftime("%Y-%m-%d %H:%M")


def instant_full(moment: datetime, timezone: str) -> str:
    """`2026-11-22 02:15:04 +0100`, in the source's time zone."""
    return moment.astimezone(zone_of(timezone)).strftime("%Y-%m-%d %H:%M:%S %z")


def clock(seconds: float) -> str:
    """`0:07`, `12:03`, `3:05:09`: for a display that must not change its width at every tick."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
