"""The private copy of a snapshot, from which the repository is written."""

from __future__ import annotations

import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from io import FileIO

from backup_platform.domain.ports import Buffer
from backup_platform.errors import SourceError
from backup_platform.sources.sqlite.facts import result_code
from backup_platform.temporary import PrivateDirectory

BLOCK = 1024 * 1024
_STEP = 16 * 1024 * 1024
_SCHEMA_COOKIE_AT = 40
_COPIED = ("page_size", "page_count", "schema_version")


def scratch_home(scratch_dir: str | None) -> str:
    """The directory for copies: the given one, else $TMPDIR or the system's."""
    return scratch_dir or tempfile.gettempdir()


def require_space(home: str, size: int, path: str) -> None:
    """Raises `SourceError` when `size` bytes do not fit below `home`."""
    try:
        free = shutil.disk_usage(home).free
    except OSError as error:
        raise _unusable(home, error) from error
    if free < size:
        raise no_space(home, path, f"{size:,} bytes are needed and {free:,} are free")


def copy_pages(connection: sqlite3.Connection, *, home: str, path: str) -> FileIO:
    """The pages of the connection's snapshot in a file without a name, open for reading from its start.

    SQLite's online backup reads through the connection's open read transaction, so that the copy shows the
    very snapshot that the facts were read from. Two counters in the first page are the copy's own, and the
    same each time: a database that did not change gives the same bytes. The schema's version, which the
    backup raises, is set back to the source's.

    Raises `SourceError` when the scratch directory fails, `sqlite3.Error` when the source does.
    """
    page_size, page_count, schema_version = (
        int(connection.execute(f"PRAGMA {name}").fetchone()[0]) for name in _COPIED
    )
    descriptor, name = _create(home)
    file = os.fdopen(descriptor, "r+b", buffering=0)
    try:
        with closing(_unnamed(name)) as target:
            if page_count:  # SQLite would make a page of none
                _backup(connection, target, pages=max(1, _STEP // page_size))
        if page_count:
            os.pwrite(descriptor, schema_version.to_bytes(4, "big"), _SCHEMA_COOKIE_AT)
    except sqlite3.Error as error:
        file.close()
        if result_code(error) in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_WRITE):
            raise no_space(home, path, f"it filled up, or failed, during the copy ({error})") from error
        raise
    return file


def _unnamed(name: str) -> sqlite3.Connection:
    """A connection to the file, whose name is removed: nothing is left behind, even by a kill."""
    try:
        return sqlite3.connect(name, isolation_level=None)
    finally:
        os.unlink(name)


def _backup(source: sqlite3.Connection, target: sqlite3.Connection, *, pages: int) -> None:
    for pragma in ("journal_mode = OFF", "synchronous = OFF", "locking_mode = EXCLUSIVE"):
        target.execute(f"PRAGMA {pragma}")
    # sleep=0: nobody else has a lock that this could wait for
    source.backup(target, pages=pages, sleep=0)


def blocks(file: FileIO) -> Iterator[Buffer]:
    """The file's bytes from its start."""
    file.seek(0)
    while block := file.read(BLOCK):
        yield block


@contextmanager
def scratch_directory(home: str) -> Iterator[str]:
    """A private directory below `home`, removed with all that it holds."""
    try:
        directory = PrivateDirectory("copy", home)
    except OSError as error:
        raise _unusable(home, error) from error
    with directory as path:
        yield path


def _create(home: str) -> tuple[int, str]:
    try:
        return tempfile.mkstemp(prefix="backup-", suffix=".sqlite", dir=home)
    except OSError as error:
        raise _unusable(home, error) from error


def _unusable(home: str, error: OSError) -> SourceError:
    return SourceError(
        f"The scratch directory {home!r} cannot be used: {error.strerror}.",
        subject=home,
        hint="Create it, or set TMPDIR to a writable directory.",
    )


def no_space(home: str, path: str, detail: str) -> SourceError:
    return SourceError(
        f"The scratch directory {home!r} has no room for a copy of {path!r}: {detail}.",
        subject=home,
        hint="Free some space there, or set TMPDIR to a directory on a larger disk.",
    )
