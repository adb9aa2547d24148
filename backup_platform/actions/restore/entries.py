"""Carrying out a restore, in the order of the inventory and in bounded memory."""

from __future__ import annotations

import os
import stat as modes
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from operator import call
from typing import Any, Protocol, TypeAlias, TypeVar

from backup_platform.actions.restore.existing import TargetSurvey, Treatment
from backup_platform.actions.restore.files import (
    FileComparison,
    FileWriter,
    LargeFile,
    content_size,
    wrong_length,
)
from backup_platform.actions.restore.metadata import Named, Opened
from backup_platform.actions.restore.selection import Role, available
from backup_platform.actions.restore.specials import make_link, make_special
from backup_platform.actions.restore.target import TargetDirectory, can_open, reason_of_one
from backup_platform.actions.restore.warnings import Warnings
from backup_platform.domain.model import BLOB_ID_BYTES, Content, Entry, EntryKind, Status
from backup_platform.errors import TargetError
from backup_platform.filesystem.paths import ROOT, printable

T = TypeVar("T")
Take: TypeAlias = "Callable[[memoryview], None]"
Request: TypeAlias = "tuple[bytes, Take]"  # blob id, and who takes the blob

BATCH = 1 << 14  # entries, or pieces of large files, that wait for their content
MAX_LARGE = 200  # files open at once
IDS_AT_ONCE = 4096
NOTHING = memoryview(b"")


class Contents(Protocol):
    """What a restore needs from the repository."""

    def blob_ids(self, content: Content) -> Iterator[bytes]: ...

    def scatter(
        self, requests: Sequence[tuple[bytes, T]], deliver: Callable[[T, memoryview], None]
    ) -> None: ...


@dataclass(slots=True)
class _OpenDirectory:
    """A directory on the way to the current entry. `apply`: its metadata is the restore's to set."""

    entry: Entry
    prefix: bytes
    new: bool
    apply: bool


@dataclass(slots=True)
class _Batch:
    """What waits to be done together. Links know whether their directory is new."""

    to_compare: list[Request] = field(default_factory=list)
    to_write: list[Request] = field(default_factory=list)
    compared: list[FileComparison] = field(default_factory=list)
    large: list[LargeFile] = field(default_factory=list)
    links: list[tuple[Entry, bool]] = field(default_factory=list)
    left: list[Entry] = field(default_factory=list)


