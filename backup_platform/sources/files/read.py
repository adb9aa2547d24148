"""Reading regular files that may change, shrink, vanish or be replaced at the same time."""

from __future__ import annotations

import os
import stat as modes
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

from backup_platform.domain.model import Stat, Status
from backup_platform.filesystem.holes import Extents, data_extents
from backup_platform.filesystem.paths import below, descend, split
from backup_platform.sources.files.attributes import Xattrs, read_xattrs
from backup_platform.sources.files.failures import ReplacedError, status_of
from backup_platform.sources.files.kernel import kernel_file_system, read_kernel_file
from backup_platform.sources.files.walk import make_stat

SMALL = 1 << 20  # bytes; files up to this are read whole
CHANGED_TEXT = "it changed while it was read, twice"
FALSE_SIZE_TEXT = "its reported size was {said:,} bytes, but {count:,} were read"

# O_NONBLOCK: opening a FIFO that took the file's place must not wait for a writer.
READ_FLAGS = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK

Piece: TypeAlias = "tuple[int, int]"  # offset, length


class FileReading(NamedTuple):
    """What reading a file gave. `large` says that nothing was read because it must be streamed."""

    stat: Stat
    status: Status = Status.OK
    problem: str = ""
    xattrs: Xattrs = ()
    extents: Extents | None = None
    data: bytes = b""
    large: bool = False


@dataclass(frozen=True, slots=True)
class Files:
    """Opens and reads the files of one tree. Used from several threads."""

    root_fd: int
    follow_symlinks: bool = False

    def open(self, stat: Stat) -> tuple[int, os.stat_result]:
        """A descriptor of the regular file at the path, and what fstat says of it.

        Another file than the walk saw (written anew and renamed, as editors do) is accepted only when no link
        on the way led to it. Raises OSError; ReplacedError for something that is not a regular file.
        """
        fd, st = self._opened(stat.path, strict=False)
        if st.st_ino != stat.inode or st.st_dev != stat.device:
            os.close(fd)
            fd, st = self._opened(stat.path, strict=True)
        if not modes.S_ISREG(st.st_mode):
            os.close(fd)
            raise ReplacedError
        return fd, st

    def _opened(self, path: bytes, *, strict: bool) -> tuple[int, os.stat_result]:
        try:
            fd = self._open(path, READ_FLAGS | os.O_NOATIME, strict=strict)
        except PermissionError:  # only the owner may ask not to touch the access time
            fd = self._open(path, READ_FLAGS, strict=strict)
        return fd, os.fstat(fd)

    def _open(self, path: bytes, flags: int, *, strict: bool) -> int:
        follow = self.follow_symlinks
        flags |= 0 if follow else os.O_NOFOLLOW
        if not strict:
            return below(self.root_fd, path, lambda fd, name: os.open(name, flags, dir_fd=fd), follow=follow)
        directory, name = split(path)
        parent = descend(self.root_fd, directory, follow=follow)
        try:
            return os.open(name, flags, dir_fd=parent)
        finally:
            os.close(parent)

    def read_group(self, stats: list[Stat]) -> list[FileReading]:
        return [self.read_small(stat) for stat in stats]

    def read_small(self, stat: Stat) -> FileReading:
        """A small file with its attributes, or why it could not be read. Never raises OSError."""
        try:
            reading = self._read_once(stat)
            return reading if reading.status is Status.OK else self._read_once(stat)
        except OSError as error:
            return FileReading(stat, *status_of(error))

    def _read_once(self, stat: Stat) -> FileReading:
        fd, before = self.open(stat)
        try:
            if not 0 < before.st_size <= SMALL and (made_by := kernel_file_system(fd)):
                data = read_kernel_file(fd, made_by)
                return settle(stat, before, os.fstat(fd), None, len(data), read_xattrs(fd), data)
            if before.st_size > SMALL:
                return FileReading(refreshed(stat, before), large=True)
            extents = data_extents(fd, before)
            data = read_pieces(fd, pieces_of(before.st_size, extents))
            if has_more(fd, before.st_size):
                data += read_at(fd, SMALL + 1, before.st_size)
                if len(data) > SMALL:
                    return FileReading(refreshed(stat, before), large=True)
            return settle(stat, before, os.fstat(fd), extents, len(data), read_xattrs(fd), data)
        finally:
            os.close(fd)


