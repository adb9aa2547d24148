"""What is still safe of a source, in a sentence or two. Standard library only."""

from __future__ import annotations

from datetime import datetime, timedelta

from backup_platform.domain.status.evidence import shown_at
from backup_platform.domain.status.outline import PointOutline
from backup_platform.domain.status.values import SourceStatus
from backup_platform.domain.words import point_label, span


def what_is_safe(measured: SourceStatus, now: datetime) -> str:
    """The newest proven point, and the newest sound one if that is another, each with the age of its data."""
    last, proven = measured.last, measured.proven
    if last is None:
        return "No recovery point to restore from."
    if proven is None:
        return f"No point is proven. The newest one to restore from is {_aged(last, now)}."
    newer = "" if proven is last else f" Newer, but not proven: {_aged(last, now)}."
    return f"The newest proven point is {_aged(proven, now)}.{newer}"


def _aged(point: PointOutline, now: datetime) -> str:
    return f"{point_label(point)} (data {span(max(now - shown_at(point), timedelta()))} old)"
