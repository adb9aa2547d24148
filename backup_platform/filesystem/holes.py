"""The data ranges of a sparse file, and what lies between them."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator

Extents = tuple[tuple[int, int], ...]

STEP = 1 << 20
ZEROS = bytes(STEP)


def data_extents(fd: int, st: os.stat_result) -> Extents | None:
    """Data ranges of a sparse file; None for one without holes. Raises OSError."""
    size = st.st_size
    if st.st_blocks * 512 >= size:
        return None
    extents: list[tuple[int, int]] = []
    end = 0
    try:
        while end < size:
            start = os.lseek(fd, end, os.SEEK_DATA)
            if start >= size:
                break
            end = min(os.lseek(fd, start, os.SEEK_HOLE), size)
            extents.append((start, end - start))
    except OSError as error:
        if error.errno == errno.EINVAL:
            return None  # a file system that does not tell
        if error.errno != errno.ENXIO:  # ENXIO: no data after this offset
            raise
    return None if extents == [(0, size)] else tuple(extents)


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
