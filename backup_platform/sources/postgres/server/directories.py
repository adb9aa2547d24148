"""Directories of private servers. They are private, locked while a process guards them, and removed when none does."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import stat
import tempfile
from dataclasses import dataclass, field
from typing import BinaryIO

from backup_platform.errors import SourceError
from backup_platform.sources.postgres.server.isolation.places import (
    PREFIX,
    data_of,
    password_of,
    short_socket_of,
    socket_of,
)
from backup_platform.sources.postgres.server.supervisor import remove_home
from backup_platform.temporary import settled

SOCKET_PATH_LIMIT = 107  # bytes, of the whole path; of the operating system
_HOMES = re.compile(re.escape(PREFIX) + "[a-z0-9_]{8}")
OTHER_PLACES = ("/tmp", "/var/tmp")  # noqa: S108 - homes are private
SOCKET_NAME = ".s.PGSQL.5432"


@dataclass(frozen=True, slots=True)
class Home:
    """`lock` is a descriptor that holds the lock of `path`; so does every copy of it. `log` was opened before any
    code of a database ran: the name may be another file's later."""

    path: str
    socket_dir: str
    lock: int
    log: BinaryIO = field(repr=False)

    @property
    def data(self) -> str:
        return data_of(self.path)

    @property
    def password(self) -> str:
        return password_of(self.path)

    def log_tail(self, size: int) -> str:
        """The end of the log, "" when it is closed."""
        try:
            length = os.fstat(self.log.fileno()).st_size
            tail = os.pread(self.log.fileno(), size, max(0, length - size))
        except (OSError, ValueError):
            return ""
        return tail.decode("utf-8", "replace").strip()


def make_home(base: str) -> Home:
    """A new home below `base`. Homes that no process guards any more are removed first. Raises `SourceError`."""
    try:
        remove_stale(base)
        path = tempfile.mkdtemp(prefix=PREFIX, dir=base)
        lock = os.open(os.path.join(path, "lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.mkdir(data_of(path), 0o700)
        return Home(path, _socket_dir(path), lock, _new_log(os.path.join(path, "log")))
    except OSError as error:
        raise SourceError(
            f"The directory {base!r} cannot hold a server for the drill: {error.strerror}.",
            subject=base,
            hint="Set TMPDIR to a writable directory on a disk with room for the restored database.",
        ) from error


def _new_log(path: str) -> BinaryIO:
    return os.fdopen(
        os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600), "r+b", buffering=0
    )


def read_regular(path: str, limit: int) -> str:
    """The start of a file that the server wrote; "" if it is not a regular file with one name. Raises `OSError`."""
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb") as file:
        found = os.fstat(file.fileno())
        if not stat.S_ISREG(found.st_mode) or found.st_nlink != 1:
            return ""
        return file.read(limit).decode("utf-8", "replace")


def write_anew(path: str, text: str) -> None:
    """Replaces an existing file, instead of writing to it."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)


def remove_stale_everywhere() -> None:
    """In all places where there are homes by default; what cannot be looked into has none."""
    for base in (tempfile.gettempdir(), *OTHER_PLACES):
        with contextlib.suppress(OSError):
            remove_stale(base)


def remove_stale(base: str) -> None:
    """Homes below `base` that this user owns and that no process has locked. Raises `OSError`."""
    for path in settled(base, _HOMES):
        lock = _take_lock(os.path.join(path, "lock"))
        if lock is not None:
            remove_home(path)
            os.close(lock)


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
    """Below the home, or elsewhere where that makes too long a path."""
    path = socket_of(home)
    if len(os.fsencode(os.path.join(path, SOCKET_NAME))) <= SOCKET_PATH_LIMIT:
        os.mkdir(path, 0o700)
        return path
    short = short_socket_of(home)
    os.mkdir(short, 0o700)
    return short
