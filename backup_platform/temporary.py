"""Private directories for temporary data. A process that is killed leaves its directories: the next process that makes
one removes them."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import stat
import tempfile
import time
from contextlib import suppress
from types import TracebackType
from typing import Literal

Purpose = Literal["drill", "restore", "query", "export", "copy"]
# Not `backup-platform-drill-`: what has that name may be in use without a lock, by an earlier version.
PREFIX = "backup-platform-tmp-"
SETTLED_S = 60.0  # a younger one may be one that its owner is about to lock
_OURS = re.compile(rf"{PREFIX}(drill|restore|query|export|copy)-[a-z0-9_]{{8}}")


class PrivateDirectory:
    """A new directory below `base` ($TMPDIR), locked while this process has it. A context manager: leaving it removes
    the directory with all that it holds. Raises `OSError`."""

    def __init__(self, purpose: Purpose, base: str | None = None) -> None:
        remove_leftovers(base)
        self._directory = tempfile.TemporaryDirectory(prefix=f"{PREFIX}{purpose}-", dir=base)
        self.name = self._directory.name
        self._lock = lock_directory(self.name)

    def cleanup(self) -> None:
        self._directory.cleanup()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def __enter__(self) -> str:
        return self.name

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.cleanup()


def remove_leftovers(base: str | None = None) -> None:
    """Private directories below `base` ($TMPDIR) that are this user's, and whose process is gone."""
    with suppress(OSError):
        for path in settled(base or tempfile.gettempdir(), _OURS):
            if (lock := lock_directory(path)) is not None:
                _remove(path)
                os.close(lock)


def settled(base: str, names: re.Pattern[str]) -> list[str]:
    """Directories of this user below `base` that have such a name, and that nobody made just now. Raises `OSError`."""
    with os.scandir(base) as found:
        return [entry.path for entry in found if names.fullmatch(entry.name) and _is_settled(entry)]


def _is_settled(entry: os.DirEntry[str]) -> bool:
    try:
        found = entry.stat(follow_symlinks=False)
    except FileNotFoundError:
        return False
    mine = stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid()
    return mine and time.time() - found.st_mtime > SETTLED_S


def lock_directory(path: str) -> int | None:
    """A descriptor that holds the lock until the process ends. None if another process has it."""
    with suppress(OSError):
        lock = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(lock)
        else:
            return lock
    return None


def _remove(path: str) -> None:
    """Also what was restored with modes that keep its owner out."""
    for place, folders, _ in os.walk(path):
        for folder in folders:
            below = os.path.join(place, folder)
            with suppress(OSError):
                if not os.path.islink(below):
                    os.chmod(below, stat.S_IRWXU)
    shutil.rmtree(path, ignore_errors=True)
