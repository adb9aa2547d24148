"""The walk: one lstat per entry, depth first, the names of each directory sorted as bytes.

Directories are opened one from another without following symbolic links, so that a tree that changes under
the walk cannot lead it elsewhere. Memory is bounded by the largest directory's names.
"""

from __future__ import annotations

import os
import stat as modes
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple, TypeAlias

from backup_platform.domain.model import EntryKind, Stat, Status
from backup_platform.errors import SourceError
from backup_platform.filesystem.kinds import KINDS
from backup_platform.filesystem.paths import DIRECTORY_FLAGS, ROOT, descend
from backup_platform.sources.files.excludes import CACHE_TAG, Excludes, is_cache
from backup_platform.sources.files.failures import status_of

BATCH = 2048  # rows
OPEN_LEVELS = 100  # directories kept open on the way down; deeper ones are opened again on the way up

DIRECTORY, SYMLINK = EntryKind.DIRECTORY, EntryKind.SYMLINK

Named: TypeAlias = "tuple[bytes, os.DirEntry[str]]"


class Fault(NamedTuple):
    """Why an entry could not be captured."""

    status: Status
    problem: str


@dataclass(slots=True)
class Batch:
    """Rows of the walk; `faults` by position for those that could not be examined or listed."""

    stats: list[Stat] = field(default_factory=list)
    faults: dict[int, Fault] = field(default_factory=dict)

    def fail_last(self, error: OSError) -> None:
        self.faults[len(self.stats) - 1] = Fault(*status_of(error))


@dataclass(slots=True)
class _Level:
    """A directory being walked; `names` in reverse, taken from the end. `fd` is -1 while it is closed."""

    fd: int
    prefix: bytes
    identity: tuple[int, int]
    names: list[Named]

    def close(self) -> None:
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1


def make_stat(path: bytes, st: os.stat_result) -> Stat:
    mode = st.st_mode
    return Stat._make(
        (
            path,
            KINDS[mode & 0o170000],
            mode & 0o7777,
            st.st_uid,
            st.st_gid,
            st.st_size,
            st.st_mtime_ns,
            st.st_ctime_ns,
            st.st_ino,
            st.st_dev,
            st.st_nlink,
            st.st_rdev,
        )
    )


