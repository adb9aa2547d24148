"""Where the tests write: into memory if there is room. On a disk, every object that a repository stores is two waits
for that disk, some ten thousand in all; every database that a server makes is three hundred files."""

from __future__ import annotations

import os
import shutil
import tempfile
from contextlib import suppress
from functools import cache
from pathlib import Path

MEMORY = Path("/dev/shm")
NEEDED = 6 << 30  # all of them leave 1 GB behind; what is written here takes the place of processes
_PREFIX = "backup-platform-tests-"
_SHORT = "bpt-"  # sockets of servers are below it, and the operating system limits their paths to 107 bytes


@cache
def scratch() -> str | None:
    """For `dir=` of `tempfile`. Containers often have a /dev/shm of 64 MB: then the usual place."""
    with suppress(OSError):
        room = os.statvfs(MEMORY)
        if min(room.f_bavail * room.f_frsize, _available()) >= NEEDED and os.access(MEMORY, os.W_OK):
            return str(MEMORY)
    return None


def _available() -> int:
    """Bytes of memory."""
    lines = Path("/proc/meminfo").read_text().splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith("MemAvailable:"))


def make_place() -> Path | None:
    """For a session's `--basetemp`, in memory. What sessions that were killed left there goes."""
    if (memory := scratch()) is None:
        return None
    _remove_left(memory)
    return Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-", dir=memory))


def make_room() -> Path | None:
    """For a session's $TMPDIR, in memory, where every user may write."""
    if (memory := scratch()) is None:
        return None
    _remove_left(memory)
    room = Path(memory, f"{_SHORT}{os.getpid()}")
    shutil.rmtree(room, ignore_errors=True)  # of an earlier process with this number
    room.mkdir()
    room.chmod(0o1777)
    return room


def _remove_left(memory: str) -> None:
    for prefix in (_PREFIX, _SHORT):
        for left in Path(memory).glob(f"{prefix}*"):
            if not Path("/proc", left.name.removeprefix(prefix).partition("-")[0]).exists():
                shutil.rmtree(left, ignore_errors=True)
