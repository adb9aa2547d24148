"""Which windows of a source lack a recovery point. Only a repository that answers is believed."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime

from backup_platform.domain.model import RecoveryPoint, Window
from backup_platform.domain.ports import Store
from backup_platform.domain.trust.latest import captures
from backup_platform.domain.windows.health import MissedWindows, missed_windows
from backup_platform.domain.windows.schedule import WindowSchedule
from backup_platform.errors import RepositoryChangedError, RepositoryMissingError, WindowError
from backup_platform.repository.objects.info import RepositoryInfo, read_info
from backup_platform.repository.records.forgotten import forgotten_places, read_forgotten
from backup_platform.repository.repository import Repository


def answering(store: Store, location: str) -> RepositoryInfo:
    """What the repository says of itself now.

    Raises RepositoryMissingError, also where its directory is not there any more, and StoreError.
    """
    if "://" not in location and not os.path.isdir(location):
        raise RepositoryMissingError(
            f"There is no directory {location}.",
            subject=location,
            hint="Mount the disk that holds the repository.",
        )
    return read_info(store)


def require_same(info: RepositoryInfo, known: str) -> None:
    """Raises RepositoryChangedError when it is not the repository with the id `known`."""
    if info.id != known:
        raise RepositoryChangedError(
            f"At {info.location} is the repository {info.id[:8]}, created at {info.created_at:%Y-%m-%d %H:%M} UTC. "
            f"Before, {known[:8]} was there.",
            hint="Mount the right disk, or correct the plan.",
        )


def missing(
    repository: Repository, schedule: WindowSchedule, source: str, now: datetime, known: datetime | None
) -> MissedWindows:
    """`known` is since when somebody watches the source with this schedule. Raises DamageError.

    A window whose point was forgotten was not missed. When it is open, it is captured anew. A suspect point is
    a capture: a person decides.
    """
    points = captures(repository.points.all(source))
    captured = {point.window.key for point in points if not point.incomplete}
    found = missed_windows(schedule, captured, now, begun=_begun(schedule, points, known, now))
    if not found.missed:
        return found
    gone = {window.key for window in _forgotten(repository, source)}
    return replace(found, missed=tuple(window for window in found.missed if window.key not in gone))


def _begun(
    schedule: WindowSchedule, points: Sequence[RecoveryPoint], known: datetime | None, now: datetime
) -> datetime:
    """The time since which windows of the schedule are due: that of their oldest point, or for a source without
    points the time when it was first known."""
    ordered = sorted(points, key=lambda point: point.window.start)
    first = _first_of(schedule, ordered)
    if first is None:
        return known or now
    earlier = known and first is ordered[0] and first.sequence == 1  # else what came before was forgotten
    return min(known, first.window.start) if known and earlier else first.window.start


def _first_of(schedule: WindowSchedule, points: Sequence[RecoveryPoint]) -> RecoveryPoint | None:
    """The first point of the present schedule. Looking at each costs seconds: those of one schedule follow each
    other."""
    if not points or not _fits(schedule, points[-1].window):
        return None
    low, high = 0, len(points) - 1
    if _fits(schedule, points[0].window):
        return points[0]
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if _fits(schedule, points[middle].window) else (middle, high)
    return points[high]


def _fits(schedule: WindowSchedule, window: Window) -> bool:
    try:
        return schedule.window(window.key) == window
    except WindowError:
        return False


def _forgotten(repository: Repository, source: str) -> Iterable[Window]:
    """The windows of forgotten points. Records do not change: each is read once."""
    known = repository.forgotten_windows
    places = [place for place in forgotten_places(repository.objects, source) if place.key not in known]
    records = {record.point: record for record in read_forgotten(repository.objects, places)[0]}
    known.update({place.key: records[place.point].window for place in places if place.point in records})
    return known.values()
