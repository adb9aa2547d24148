"""Whether a source is inside a repository, and whether it can be read."""

from __future__ import annotations

import os

from backup_platform.errors import SourceError, SourceFormatError, SourceMissingError
from backup_platform.filesystem.identity import Identity, enclosing


def refuse_inside(path: str, directories: frozenset[Identity]) -> None:
    """Raises SourceFormatError for a source that is one of the directories, or in one."""
    if place := enclosing(path, directories):
        raise SourceFormatError(
            f"{path} is in the repository {place}: a repository is not backed up into itself.",
            subject=path,
            hint="Name another directory for one of them. A repository may be inside a source: it is left out.",
        )


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