def refreshed(stat: Stat, st: os.stat_result) -> Stat:
    """The row of a file as it was opened, when it is no longer as the walk saw it."""
    if st.st_ctime_ns == stat.ctime_ns and st.st_ino == stat.inode and st.st_size == stat.size:
        return stat
    return make_stat(stat.path, st)


def settle(
    stat: Stat,
    before: os.stat_result,
    after: os.stat_result,
    extents: Extents | None,
    count: int,
    xattrs: Xattrs,
    data: bytes = b"",
) -> FileReading:
    """The row of the `count` bytes that were read: OK when these are all and nothing changed meanwhile."""
    row, pieces = refreshed(stat, before), pieces_of(before.st_size, extents)
    complete = count == sum(length for _, length in pieces)
    if complete and unchanged(before, after):
        return FileReading(row, Status.OK, "", xattrs, extents, data)
    text = CHANGED_TEXT
    if not complete:
        taken = reached(pieces, count, before.st_size)
        row = row._replace(size=sum(taken[-1]) if taken else 0)
        extents = None if extents is None else taken
        if unchanged(before, after):
            text = FALSE_SIZE_TEXT.format(said=before.st_size, count=row.size)
    return FileReading(row, Status.CHANGED, text, xattrs, extents, data)


def has_more(fd: int, size: int) -> bool:
    """Whether a file holds more than its size says, as files of procfs do. A file that has grown since does not
    count."""
    return bool(os.pread(fd, 1, size)) and os.fstat(fd).st_size <= size


def unchanged(before: os.stat_result, after: os.stat_result) -> bool:
    return (
        before.st_ctime_ns == after.st_ctime_ns
        and before.st_mtime_ns == after.st_mtime_ns
        and before.st_size == after.st_size
    )


def pieces_of(size: int, extents: Extents | None) -> Extents:
    """The ranges to read of a file."""
    return ((0, size),) if extents is None else extents


def reached(pieces: Extents, count: int, size: int) -> Extents:
    """The ranges that hold the first `count` bytes of the pieces, and of the data after the reported `size`."""
    taken = []
    for offset, length in pieces:
        if not count:
            break
        taken.append((offset, min(length, count)))
        count -= min(length, count)
    return (*taken, (size, count)) if count else tuple(taken)


def read_pieces(fd: int, pieces: Iterable[Piece]) -> bytes:
    """The joined bytes of the pieces, fewer than asked for where the file ends early."""
    parts = []
    for offset, length in pieces:
        data = read_at(fd, length, offset)
        parts.append(data)
        if len(data) < length:
            break
    return parts[0] if len(parts) == 1 else b"".join(parts)


def read_at(fd: int, length: int, offset: int) -> bytes:
    """Less than `length` bytes only at the end of the file."""
    data = os.pread(fd, length, offset)
    while len(data) < length:
        more = os.pread(fd, length - len(data), offset + len(data))
        if not more:
            break
        data += more
    return data


class Pieces:
    """Reads ranges of a file one after the other, as if they were joined."""

    def __init__(self, fd: int, pieces: Extents) -> None:
        self._fd = fd
        self._left = list(reversed(pieces))

    def read(self, count: int) -> bytes:
        """The next `count` bytes, fewer at the end."""
        wanted: list[Piece] = []
        while count and self._left:
            offset, length = self._left.pop()
            taken = min(length, count)
            wanted.append((offset, taken))
            count -= taken
            if taken < length:
                self._left.append((offset + taken, length - taken))
        return read_pieces(self._fd, wanted)
