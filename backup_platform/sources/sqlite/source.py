"""Capture of one SQLite database."""

from __future__ import annotations

import os
import sqlite3
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from io import FileIO

from backup_platform.domain.model import Capture, Entry, EntryKind, Json, RecoveryPoint, Stat
from backup_platform.domain.ports import Buffer, Clock, DrillReport, PointReader, Progress, Recorder, Sandbox
from backup_platform.errors import SourceError
from backup_platform.filesystem.identity import identities
from backup_platform.filesystem.owners import group_name, user_name
from backup_platform.sources.places import readable, refuse_inside
from backup_platform.sources.sqlite.chunking import page_chunks
from backup_platform.sources.sqlite.drill import drill
from backup_platform.sources.sqlite.facts import journal_mode, read_facts
from backup_platform.sources.sqlite.failures import not_a_database, sqlite_errors
from backup_platform.sources.sqlite.scratch import blocks, copy_pages, require_space, scratch_home
from backup_platform.sources.sqlite.snapshot import Opening, SqliteSnapshot


@dataclass(frozen=True)
class SqliteSource:
    """The database at `path`, stored as one file of whole pages without its journal.

    A missing file is an error. A file of zero bytes is what SQLite makes of a database before its first
    table: it is captured as that, with no pages and no tables.

    Facts come from the source, inside the snapshot that is copied.

    A database whose main file has the stat that the previous recovery point holds, and whose write-ahead
    log is absent or empty, is not copied again: every commit writes to one of the two, and while the
    snapshot is open nothing in an empty log can reach the main file. Its facts are read anew all the same,
    so that a drill would show it if the stored copy were not this state.

    SQLite may create empty -wal and -shm files beside a database in WAL mode to read it, and leave them
    there.
    """

    name: str
    path: str
    lock_timeout: float
    clock: Clock
    scratch_dir: str | None = None
    repositories: tuple[str, ...] = ()  # directories that it must not be in

    @property
    def kind(self) -> str:
        return "sqlite"

    def probe(self) -> str:
        """Raises SourceMissingError, SourceError."""
        return readable(self.path)

    def capture(self, recorder: Recorder, progress: Progress) -> Capture:
        """Raises `SourceMissingError`, `SourceBusyError`, `SourceFormatError`, or another `SourceError`."""
        refuse_inside(self.path, identities(self.repositories))
        opening = Opening(self.path, self.lock_timeout, self.clock, self.scratch_dir)
        with opening.snapshot(progress) as snapshot:
            with sqlite_errors(self.path, self.lock_timeout):
                facts = read_facts(snapshot.connection)
                facts["journal_mode"] = journal_mode(snapshot.connection)
            row = self._row(snapshot, _size(facts))
            if row.size == 0 < snapshot.stat.st_size:  # SQLite takes a file of one byte for an empty one
                raise not_a_database(self.path)
            progress.expect(items=1, size=row.size)
            reused = snapshot.reusable and recorder.reuse([row])[0]
            copy = None if reused else self._copy(snapshot.connection, row.size)
        if copy is None:
            recorder.record([row])
            progress.advance(items=1, size=row.size)
        else:
            self._store(copy, row, recorder, progress)
        return Capture(snapshot.captured_at, facts, versions={"sqlite": sqlite3.sqlite_version})

    def drill(
        self, point: RecoveryPoint, reader: PointReader, sandbox: Sandbox, progress: Progress
    ) -> DrillReport:
        return drill(point, sandbox.unpack(), reader, progress, sandbox.limit)

    def _row(self, snapshot: SqliteSnapshot, size: int) -> Stat:
        found = snapshot.stat
        row = Stat(
            path=os.fsencode(os.path.basename(self.path)),
            kind=EntryKind.FILE,
            mode=stat.S_IMODE(found.st_mode),
            uid=found.st_uid,
            gid=found.st_gid,
            size=size,
            mtime_ns=found.st_mtime_ns,
            ctime_ns=found.st_ctime_ns,
            inode=found.st_ino,
            device=found.st_dev,
            nlink=1,
            rdev=0,
        )
        # A stat of zeros is never equal to a file's: it does not describe content that was partly in a log.
        return row if snapshot.reusable else row._replace(ctime_ns=0, inode=0)

    def _copy(self, connection: sqlite3.Connection, size: int) -> FileIO:
        home = scratch_home(self.scratch_dir)
        require_space(home, size, self.path)
        with sqlite_errors(self.path, self.lock_timeout):
            copy = copy_pages(connection, home=home, path=self.path)
        found = os.fstat(copy.fileno()).st_size
        if found != size:
            copy.close()
            raise SourceError(
                f"The copy of {self.path!r} has {found:,} bytes, its snapshot {size:,}.",
                subject=self.path,
                retryable=True,
            )
        return copy

    def _store(self, copy: FileIO, row: Stat, recorder: Recorder, progress: Progress) -> None:
        with copy:
            stream = recorder.stream(_told(blocks(copy), progress), page_chunks(row.size))
        recorder.record(
            [Entry(row, user=user_name(row.uid), group=group_name(row.gid), content=stream.content)]
        )
        progress.advance(items=1)


def _size(facts: dict[str, Json]) -> int:
    size, count = facts["page_size"], facts["page_count"]
    assert isinstance(size, int)
    assert isinstance(count, int)
    return size * count


def _told(blocks: Iterable[Buffer], progress: Progress) -> Iterator[Buffer]:
    for block in blocks:
        yield block
        progress.advance(size=len(block))