@dataclass(slots=True)
class Restorer:
    """Restores entries that come in the order of their inventory. `survey` is None for an empty target."""

    contents: Contents
    sizes: Callable[[bytes], list[int]]
    target: TargetDirectory
    writer: FileWriter
    survey: TargetSurvey | None
    own_root: bool
    failures: Warnings = field(default_factory=Warnings)
    skipped: int = 0
    _levels: list[_OpenDirectory] = field(default_factory=list)
    _batch: _Batch = field(default_factory=_Batch)
    _locked: list[Entry] = field(default_factory=list)
    _unmade: set[bytes] = field(default_factory=set)  # devices, which only root makes
    _failed: set[bytes] = field(default_factory=set)
    _failing: threading.Lock = field(default_factory=threading.Lock)
    _closed: bytes = b"\0"  # the directory that could not be made last; no path holds a zero byte
    _root: Entry | None = None

    def run(self, entries: Iterable[tuple[Entry, Role]]) -> None:
        """Restores everything but the metadata of the root. Raises TargetError, RepositoryError."""
        try:
            for count, (entry, role) in enumerate(entries):
                self._leave(entry.stat.path)
                self._try_to_restore(entry, role)
                if not count % BATCH or len(self._batch.large) >= MAX_LARGE:
                    self._flush()
            self._leave(None)
            self._flush()
            for entry in self._locked:
                self._apply(entry)
        finally:
            for large in self._batch.large:
                large.close()

    @property
    def locks_root(self) -> bool:
        """Whether the root's own mode will keep its owner from removing its entries."""
        return self._root is not None and self._root.stat.mode & 0o300 != 0o300

    def finish_root(self) -> None:
        if self._root is not None:
            self.writer.metadata.apply(Opened(self.target.fd), self._root)

    def _attempt(self, entry: Entry, act: Callable[..., None], *arguments: Any) -> None:
        """Do something for an entry. If only this entry is refused, that is noted, and the restore continues."""
        if entry.stat.path in self._failed:
            return
        try:
            act(*arguments)
        except TargetError as error:
            reason = reason_of_one(error)
            if reason is None:
                raise
            self._fail(entry, reason)

    def _fail(self, entry: Entry, reason: str) -> None:
        with self._failing:  # several pieces of a file may fail at once
            if entry.stat.path not in self._failed:
                self._failed.add(entry.stat.path)
                self.failures.add(entry.stat.path, reason)

    def _try_to_restore(self, entry: Entry, role: Role) -> None:
        path = entry.stat.path
        if path.startswith(self._closed):
            if available(entry):
                self._fail(entry, "its directory could not be made")
            return
        self._attempt(entry, self._restore, entry, role)
        if entry.stat.kind is EntryKind.DIRECTORY and path in self._failed:
            self._closed = path + b"/"

    def _restore(self, entry: Entry, role: Role) -> None:
        if entry.status is not Status.OK:
            text = f"{entry.status} when it was backed up: {entry.problem}"
            self.writer.metadata.warnings.add(entry.stat.path, text)
            if not available(entry):
                return
        kind = entry.stat.kind
        if entry.hardlink is not None:
            self._batch.links.append((entry, self._in_new_directory()))
        elif kind is EntryKind.FILE:
            self._file(entry)
        elif kind is EntryKind.DIRECTORY:
            self._directory(entry, role)
        else:
            self._special(entry)

    def _in_new_directory(self) -> bool:
        return self.survey is None or bool(self._levels and self._levels[-1].new)

    def _standing(self, entry: Entry, in_new: bool) -> Treatment:
        """Raises TargetError for a conflict."""
        standing = Treatment.NEW if in_new or self.survey is None else self.survey.standing(entry)
        if standing is Treatment.CONFLICT:
            raise conflict(entry)
        return standing

    def _directory(self, entry: Entry, role: Role) -> None:
        path = entry.stat.path
        if path == ROOT:
            self._root = entry if self.own_root and role is Role.WANTED else None
            return
        standing = self._standing(entry, self._in_new_directory())
        if standing is not Treatment.KEPT:
            with self.target.place(path) as (dir_fd, name):
                if standing is Treatment.REPLACED:
                    os.unlink(name, dir_fd=dir_fd)
                os.mkdir(name, 0o700, dir_fd=dir_fd)
        new = standing is not Treatment.KEPT
        may_change = self.survey is not None and self.survey.may_change and role is Role.WANTED
        if may_change and not new:
            self._open_directory(path)
        self._levels.append(_OpenDirectory(entry, path + b"/", new, new or may_change))

    def _open_directory(self, path: bytes) -> None:
        """Let its owner write to a directory until it gets its own mode."""
        with self.target.place(path) as (dir_fd, name):
            handle = Named(dir_fd, name)
            if can_open(handle.stat()):
                handle.chmod(modes.S_IMODE(handle.stat().st_mode) | 0o700)

    def _leave(self, path: bytes | None) -> None:
        """Directories whose last entry has come: all that do not hold `path`."""
        levels = self._levels
        while levels and not (path is not None and path.startswith(levels[-1].prefix)):
            level = levels.pop()
            if level.apply:
                self._batch.left.append(level.entry)

    def _special(self, entry: Entry) -> None:
        standing = self._standing(entry, self._in_new_directory())
        if standing is Treatment.KEPT:
            self._apply(entry)
        else:
            replace = standing is Treatment.REPLACED
            if not make_special(self.target, self.writer.metadata, entry, replace=replace):
                self._unmade.add(entry.stat.path)

    def _file(self, entry: Entry) -> None:
        standing = self._standing(entry, self._in_new_directory())
        if standing is not Treatment.KEPT:
            self._write(entry, replace=standing is Treatment.REPLACED)
            return
        comparison = FileComparison(self.writer, entry)
        comparison.check_holes()
        self._batch.compared.append(comparison)
        self._request(self._batch.to_compare, comparison.take, entry)

    def _write(self, entry: Entry, *, replace: bool) -> None:
        content = entry.content
        if len(content.blobs) > BLOB_ID_BYTES or content.depth:
            large = LargeFile(self.writer, entry, replace)
            self._batch.large.append(large)
            self._request(self._batch.to_write, large.take, entry)
        elif content.blobs:
            write = partial(self._attempt, entry, self.writer.write_small, entry, replace)
            self._batch.to_write.append((content.blobs, write))
        else:
            self.writer.write_small(entry, replace, NOTHING)

    def _request(
        self, requests: list[Request], take: Callable[[int, memoryview], None], entry: Entry
    ) -> None:
        """Ask for every blob of the content. Serves a very large file meanwhile, to keep the list short."""
        ids, offset = self.contents.blob_ids(entry.content), 0
        while some := b"".join(islice(ids, IDS_AT_ONCE)):
            for position, size in enumerate(self.sizes(some)):
                first = position * BLOB_ID_BYTES
                attempt = partial(self._attempt, entry, take, offset)
                requests.append((some[first : first + BLOB_ID_BYTES], attempt))
                offset += size
            if len(requests) >= BATCH:
                self._scatter(requests)
        if offset != content_size(entry):
            raise wrong_length(entry)

    def _scatter(self, requests: list[Request]) -> None:
        self.contents.scatter(requests, call)
        requests.clear()

    def _flush(self) -> None:
        """Everything that came so far, contents before the names that link to them."""
        batch = self._batch
        self._scatter(batch.to_compare)
        for comparison in batch.compared:
            self._attempt(comparison.entry, self._compared, comparison)
        self._scatter(batch.to_write)
        for large in batch.large:
            if large.entry.stat.path in self._failed:
                large.abandon()
            elif not large.complete:
                raise wrong_length(large.entry)
        for entry, in_new in batch.links:
            self._attempt(entry, self._link, entry, in_new)
        for entry in batch.left:
            self._finish_directory(entry)
        self._batch = _Batch()

    def _compared(self, comparison: FileComparison) -> None:
        entry = comparison.entry
        if comparison.different:
            if not self.survey or not self.survey.overwrite:
                raise conflict(entry)
            self._write(entry, replace=True)
            return
        with comparison.opened() as fd:
            self.writer.metadata.apply(Opened(fd), entry)
        self.skipped += 1

    def _link(self, entry: Entry, in_new: bool) -> None:
        assert entry.hardlink is not None
        is_file, standing = entry.stat.kind is EntryKind.FILE, self._standing(entry, in_new)
        if standing is Treatment.KEPT:
            self.skipped += is_file
        elif entry.hardlink in self._failed:
            self._fail(entry, "what it is another name of could not be made")
        elif entry.hardlink in self._unmade:
            self.writer.metadata.warnings.add(entry.stat.path, "what it is another name of could not be made")
        else:
            make_link(self.target, entry.hardlink, entry.stat.path, replace=standing is Treatment.REPLACED)
            self.writer.count(0, int(is_file))

    def _finish_directory(self, entry: Entry) -> None:
        if not self.writer.metadata.privileged and entry.stat.mode & 0o700 != 0o700:
            self._locked.append(entry)  # later hard links may still have to be made from what is in it
        else:
            self._apply(entry)

    def _apply(self, entry: Entry) -> None:
        with self.target.place(entry.stat.path) as (dir_fd, name):
            self.writer.metadata.apply(Named(dir_fd, name), entry)


def conflict(entry: Entry) -> TargetError:
    return TargetError(
        f"{printable(entry.stat.path)} exists in the target and differs from the recovery point.",
        subject=printable(entry.stat.path),
        hint="Restore to an empty directory, or with --overwrite.",
    )
