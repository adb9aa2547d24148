"""A read snapshot of a database that others may be writing to.

The database is opened read-only. One read transaction holds the snapshot from the first fact to the last copied page.
In WAL mode, writers continue meanwhile. In rollback-journal mode they can prepare a transaction, but commit only when
the snapshot is closed: there, writers wait while facts are read and pages are copied. If the lock were released between
steps, writers could commit, and each commit would restart the copy. Then a busy database would never be copied.
"""

from __future__ import annotations

import errno
import os
import shutil
import sqlite3
import stat
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import quote

from backup_platform.domain.ports import Clock, Progress
from backup_platform.errors import SourceBusyError, SourceError, SourceFormatError, SourceMissingError
from backup_platform.sources.sqlite.facts import primary_code
from backup_platform.sources.sqlite.failures import BUSY, sqlite_errors
from backup_platform.sources.sqlite.scratch import no_space, require_space, scratch_directory, scratch_home

SETTLED_AGE_NS = 2_000_000_000  # the coarsest time stamps of common file systems
DAY_NS = 86_400_000_000_000
JOURNAL_MAGIC = bytes.fromhex("d9d505f920a163d7")
POLL_S = 0.003
_COMPANIONS = ("-wal", "-journal")
_Identity = tuple[int, int, int, int, int]
_State = dict[str, _Identity]


@dataclass(frozen=True, slots=True)
class SqliteSnapshot:
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
    def snapshot(self, progress: Progress) -> Iterator[SqliteSnapshot]:
        """Raises `SourceError`. The snapshot ends with the block."""
        before, seen = require_file(self.path), _state(os.path.realpath(self.path))
        with ExitStack() as stack:
            snapshot = None
            if self._abandoned(seen):
                with suppress(SourceBusyError):
                    snapshot = stack.enter_context(self._settled(progress, seen))
            yield snapshot or self._opened(stack, progress, before, seen)

    def _opened(
        self, stack: ExitStack, progress: Progress, before: os.stat_result, seen: _State
    ) -> SqliteSnapshot:
        connection = self._in_place()
        if connection is None:
            return stack.enter_context(self._settled(progress, seen))
        return self._described(stack.enter_context(closing(connection)), before)

    def _abandoned(self, seen: _State) -> bool:
        """Is there a journal of an unfinished transaction that nobody has written to lately?

        SQLite is not asked: as root it gives such a journal to the owner of the database before it finds that it
        must not roll back.
        """
        if "-journal" not in seen or not self._quiet(seen):
            return False
        try:
            with open(os.path.realpath(self.path) + "-journal", "rb") as journal:
                return journal.read(len(JOURNAL_MAGIC)) == JOURNAL_MAGIC
        except OSError:
            return False

    def _quiet(self, seen: _State) -> bool:
        """No time is recent. One that is far ahead was set by hand, and the next write sets another."""
        now_ns = int(self.clock.now().timestamp() * 1e9)
        recent = range(now_ns - SETTLED_AGE_NS, now_ns + DAY_NS)
        return "" in seen and not any(t in recent for identity in seen.values() for t in identity[3:])

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

    def _described(self, connection: sqlite3.Connection, before: os.stat_result) -> SqliteSnapshot:
        captured_at = self.clock.now()
        wal_empty = _size(os.path.realpath(self.path) + "-wal") == 0
        now = require_file(self.path)
        if (now.st_dev, now.st_ino) != (before.st_dev, before.st_ino):
            raise SourceBusyError(
                f"The SQLite database {self.path!r} was replaced while it was being opened.",
                subject=self.path,
            )
        return SqliteSnapshot(connection, now, captured_at, reusable=wal_empty)

    @contextmanager
    def _settled(self, progress: Progress, seen: _State) -> Iterator[SqliteSnapshot]:
        """The snapshot of a private copy, for a database that a reader cannot open where it lies.

        That is one left with an unfinished transaction by a crash, which must be rolled back by writing, or
        one in WAL mode in a directory where the shared-memory file cannot be created. No lock protects the
        copying, so that it counts only if none of the files was changed since shortly before it began. `seen`
        is from before SQLite tried: its attempt alone can change when a journal's owner was last set.
        """
        progress.note(f"{self.path!r} cannot be read in place; copying it with its journal")
        with scratch_directory(scratch_home(self.scratch_dir)) as home:
            path, main = self._copy_settled(home, seen)
            with sqlite_errors(self.path, self.lock_timeout):
                connection = self._begin(path, "rw")
            with closing(connection):
                yield SqliteSnapshot(connection, main, self.clock.now(), reusable=False)

    def _copy_settled(self, home: str, seen: _State) -> tuple[str, os.stat_result]:
        source, copy = os.path.realpath(self.path), os.path.join(home, "database")
        before, main = _state(source), require_file(source)
        if not self._quiet(seen) or _written(before) != _written(seen):
            raise self._unsettled()
        require_space(home, sum(identity[2] for identity in before.values()), self.path)
        for suffix in before:
            self._copy_file(source + suffix, copy + suffix)
        if _state(source) != before:
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
                subject=source,
                hint="Check that this user may read the database and the -wal or -journal file beside it.",
            ) from error

    def _unsettled(self) -> SourceBusyError:
        return SourceBusyError(
            f"The SQLite database {self.path!r} can only be copied while nobody writes to it, but another process did.",
            subject=self.path,
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
        raise SourceMissingError(
            f"There is no file {path!r}.", subject=path, hint="Check the path in the plan."
        ) from error
    except OSError as error:
        raise SourceError(f"The file {path!r} cannot be reached: {error.strerror}.", subject=path) from error
    if not stat.S_ISREG(found.st_mode):
        raise SourceFormatError(
            f"{path!r} is not a regular file.", subject=path, hint="A SQLite source names the database file."
        )
    return found


def _state(source: str) -> _State:
    found = {suffix: _identity(source + suffix) for suffix in ("", *_COMPANIONS)}
    return {suffix: identity for suffix, identity in found.items() if identity is not None}


def _written(state: _State) -> _State:
    """Without what SQLite changes by opening a journal."""
    return {suffix: (*found[:4], 0) if suffix else found for suffix, found in state.items()}


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
