"""Directories of private servers: private, locked while somebody guards them, removed when nobody does."""

from __future__ import annotations

import fcntl
import os
import stat
import tempfile
import time
from dataclasses import dataclass

from backup_platform.errors import SourceError
from backup_platform.sources.postgres.guardian import remove_home

PREFIX = "backup-platform-server-"
SOCKET_PREFIX = "backup-platform-socket-"
SETTLED_S = 60.0  # a younger directory may be one that its owner is about to lock
SOCKET_PATH_LIMIT = 107  # bytes, of the whole path; of the operating system
SOCKET_NAME = ".s.PGSQL.5432"


@dataclass(frozen=True, slots=True)
class Home:
    """`lock` is a descriptor that holds the lock of `path`; so does every copy of it."""

    path: str
    socket_dir: str
    lock: int

    @property
    def data(self) -> str:
        return os.path.join(self.path, "data")

    @property
    def log(self) -> str:
        return os.path.join(self.path, "log")


def make_home(base: str) -> Home:
    """A new home below `base`, after those that nobody guards any more are removed. Raises `SourceError`."""
    try:
        remove_stale(base)
        path = tempfile.mkdtemp(prefix=PREFIX, dir=base)
        lock = os.open(os.path.join(path, "lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.mkdir(os.path.join(path, "data"), 0o700)
        return Home(path, _socket_dir(path), lock)
    except OSError as error:
        raise SourceError(
            f"The directory {base!r} cannot hold a server for the drill: {error.strerror}.",
            hint="Set TMPDIR to a writable directory on a disk with room for the restored database.",
        ) from error


def remove_stale(base: str) -> None:
    """Homes below `base` that this user owns and that no process has locked."""
    with os.scandir(base) as found:
        paths = [entry.path for entry in found if entry.name.startswith(PREFIX) and _settled(entry)]
    for path in paths:
        lock = _take_lock(os.path.join(path, "lock"))
        if lock is not None:
            remove_home(path)
            os.close(lock)


def _settled(entry: os.DirEntry[str]) -> bool:
    try:
        found = entry.stat(follow_symlinks=False)
    except FileNotFoundError:
        return False
    mine = stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid()
    return mine and time.time() - found.st_mtime > SETTLED_S


def _take_lock(path: str) -> int | None:
    """None when somebody holds it."""
    try:
        lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError:
        return None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(lock)
        return None
    return lock


def _socket_dir(home: str) -> str:
    """Below the home, or where that makes too long a path, linked from there."""
    path = os.path.join(home, "socket")
    if len(os.fsencode(os.path.join(path, SOCKET_NAME))) <= SOCKET_PATH_LIMIT:
        os.mkdir(path, 0o700)
        return path
    short = tempfile.mkdtemp(prefix=SOCKET_PREFIX, dir="/tmp")
    os.symlink(short, path)
    return short
