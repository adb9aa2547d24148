"""Times for people, in the source's own time zone. Amounts and durations are in `domain.words`."""

from __future__ import annotations

from datetime import datetime

from backup_platform.domain.windows.zones import zone_of


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
