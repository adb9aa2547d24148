"""Whether a source is inside a repository. Paths alone do not tell, because links and mounts give a directory
several names."""

from __future__ import annotations

import os
from collections.abc import Iterable

from backup_platform.errors import SourceError, SourceFormatError, SourceMissingError

Identity = tuple[int, int]


def identities(paths: Iterable[str]) -> frozenset[Identity]:
    """The identities of the directories that exist."""
    return frozenset(found for path in paths if (found := _identity(path)))


def refuse_inside(path: str, directories: frozenset[Identity]) -> None:
    """Raises SourceFormatError for a source that is one of the directories, or in one."""
    place = os.path.realpath(path)
    while directories:
        if _identity(place) in directories:
            raise SourceFormatError(
                f"{path} is in the repository {place}: a repository is not backed up into itself.",
                subject=path,
                hint="Name another directory for one of them. A repository may be inside a source: it is left out.",
            )
        if place == (place := os.path.dirname(place)):
            return


def readable(location: str) -> str:
    """Whether a path can be read; raises SourceError when it cannot."""
    if not os.path.exists(location):
        raise SourceMissingError(
            f"{location} is not there.", subject=location, hint="Correct the path, or mount what holds it."
        )
    if not os.access(location, os.R_OK):
        raise SourceError(
            f"{location} cannot be read.", subject=location, hint="Give this user the permission to read it."
        )
    return location


def _identity(path: str) -> Identity | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino
