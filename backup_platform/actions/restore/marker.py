"""The note that an unfinished restore leaves in its target, so that the same restore can be continued."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass

from backup_platform.domain.model import RecoveryPoint

LIMIT = 4096


@dataclass(frozen=True, slots=True)
class Marker:
    """`fresh` means that the target was empty before, so everything in it belongs to the restore."""

    point: str
    fresh: bool

    def save(self, target_fd: int) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
        fd = os.open(marker_name(self.point), flags, 0o600, dir_fd=target_fd)
        with open(fd, "w", encoding="utf-8") as file:
            json.dump({"point": self.point, "fresh": self.fresh}, file)


def marker_name(point: str) -> str:
    """It contains the point's id, which no file in that point can contain."""
    return f".backup-platform-restore-{point[:16]}.json"


def find_marker(target_fd: int, point: RecoveryPoint) -> Marker | None:
    """The note of an unfinished restore. None if there is none, or if it was cut short."""
    try:
        fd = os.open(marker_name(point.id), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=target_fd)
    except OSError:
        return None
    with open(fd, "rb") as file:
        try:
            found = json.loads(file.read(LIMIT))
            return Marker(point.id, bool(found["fresh"])) if found["point"] == point.id else None
        except (ValueError, KeyError, TypeError):
            return None


def remove_marker(target_fd: int, point: RecoveryPoint) -> None:
    os.unlink(marker_name(point.id), dir_fd=target_fd)
