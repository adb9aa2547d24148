"""What a capture leaves out: paths by pattern, and the contents of tagged caches."""

from __future__ import annotations

import os
from collections.abc import Sequence

from backup_platform.sources.files.gitignore import Rules

CACHE_TAG = b"CACHEDIR.TAG"
CACHE_SIGNATURE = b"Signature: 8a477f597d28d172789f06886806bc55"


class Excludes:
    """gitignore patterns, relative to the root. Raises PlanError for one that is not valid."""

    def __init__(self, patterns: Sequence[str]) -> None:
        self._rules = Rules(patterns)

    def match(self, path: bytes, *, directory: bool) -> bool:
        return self._rules.excludes(os.fsdecode(path), directory=directory)


def is_cache(dir_fd: int) -> bool:
    """Does the directory say that its contents can be made again? See https://bford.info/cachedir/."""
    try:
        fd = os.open(CACHE_TAG, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=dir_fd)
    except OSError:
        return False
    try:
        return os.read(fd, len(CACHE_SIGNATURE)) == CACHE_SIGNATURE
    except OSError:
        return False
    finally:
        os.close(fd)
