"""Writing files: a name in the target never shows a file without its content and its metadata."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from hashlib import blake2b

from backup_platform.actions.restore.metadata import Metadata
from backup_platform.actions.restore.target import TargetDirectory, refused
from backup_platform.domain.model import Entry
from backup_platform.domain.ports import Progress
from backup_platform.errors import DamageError, TargetError
from backup_platform.filesystem.holes import holes_are_zero
from backup_platform.filesystem.paths import printable

NEW_FLAGS = os.O_RDWR | os.O_CLOEXEC
NO_UNNAMED = frozenset({errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL})
TOLD_FILES, TOLD_BYTES = 100, 4 << 20
NO_LINKS = frozenset({errno.EPERM, errno.EOPNOTSUPP, errno.EMLINK})


def temporary(name: bytes) -> bytes:
    """The name of a file until it is complete. It is always the same, so a later run removes it."""
    return b".backup-platform-" + blake2b(name, digest_size=12).hexdigest().encode()


class FileWriter:
    """Creates files under no name or a temporary one, and gives them their name when they are complete."""

    def __init__(self, target: TargetDirectory, metadata: Metadata, progress: Progress) -> None:
        self.target, self.metadata = target, metadata
        self.unnamed = os.path.isdir("/proc/self/fd")
        self.files = 0
        self.size = 0
        self._progress = progress
        self._told_files = self._told_size = 0
        self._lock = threading.Lock()

    def write_small(self, entry: Entry, replace: bool, data: memoryview) -> None:
        """A file whose content comes in one piece, from any thread."""
        stat, whole = entry.stat, bytes(data)
        if len(whole) != content_size(entry):
            raise wrong_length(entry)
        with self.target.place(stat.path) as (dir_fd, name):
            fd, temp = self.create(dir_fd, name, stat.mode & 0o777)
            try:
                if entry.extents is not None:
                    os.ftruncate(fd, stat.size)
                if whole:
                    write_content(fd, entry, 0, whole)
                self.metadata.complete_new(fd, entry)
                self.publish(fd, temp, dir_fd, name, replace=replace)
            finally:
                os.close(fd)
        self.count(len(whole))

    def create(self, dir_fd: int, name: bytes, mode: int) -> tuple[int, bytes]:
        """Create a file: its descriptor and its temporary name, which is empty if it has none."""
        if self.unnamed:
            try:
                return os.open(b".", os.O_TMPFILE | NEW_FLAGS, mode, dir_fd=dir_fd), b""
            except OSError as error:
                if error.errno not in NO_UNNAMED:
                    raise
                self.unnamed = False
        clear(dir_fd, temporary(name))
        return os.open(temporary(name), os.O_CREAT | os.O_EXCL | NEW_FLAGS, mode, dir_fd=dir_fd), temporary(
            name
        )

    def publish(self, fd: int, temp: bytes, dir_fd: int, name: bytes, *, replace: bool) -> None:
        """Raises FileExistsError when the name is taken and must not be replaced."""
        source = temp or b"/proc/self/fd/%d" % fd
        if not replace and not temp:
            os.link(source, name, dst_dir_fd=dir_fd, follow_symlinks=True)
        elif not replace:
            link_or_rename(temp, name, dir_fd)
        else:
            if not temp:
                temp = temporary(name)
                clear(dir_fd, temp)
                os.link(source, temp, dst_dir_fd=dir_fd, follow_symlinks=True)
            replace_by(temp, name, dir_fd)

    def count(self, size: int, files: int = 1) -> None:
        """Count what was done, and tell of it now and then."""
        with self._lock:
            self.files += files
            self.size += size
            if self.files - self._told_files < TOLD_FILES and self.size - self._told_size < TOLD_BYTES:
                return
        self.tell()

    def tell(self) -> None:
        with self._lock:
            files, size = self.files - self._told_files, self.size - self._told_size
            self._told_files, self._told_size = self.files, self.size
        self._progress.advance(items=files, size=size)


def replace_by(temp: bytes, name: bytes, dir_fd: int) -> None:
    """Give a complete file its name, or remove it."""
    try:
        os.rename(temp, name, src_dir_fd=dir_fd, dst_dir_fd=dir_fd)
    except OSError:
        clear(dir_fd, temp)
        raise


def clear(dir_fd: int, name: bytes) -> None:
    """Remove what an interrupted restore may have left."""
    with suppress(FileNotFoundError):
        os.unlink(name, dir_fd=dir_fd)


def link_or_rename(temp: bytes, name: bytes, dir_fd: int) -> None:
    """Give a complete file its name without replacing anything."""
    try:
        os.link(temp, name, src_dir_fd=dir_fd, dst_dir_fd=dir_fd, follow_symlinks=False)
    except OSError as error:
        if error.errno not in NO_LINKS:
            raise
        # No hard links here. Between the look and the renaming, only another program's file could be lost.
        if exists(name, dir_fd):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST)) from error
        os.rename(temp, name, src_dir_fd=dir_fd, dst_dir_fd=dir_fd)
        return
    os.unlink(temp, dir_fd=dir_fd)


def exists(name: bytes, dir_fd: int) -> bool:
    try:
        os.stat(name, dir_fd=dir_fd, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True


def spread(entry: Entry, offset: int, length: int) -> list[tuple[int, int]]:
    """Where a piece of the stored content belongs in the file: (offset, length) for each part."""
    if entry.extents is None:
        return [(offset, length)]
    parts, start = [], 0
    for extent, size in entry.extents:
        if start + size > offset and length:
            inside = offset - start
            part = min(size - inside, length)
            parts.append((extent + inside, part))
            offset, length = offset + part, length - part
        start += size
    return parts


def content_size(entry: Entry) -> int:
    """Bytes of the stored content: without the holes of a sparse file."""
    return entry.stat.size if entry.extents is None else sum(length for _, length in entry.extents)


def write_content(fd: int, entry: Entry, offset: int, data: bytes) -> None:
    """Write a piece of the content where it belongs. Raises TargetError when it reads back different."""
    if entry.extents is None:
        write_checked(fd, entry, offset, data)
        return
    start = 0
    for position, length in spread(entry, offset, len(data)):
        write_checked(fd, entry, position, data[start : start + length])
        start += length


def write_checked(fd: int, entry: Entry, position: int, data: bytes) -> None:
    length = len(data)
    written = os.pwrite(fd, data, position)
    while written < length:
        written += os.pwrite(fd, memoryview(data)[written:], position + written)
    if os.pread(fd, length, position) != data:
        raise TargetError(
            f"{printable(entry.stat.path)} reads back different from what was written.",
            subject=printable(entry.stat.path),
            hint="Check the target's disk and memory.",
        )


class LargeFile:
    """A file whose content comes in many pieces, in any order. Complete when the last one came."""

    def __init__(self, writer: FileWriter, entry: Entry, replace: bool) -> None:
        self.entry = entry
        self._writer, self._replace = writer, replace
        self._left = content_size(entry)
        self._fd, self._temp = -1, b""
        self._lock = threading.Lock()

    def take(self, offset: int, data: memoryview) -> None:
        try:
            write_content(self._open(), self.entry, offset, bytes(data))
        except OSError as error:
            raise refused(self.entry.stat.path, error) from error
        with self._lock:
            self._left -= len(data)
            complete = not self._left
        self._writer.count(len(data), int(complete))
        if complete:
            self._complete()

    def _open(self) -> int:
        with self._lock:
            if self._fd < 0:
                stat = self.entry.stat
                with self._writer.target.place(stat.path) as (dir_fd, name):
                    self._fd, self._temp = self._writer.create(dir_fd, name, stat.mode & 0o777)
                if self.entry.extents is not None:
                    os.ftruncate(self._fd, stat.size)
            return self._fd

    def _complete(self) -> None:
        with self._writer.target.place(self.entry.stat.path) as (dir_fd, name):
            self._writer.metadata.complete_new(self._fd, self.entry)
            self._writer.publish(self._fd, self._temp, dir_fd, name, replace=self._replace)
        self.close()

    @property
    def complete(self) -> bool:
        return not self._left

    def abandon(self) -> None:
        """Leave nothing of it."""
        if self._temp:
            with suppress(TargetError), self._writer.target.place(self.entry.stat.path) as (dir_fd, name):
                clear(dir_fd, temporary(name))
        self.close()

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


class FileComparison:
    """An existing file with the right size and time, which may already have the right content."""

    def __init__(self, writer: FileWriter, entry: Entry) -> None:
        self.entry = entry
        self.different = False
        self._writer = writer

    def take(self, offset: int, data: memoryview) -> None:
        with self._unreadable_is_different():
            if not self.different and not self._equal(offset, bytes(data)):
                self.different = True

    @contextmanager
    def _unreadable_is_different(self) -> Iterator[None]:
        """It can be replaced all the same, where its directory can be written to."""
        try:
            yield
        except TargetError as error:
            if error.number not in (errno.EACCES, errno.EPERM):
                raise
            self.different = True

    def _equal(self, offset: int, data: bytes) -> bool:
        with self.opened() as fd:
            parts = [
                os.pread(fd, length, position) for position, length in spread(self.entry, offset, len(data))
            ]
        return b"".join(parts) == data

    def check_holes(self) -> None:
        """Before the pieces: what a sparse file does not store must read as zeros."""
        if self.entry.extents is not None:
            with self._unreadable_is_different(), self.opened() as fd:
                self.different = not holes_are_zero(fd, self.entry.stat.size, self.entry.extents)

    @contextmanager
    def opened(self) -> Iterator[int]:
        with self._writer.target.place(self.entry.stat.path) as (dir_fd, name):
            fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=dir_fd)
            try:
                yield fd
            finally:
                os.close(fd)


def wrong_length(entry: Entry) -> DamageError:
    return DamageError(
        f"The stored content of {printable(entry.stat.path)} does not have the size that its inventory says.",
        subject=printable(entry.stat.path),
    )
