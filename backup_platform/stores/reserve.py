"""Disk space that a directory reserves for work that frees space. On a full disk even the record of a deletion could
not be written."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

NAME = "reserve#0"  # by its shape a draft, which is no object of the repository
SIZE = 1 << 20
STEP = 64 << 10


@dataclass(slots=True)
class Reserve:
    """The disk reserve of one directory. It is used only inside `lent`, and at most once there."""

    root: str
    _lent: bool = False

    @property
    def path(self) -> str:
        return os.path.join(self.root, NAME)

    def fill(self) -> None:
        """As much as fits. Its bytes are random: a file system that compresses would keep no room for others."""
        with suppress(OSError):
            fill(self.path)

    def give(self) -> bool:
        """Whether there is more room now."""
        if not self._lent:
            return False
        self._lent = False
        try:
            size = os.stat(self.path).st_size
            os.unlink(self.path)
        except OSError:
            return False
        return size > 0

    @contextmanager
    def lent(self) -> Iterator[None]:
        """Inside the block, a write that finds no space gets the reserve. Afterwards as much as fits is reserved
        again."""
        self._lent = True
        try:
            yield
        finally:
            given, self._lent = not self._lent, False
            if given:
                self.fill()


def fill(path: str) -> None:
    """Raises OSError when the disk is full, with what fitted."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        while (missing := SIZE - os.fstat(descriptor).st_size) > 0:
            os.write(descriptor, os.urandom(min(STEP, missing)))
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
