"""Options of columns that a server keeps for itself, and that no other server takes.

PostgreSQL 15.20 sets `pg_attver` on every column of a user's table. A pg_dump that does not know it writes
`ALTER TABLE ONLY t ALTER COLUMN c SET (pg_attver=…)`, which a server of another release refuses together with the
table. It says nothing of the database: it is left out when the schema is stored, restored and compared.
"""

from __future__ import annotations

import mmap
import os
import re
from typing import IO

from backup_platform.sources.postgres.dump.archive_file import UnknownArchiveError, rewrite_definitions

_OPTIONS = (b"pg_attver",)
_KINDS = frozenset(("TABLE", "FOREIGN TABLE", "MATERIALIZED VIEW", "VIEW"))
_ONE = rb"(?:" + b"|".join(_OPTIONS) + rb")='?[0-9]+'?"
_NAME = rb'(?:"(?:[^"]|"")+"|[^\s".();]+)'  # a quoted one may have line breaks in it
_STATEMENT = re.compile(
    rb"^(ALTER (?:FOREIGN )?TABLE ONLY (?:%(name)s\.)?%(name)s ALTER COLUMN %(name)s SET \()([^()\n]*)\);(?:\n|\Z)"
    % {b"name": _NAME},
    re.MULTILINE,
)
_OWN = re.compile(rb"(?:^|(?<=, ))" + _ONE + rb"(?:, |$)")


def without_bookkeeping(definition: bytes) -> bytes:
    """SQL that pg_dump wrote, without these options; a statement that sets nothing else goes as a whole."""
    if not any(option in definition for option in _OPTIONS):
        return definition
    return _STATEMENT.sub(_reduced, definition)


def _reduced(match: re.Match[bytes]) -> bytes:
    kept = _OWN.sub(b"", match[2]).removesuffix(b", ")
    if kept == match[2]:
        return match[0]
    return match[1] + kept + match[0][match.end(2) - match.start() :] if kept else b""


def strip_archive(file: IO[bytes]) -> None:
    """Rewrite an archive without rows in its place. One of a format that is not known stays as it is."""
    if not _found(file):
        return
    file.seek(0)
    try:
        stripped = rewrite_definitions(file.read(), _rewritten)
    except UnknownArchiveError:
        return
    file.seek(0)
    file.write(stripped)
    file.truncate()


def _found(file: IO[bytes]) -> bool:
    """Definitions are not compressed, so that nothing needs to be held in memory to see that there is none."""
    file.flush()
    if not os.fstat(file.fileno()).st_size:
        return False
    with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        return any(data.find(option) >= 0 for option in _OPTIONS)


def _rewritten(kind: str, definition: bytes) -> bytes:
    return without_bookkeeping(definition) if kind in _KINDS else definition
