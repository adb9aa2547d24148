"""What lies between the data ranges of a sparse file."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator

from backup_platform.sources.files.attributes import Extents

STEP = 1 << 20
ZEROS = bytes(STEP)


def holes_are_zero(fd: int, size: int, extents: Extents) -> bool:
    """Does everything outside the extents read as zeros? Real holes cost nothing. Raises OSError."""
    return all(_is_zero(fd, start, end) for start, end in _gaps(size, extents))


def _gaps(size: int, extents: Extents) -> Iterator[tuple[int, int]]:
    start = 0
    for offset, length in extents:
        if offset > start:
            yield start, offset
        start = offset + length
    if size > start:
        yield start, size


def _is_zero(fd: int, start: int, end: int) -> bool:
    while start < end:
        start = _next_data(fd, start)
        data = os.pread(fd, min(STEP, end - start), start) if start < end else b""
        if not ZEROS.startswith(data):
            return False
        start += len(data) or end
    return True


def _next_data(fd: int, start: int) -> int:
    try:
        return os.lseek(fd, start, os.SEEK_DATA)
    except OSError as error:
        if error.errno == errno.ENXIO:
            return os.fstat(fd).st_size
        if error.errno == errno.EINVAL:
            return start
        raise
