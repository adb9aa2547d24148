"""What a database says about itself. The same function reads the source's snapshot and the restored file."""

from __future__ import annotations

import hashlib
import json
import re
import sqlite3
from collections.abc import Iterable

from backup_platform.domain.model import Json

PRAGMAS = (
    "page_size",
    "page_count",
    "freelist_count",
    "user_version",
    "application_id",
    "schema_version",
    "auto_vacuum",
    "encoding",
)
SCHEMA_TEXT_LIMIT = 512 * 1024

_SCHEMA = """
SELECT CAST(type AS TEXT), CAST(name AS TEXT), CAST(tbl_name AS TEXT), CAST(sql AS TEXT)
FROM sqlite_master ORDER BY 1, 2, 3
"""
_MISSING_COLLATION = re.compile(r"no such collation sequence: (.+)", re.DOTALL)
_BROKEN = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_IOERR}
_BLOCKED = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_INTERRUPT, sqlite3.SQLITE_NOMEM}


def result_code(error: sqlite3.Error) -> int:
    """SQLite's extended result code; SQLITE_ERROR for errors that Python's module raised by itself."""
    code: int = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)
    return code


def primary_code(error: sqlite3.Error) -> int:
    return result_code(error) & 0xFF


def read_facts(connection: sqlite3.Connection) -> dict[str, Json]:
    """Every fact, read within the transaction that the connection is in. Raises `sqlite3.Error`."""
    connection.text_factory = _text
    connection.execute("PRAGMA cache_size = -16384")  # foreign keys look up parents in no order
    facts: dict[str, Json] = {name: _pragma(connection, name) for name in PRAGMAS}
    schema = _schema(connection)
    facts["schema_fingerprint"] = fingerprint(schema)
    facts["schema"] = _bounded(schema)
    facts["schema_objects"] = len(schema)
    return facts | _tables(connection) | foreign_keys(connection)


def journal_mode(connection: sqlite3.Connection) -> str:
    """The mode that the file itself prescribes: WAL, or a rollback journal of any kind ("delete")."""
    return "wal" if _pragma(connection, "journal_mode") == "wal" else "delete"


def fingerprint(schema: Iterable[dict[str, Json]]) -> str:
    """SHA-256 of the schema's sorted rows, without root pages: VACUUM moves them and changes no meaning."""
    text = json.dumps(list(schema), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode("ascii")).hexdigest()


def foreign_keys(connection: sqlite3.Connection) -> dict[str, Json]:
    """How many rows break a foreign key.

    SQLite enforces foreign keys only where the application asks for it, so that a sound database may hold
    violations. A drill therefore compares counts and does not demand none. Where the keys cannot be checked
    (a parent without a unique index), SQLite's reason takes the place of the count.
    """
    try:
        violations = sum(1 for _ in connection.execute("PRAGMA foreign_key_check"))
    except sqlite3.OperationalError as error:
        _reraise_if_broken(error)
        return {"foreign_key_violations": None, "foreign_key_problem": str(error)}
    return {"foreign_key_violations": violations, "foreign_key_problem": ""}


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "backslashreplace")


def _pragma(connection: sqlite3.Connection, name: str) -> Json:
    value: Json = connection.execute(f"PRAGMA {name}").fetchone()[0]
    return value


def _schema(connection: sqlite3.Connection) -> list[dict[str, Json]]:
    rows = connection.execute(_SCHEMA)
    return [{"type": kind, "name": name, "table": table, "sql": sql} for kind, name, table, sql in rows]


def _bounded(schema: list[dict[str, Json]]) -> list[Json]:
    kept: list[Json] = []
    room = SCHEMA_TEXT_LIMIT
    for row in schema:
        room -= sum(len(str(value)) for value in row.values())
        if room < 0:
            break
        kept.append(row)
    return kept


def _tables(connection: sqlite3.Connection) -> dict[str, Json]:
    """Rows per table. Virtual tables keep their rows in shadow tables, which are counted like any other."""
    rows = connection.execute(
        "SELECT CAST(name AS TEXT), rootpage FROM sqlite_master WHERE type = 'table' ORDER BY name"
    ).fetchall()
    counts: dict[str, Json] = {}
    uncounted: dict[str, Json] = {}
    for name in [name for name, root in rows if root]:
        try:
            counts[name] = _count(connection, name)
        except (sqlite3.OperationalError, sqlite3.ProgrammingError) as error:
            _reraise_if_broken(error)
            uncounted[name] = str(error)
    virtual = [name for name, root in rows if not root]
    own = ("sqlite_", *(f"{name}_" for name in virtual))
    return {
        "row_counts": counts,
        "uncounted_tables": uncounted,
        "virtual_tables": list[Json](virtual),
        "internal_tables": [name for name in counts if name.startswith(own)],
    }


def _count(connection: sqlite3.Connection, table: str) -> int:
    """Rows of a table, whatever collations of the application order it: counting compares nothing."""
    quoted = table.replace('"', '""')
    stand_ins: list[str] = []
    try:
        while True:
            try:
                return int(connection.execute(f'SELECT count(*) FROM "{quoted}"').fetchone()[0])  # noqa: S608
            except sqlite3.OperationalError as error:
                stand_ins.append(_stand_in(connection, error))
    finally:
        for name in stand_ins:  # an integrity check would take a stand-in for the true order
            connection.create_collation(name, None)


def _stand_in(connection: sqlite3.Connection, error: sqlite3.OperationalError) -> str:
    missing = _MISSING_COLLATION.fullmatch(str(error))
    if missing is None:
        raise error
    connection.create_collation(missing[1], lambda a, b: (a > b) - (a < b))
    return missing[1]


def _reraise_if_broken(error: sqlite3.Error) -> None:
    if primary_code(error) in _BROKEN | _BLOCKED:
        raise error
