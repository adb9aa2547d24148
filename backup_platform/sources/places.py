"""Whether a source is in a repository, whatever the paths are: links and mounts give a directory several names."""

from __future__ import annotations

import os
from collections.abc import Iterable

from backup_platform.errors import SourceFormatError

Identity = tuple[int, int]


def identities(paths: Iterable[str]) -> frozenset[Identity]:
    """Of the directories that are there."""
    return frozenset(found for path in paths if (found := _identity(path)))


def refuse_inside(path: str, directories: frozenset[Identity]) -> None:
    """Raises SourceFormatError for a source that is one of the directories, or in one."""
    place = os.path.realpath(path)
    while directories:
        if _identity(place) in directories:
            raise SourceFormatError(
                f"{path} is in the repository {place}: a repository is not backed up into itself.",
                hint="Name another directory for one of them. A repository may be inside of a source: it is left out.",
            )
        if place == (place := os.path.dirname(place)):
            return


def _identity(path: str) -> Identity | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino
