"""SQLite's result codes as the project's errors."""

from __future__ import annotations

import math
import os
import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from backup_platform.advice import shell
from backup_platform.errors import SourceBusyError, SourceError, SourceFormatError, bounded
from backup_platform.sources.sqlite.facts import primary_code

BUSY = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL}
_REFUSED = {sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM, sqlite3.SQLITE_AUTH, sqlite3.SQLITE_READONLY}
_ARCHIVES = (
    b"\x1f\x8b",
    b"PK\x03\x04",
    b"\x28\xb5\x2f\xfd",
    b"\xfd7zXZ",
    b"BZh",
    b"7z\xbc\xaf",
    b"age-encryption",
)
_SAMPLE = 4096
_RANDOM_BITS = 7.2  # per byte; 512 random bytes have 7.6, text and machine code below 6.5


@contextmanager
def sqlite_errors(path: str, lock_timeout: float) -> Iterator[None]:
    """Raise what SQLite reports inside the block as a `SourceError` about the database at `path`."""
    try:
        yield
    except sqlite3.Error as error:
        found = as_source_error(error, path, lock_timeout)
        found.subject, found.said = path, bounded(str(error))
        raise found from error


def as_source_error(error: sqlite3.Error, path: str, lock_timeout: float) -> SourceError:
    code = primary_code(error)
    if code in BUSY:
        return SourceBusyError(
            f"The SQLite database {path!r} was locked by another process for longer than {lock_timeout:g} s.",
            hint="Raise the source's lock_timeout, or choose a time when no long transaction runs.",
        )
    if code == sqlite3.SQLITE_NOTADB:
        return not_a_database(path)
    if code == sqlite3.SQLITE_CORRUPT:
        return SourceFormatError(
            f"The SQLite database {path!r} is damaged: {error}.",
            hint=(
                "Restore it from a recovery point, or salvage what is left with ",
                shell("sqlite3", "FILE", ".recover"),
                ".",
            ),
        )
    if code in _REFUSED:
        return SourceError(
            f"The SQLite database {path!r} cannot be opened: {error}.",
            hint="Check that this user may read the file and search its directory.",
        )
    if code == sqlite3.SQLITE_IOERR:
        return SourceError(f"Reading the SQLite database {path!r} failed: {error}.", hint="Check its disk.")
    return SourceError(f"SQLite failed on the database {path!r}: {error}.")


def not_a_database(path: str) -> SourceFormatError:
    """Tell an encrypted database from any other file. Reads the file, so no lock may be held on it here.

    (Closing any descriptor of a file drops this process's POSIX locks on it, SQLite's among them.)
    """
    if looks_encrypted(path):
        return SourceFormatError(
            f"The file {path!r} is probably an encrypted SQLite database: it looks like random bytes.",
            hint="SQLCipher and the like cannot be read here; export it decrypted, or use a `files` source.",
        )
    return SourceFormatError(
        f"The file {path!r} is not a SQLite database: it does not begin with SQLite's header.",
        hint="Check the path in the plan, or use a `files` source.",
    )


def looks_encrypted(path: str) -> bool:
    """Whole pages of bytes without any pattern, and no archive's signature."""
    try:
        with open(path, "rb", buffering=0) as file:
            sample, size = file.read(_SAMPLE), os.fstat(file.fileno()).st_size
    except OSError:
        return False
    if size < 512 or size % 512 or sample.startswith(_ARCHIVES):
        return False
    return _bits_per_byte(sample) > _RANDOM_BITS


def _bits_per_byte(sample: bytes) -> float:
    total = len(sample)
    return -sum(n / total * math.log2(n / total) for n in Counter(sample).values())