@dataclass(slots=True)
class Walk:
    """One walk of the tree below `root_fd`, which stays the caller's. `excluded` counts what it left out.

    Directories of `left_out`, by device and inode, are passed over.

    `unlock`: the tree is the caller's own, and directories that its owner may not look into are opened to it. The
    rows have the modes from before.
    """

    root_fd: int
    root: bytes
    excludes: Excludes | None = None
    one_file_system: bool = False
    exclude_caches: bool = False
    follow_symlinks: bool = False
    unlock: bool = False
    left_out: frozenset[tuple[int, int]] = frozenset()
    excluded: int = 0
    _levels: list[_Level] = field(default_factory=list)
    _device: int = 0
    _real_root: bytes = b""

    def batches(self, size: int = BATCH) -> Iterator[Batch]:
        """All rows in order, the root first. Raises SourceError when the root itself cannot be listed."""
        batch = self._start()
        try:
            while self._levels:
                self._fill(batch, size)
                if len(batch.stats) >= size:
                    yield batch
                    batch = Batch()
        finally:
            for level in self._levels:
                level.close()
        if batch.stats:
            yield batch

    def _start(self) -> Batch:
        st = os.fstat(self.root_fd)
        self._device, self._real_root = st.st_dev, os.path.realpath(self.root)
        if self.unlock and st.st_mode & 0o500 != 0o500:
            os.fchmod(self.root_fd, modes.S_IMODE(st.st_mode) | 0o500)
        fd = os.open(ROOT, DIRECTORY_FLAGS, dir_fd=self.root_fd)
        names, error = self._list(fd, b"")
        self._levels.append(_Level(fd, b"", (st.st_dev, st.st_ino), names))
        if error:
            self._levels.pop().close()
            raise SourceError(
                f"The directory {os.fsdecode(self.root)} cannot be listed: {error.strerror}.",
                subject=os.fsdecode(self.root),
            ) from error
        return Batch([make_stat(ROOT, st)])

    def _fill(self, batch: Batch, size: int) -> None:
        """Take names of the deepest level until it is done, opens a deeper one, or the batch is full."""
        level = self._levels[-1]
        names, fd, prefix, stats = level.names, level.fd, level.prefix, batch.stats
        lstat, make, room = os.stat, make_stat, size - len(stats)
        while names and room > 0:
            name, listed = names.pop()
            room -= 1
            path = prefix + name
            try:
                row = make(path, lstat(name, dir_fd=fd, follow_symlinks=False))
            except OSError as error:
                stats.append(unexamined(path, listed))
                batch.fail_last(error)
                continue
            if row[1] is SYMLINK and self.follow_symlinks:
                row = self._target(path, fd, name) or row
            if row[1] is DIRECTORY and (row[9], row[8]) in self.left_out:
                self.excluded += 1
                continue
            stats.append(row)
            if row[1] is DIRECTORY and self._enter(batch, name):
                return
        if not names:
            self._leave()

    def _enter(self, batch: Batch, name: bytes) -> bool:
        """Open the directory of the last row; whether there is something in it to walk."""
        row, parent = batch.stats[-1], self._levels[-1]
        # Only directories are compared: a union file system shows other devices for its files.
        if self.one_file_system and row.device != self._device:
            self.excluded += 1
            return False
        prefix = row.path + b"/"
        try:
            if self.unlock and row.mode & 0o500 != 0o500:
                os.chmod(name, row.mode | 0o500, dir_fd=parent.fd)
            fd = os.open(
                name, DIRECTORY_FLAGS | (0 if self.follow_symlinks else os.O_NOFOLLOW), dir_fd=parent.fd
            )
        except OSError as error:
            batch.fail_last(error)
            return False
        names, listing_error = self._list(fd, prefix)
        if listing_error:
            batch.fail_last(listing_error)
        if not names:
            os.close(fd)
            return False
        if len(self._levels) >= OPEN_LEVELS:
            parent.close()
        self._levels.append(_Level(fd, prefix, (row.device, row.inode), names))
        return True

    def _leave(self) -> None:
        done = self._levels.pop()
        if self._levels and self._levels[-1].fd < 0:
            self._reopen(self._levels[-1], done.fd)
        done.close()

    def _reopen(self, level: _Level, child_fd: int) -> None:
        """Without the directory, what is left of its names will be reported one by one as vanished."""
        try:
            level.fd = os.open(b"..", DIRECTORY_FLAGS, dir_fd=child_fd)
            if identity(os.fstat(level.fd)) != level.identity:
                level.close()
                level.fd = descend(self.root_fd, level.prefix[:-1], follow=self.follow_symlinks)
        except OSError:
            level.fd = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)

    def _list(self, fd: int, prefix: bytes) -> tuple[list[Named], OSError | None]:
        """Names in reverse order, without the excluded; what was listed before an error is kept."""
        names: list[Named] = []
        error = None
        try:
            with os.scandir(fd) as listing:
                for entry in listing:
                    names.append((os.fsencode(entry.name), entry))
        except OSError as failure:
            error = failure
        if self.exclude_caches and any(name == CACHE_TAG for name, _ in names) and is_cache(fd):
            names = self._keep(names, [name == CACHE_TAG for name, _ in names])
        if self.excludes:
            match = self.excludes.match
            names = self._keep(names, [not match(prefix + n, directory=is_directory(e)) for n, e in names])
        names.sort(key=first, reverse=True)
        return names, error

    def _keep(self, names: list[Named], flags: list[bool]) -> list[Named]:
        kept = [named for named, keep in zip(names, flags, strict=True) if keep]
        self.excluded += len(names) - len(kept)
        return kept

    def _target(self, path: bytes, fd: int, name: bytes) -> Stat | None:
        """What a symbolic link leads to, if inside the root and not a directory that holds the link."""
        real = os.path.realpath(os.path.join(self._real_root, path))
        if not real.startswith(self._real_root.rstrip(b"/") + b"/"):
            return None
        try:
            row = make_stat(path, os.stat(name, dir_fd=fd))
        except OSError:
            return None
        ancestors = {level.identity for level in self._levels}
        return None if (row.device, row.inode) in ancestors else row


def first(named: Named) -> bytes:
    return named[0]


def identity(st: os.stat_result) -> tuple[int, int]:
    return st.st_dev, st.st_ino


def is_directory(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir(follow_symlinks=False)
    except OSError:
        return False


def unexamined(path: bytes, entry: os.DirEntry[str]) -> Stat:
    """A row for an entry that was listed, but could not be examined. It has what the listing gave."""
    kind = EntryKind.FILE
    try:
        if entry.is_symlink():
            kind = EntryKind.SYMLINK
        elif entry.is_dir(follow_symlinks=False):
            kind = EntryKind.DIRECTORY
    except OSError:
        pass
    return Stat(path, kind, 0, 0, 0, 0, 0, 0, entry.inode(), 0, 0, 0)
