"""Which windows of a source lack a recovery point. This is only judged if the repository answers."""

from __future__ import annotations

import os
from datetime import datetime

from backup_platform.actions.status.history import look_back
from backup_platform.domain.ports import Store
from backup_platform.domain.windows.health import MissedWindows
from backup_platform.domain.windows.schedule import WindowSchedule
from backup_platform.errors import RepositoryChangedError, RepositoryMissingError
from backup_platform.repository.objects.info import RepositoryInfo, read_info
from backup_platform.repository.repository import Repository


def answering(store: Store, location: str) -> RepositoryInfo:
    """What the repository says about itself now. Raises RepositoryMissingError, also if its directory does not exist
    any more, and StoreError."""
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
    history = look_back(repository, schedule, source, now, known=known)
    if history.missed is None:
        raise history.damaged[0]
    return history.missed
