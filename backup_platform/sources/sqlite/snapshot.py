"""A read snapshot of a database that others may be writing to.

The database is opened read-only, and one read transaction holds the snapshot from the first fact to the
last copied page. In WAL mode writers go on meanwhile. In rollback-journal mode they can prepare a
transaction but commit only when the snapshot is closed: consistency costs that there, for the time of
reading facts and copying pages. Giving the lock back between steps would let writers in, and each commit
would start the copy anew, so that a busy database would never be copied.
"""

from __future__ import annotations

import errno
import os
import shutil
import sqlite3
import stat
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import quote

from backup_platform.domain.ports import Clock, Progress
from backup_platform.errors import SourceBusyError, SourceError, SourceFormatError, SourceMissingError
from backup_platform.sources.sqlite.facts import primary_code
from backup_platform.sources.sqlite.failures import BUSY, sqlite_errors
from backup_platform.sources.sqlite.scratch import no_space, require_space, scratch_directory, scratch_home

SETTLED_AGE_S = 2.0  # the coarsest time stamps of common file systems
POLL_S = 0.003
_COMPANIONS = ("-wal", "-journal")
_Identity = tuple[int, int, int, int, int]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A read transaction, and the stat of the main file.

    `reusable`: all of the content is in the main file, so that an equal stat means an equal content.
    """

    connection: sqlite3.Connection
    stat: os.stat_result
    captured_at: datetime
    reusable: bool


@dataclass(frozen=True, slots=True)
class Opening:
    """How to open a database: its path, the longest wait for a lock (seconds), the place for copies."""

    path: str
    lock_timeout: float
    clock: Clock
    scratch_dir: str | None = None

    @contextmanager
    def snapshot(self, progress: Progress) -> Iterator[Snapshot]:
        """Raises `SourceError`. The snapshot ends with the block."""
        before = require_file(self.path)
        connection = self._in_place()
        if connection is None:
            with self._settled(progress) as snapshot:
                yield snapshot
        else:
            with closing(connection):
                yield self._described(connection, before)

    def _in_place(self) -> sqlite3.Connection | None:
        """None where SQLite would have to write before it could read."""
        with sqlite_errors(self.path, self.lock_timeout):
            try:
                return self._begin(self.path, "ro")
            except sqlite3.OperationalError as error:
                blocked = primary_code(error) in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY)
                if not blocked or not os.access(self.path, os.R_OK):
                    raise
        return None

    def _begin(self, path: str, mode: str) -> sqlite3.Connection:
        connection = connect(path, f"mode={mode}")
        try:
            connection.execute("BEGIN")
            self._first_read(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _first_read(self, connection: sqlite3.Connection) -> None:
        """Take the snapshot, which BEGIN alone does not.

        SQLite's own waiting backs off to 100 ms between attempts, and so rarely meets the gaps that a busy
        writer leaves.
        """
        deadline = self.clock.monotonic() + self.lock_timeout
        while True:
            try:
                connection.execute("SELECT 1 FROM sqlite_master").fetchone()
            except sqlite3.OperationalError as error:
                if primary_code(error) not in BUSY or self.clock.monotonic() >= deadline:
                    raise
                time.sleep(POLL_S)
            else:
                return

    def _described(self, connection: sqlite3.Connection, before: os.stat_result) -> Snapshot:
        captured_at = self.clock.now()
        wal_empty = _size(os.path.realpath(self.path) + "-wal") == 0
        now = require_file(self.path)
        if (now.st_dev, now.st_ino) != (before.st_dev, before.st_ino):
            raise SourceBusyError(
                f"The SQLite database {self.path!r} was replaced while it was being opened."
            )
        return Snapshot(connection, now, captured_at, reusable=wal_empty)

    @contextmanager
    def _settled(self, progress: Progress) -> Iterator[Snapshot]:
        """The snapshot of a private copy, for a database that a reader cannot open where it lies.

        That is one left with an unfinished transaction by a crash, which must be rolled back by writing, or
        one in WAL mode in a directory where the shared-memory file cannot be created. No lock protects the
        copying, so that it counts only if none of the files was changed since shortly before it began.
        """
        progress.note(f"{self.path!r} cannot be read in place; copying it with its journal")
        with scratch_directory(scratch_home(self.scratch_dir)) as home:
            path, main = self._copy_settled(home)
            with sqlite_errors(self.path, self.lock_timeout):
                connection = self._begin(path, "rw")
            with closing(connection):
                yield Snapshot(connection, main, self.clock.now(), reusable=False)

    def _copy_settled(self, home: str) -> tuple[str, os.stat_result]:
        source, copy = os.path.realpath(self.path), os.path.join(home, "database")
        before, main = self._state(source), require_file(source)
        require_space(home, sum(identity[2] for identity in before.values()), self.path)
        for suffix in before:
            self._copy_file(source + suffix, copy + suffix)
        if self._state(source) != before:
            raise self._unsettled()
        return copy, main

    def _copy_file(self, source: str, copy: str) -> None:
        try:
            shutil.copyfile(source, copy)
        except FileNotFoundError as error:
            raise self._unsettled() from error
        except OSError as error:
            if error.errno == errno.ENOSPC:
                raise no_space(os.path.dirname(copy), self.path, "it filled up during the copy") from error
            raise SourceError(
                f"{source!r} of the SQLite database cannot be copied: {error.strerror}.",
                hint="Check that this user may read the database and the -wal or -journal file beside it.",
            ) from error

    def _state(self, source: str) -> dict[str, _Identity]:
        found = {suffix: _identity(source + suffix) for suffix in ("", *_COMPANIONS)}
        state = {suffix: identity for suffix, identity in found.items() if identity is not None}
        newest_ns = max(max(identity[3:]) for identity in state.values()) if state else 0
        if "" not in state or newest_ns / 1e9 > self.clock.now().timestamp() - SETTLED_AGE_S:
            raise self._unsettled()
        return state

    def _unsettled(self) -> SourceBusyError:
        return SourceBusyError(
            f"The SQLite database {self.path!r} can be copied only while nobody writes to it: somebody did.",
            hint="Let this user write to its directory (WAL mode needs a -shm file), "
            "or let the application open the database once (it recovers from a crash then).",
        )


def connect(path: str, parameters: str) -> sqlite3.Connection:
    """A connection without implicit transactions, which never changes the data."""
    uri = f"file://{quote(os.fsencode(os.path.realpath(path)))}?{parameters}"
    connection = sqlite3.connect(uri, uri=True, timeout=0, isolation_level=None)
    for pragma in ("query_only = ON", "trusted_schema = OFF", "cell_size_check = ON"):
        connection.execute(f"PRAGMA {pragma}")
    return connection


def require_file(path: str) -> os.stat_result:
    try:
        found = os.stat(path)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise SourceMissingError(f"There is no file {path!r}.", hint="Check the path in the plan.") from error
    except OSError as error:
        raise SourceError(f"The file {path!r} cannot be reached: {error.strerror}.") from error
    if not stat.S_ISREG(found.st_mode):
        raise SourceFormatError(
            f"{path!r} is not a regular file.", hint="A SQLite source names the database file."
        )
    return found


def _identity(path: str) -> _Identity | None:
    try:
        found = os.stat(path)
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def _size(path: str) -> int:
    try:
        return os.stat(path).st_size
    except FileNotFoundError:
        return 0
