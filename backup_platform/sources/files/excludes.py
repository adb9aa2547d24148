"""What a capture leaves out: gitignore patterns and tagged cache directories."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from backup_platform.errors import PlanError

if TYPE_CHECKING:
    from pathspec import GitIgnoreSpec

CACHE_TAG = b"CACHEDIR.TAG"
CACHE_SIGNATURE = b"Signature: 8a477f597d28d172789f06886806bc55"


class Excludes:
    """gitignore patterns, relative to the root. Contents of an excluded directory cannot be brought back."""

    def __init__(self, patterns: Sequence[str]) -> None:
        self._spec = compile_patterns(patterns)

    def match(self, path: bytes, *, directory: bool) -> bool:
        name = os.fsdecode(path)
        return self._spec.match_file(name + "/" if directory else name)


def compile_patterns(patterns: Sequence[str]) -> GitIgnoreSpec:
    """Raises PlanError for a pattern that gitignore does not know."""
    from pathspec import GitIgnoreSpec

    try:
        # Other backends refuse names that are not UTF-8.
        return GitIgnoreSpec.from_lines(patterns, backend="simple")
    except ValueError as error:
        raise PlanError(f"An exclude pattern is not valid: {error}.", hint="Use gitignore syntax.") from error


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
