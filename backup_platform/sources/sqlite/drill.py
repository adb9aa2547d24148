"""The drill of a SQLite recovery point: the restored file against the stored bytes and the source's facts."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing
from io import BufferedReader
from itertools import islice

from backup_platform.domain.model import Entry, EntryKind, Json, RecoveryPoint
from backup_platform.domain.ports import DrillReport, PointReader, Progress
from backup_platform.domain.time_limit import TimeLimit
from backup_platform.domain.words import at_most
from backup_platform.sources.sqlite.facts import PRAGMAS, read_facts
from backup_platform.sources.sqlite.snapshot import connect

_SINGLE = (
    *PRAGMAS,
    "journal_mode",
    "schema_objects",
    "schema_fingerprint",
    "foreign_key_violations",
    "foreign_key_problem",
    "virtual_tables",
    "uncounted_tables",
)
_MESSAGES = 20
STEPS = 100_000  # of SQLite's machine, between looks at the time
_WAL_FLAG_AT = 18


def drill(
    point: RecoveryPoint, restored: str, reader: PointReader, progress: Progress, limit: TimeLimit
) -> DrillReport:
    """Compare the database below `restored` with the point. A bad file is a difference, never an error.

    Raises `DamageError` when the repository cannot deliver the stored bytes, `TimeLimitError`.
    """
    entries = list(islice(reader.entries(), 2))
    if len(entries) != 1 or entries[0].stat.kind is not EntryKind.FILE:
        return DrillReport({}, ("The inventory does not hold exactly one file.",))
    path = os.path.join(os.fsencode(restored), entries[0].stat.path)
    try:
        with open(path, "rb") as file:
            compared, differences = _compare_bytes(file, entries[0], reader, progress)
    except OSError as error:
        return DrillReport({}, (f"The restored database cannot be read: {error.strerror}.",))
    if not differences:
        compared["bytes_equal"] = True
    compared, differences = _compare_database(point, path, compared, differences, limit)
    limit.check()  # what was ended looks like what cannot be checked
    return DrillReport(compared, tuple(at_most(differences, _MESSAGES, "differences")))


def _compare_bytes(
    file: BufferedReader, entry: Entry, reader: PointReader, progress: Progress
) -> tuple[dict[str, Json], list[str]]:
    """Block by block; says how much differs and where first."""
    at = different = 0
    first: int | None = None
    progress.begin("comparing")
    progress.expect(items=1, size=entry.stat.size)
    for block in reader.read(entry.content):
        progress.advance(size=len(block))
        found = file.read(len(block))
        if found != block:
            different += 1
            first = at + _first_difference(memoryview(block), found) if first is None else first
        at += len(block)
    progress.advance(items=1)
    size = os.fstat(file.fileno()).st_size
    differences = []
    if size != at or at != entry.stat.size:
        differences.append(
            f"The restored file has {size:,} bytes, the stored stream {at:,}, "
            f"the inventory {entry.stat.size:,}."
        )
    if first is not None:
        differences.append(f"{different} blocks differ from the stored ones, the first at byte {first:,}.")
    return {"bytes": at}, differences


def _first_difference(stored: memoryview, found: bytes) -> int:
    pairs = zip(stored.cast("B"), found, strict=False)
    return next((i for i, (a, b) in enumerate(pairs) if a != b), len(found))


def _compare_database(
    point: RecoveryPoint, path: bytes, compared: dict[str, Json], differences: list[str], limit: TimeLimit
) -> tuple[dict[str, Json], list[str]]:
    stored_intact = not differences
    try:
        # immutable: no lock, no -wal, no -shm; what was restored stays as it is
        with closing(connect(os.fsdecode(path), "mode=ro&immutable=1")) as connection:
            connection.set_progress_handler(lambda: limit.passed, STEPS)
            facts = read_facts(connection) | {"journal_mode": _journal_mode(path)}
            damage, unchecked = _integrity(connection)
    except sqlite3.Error as error:
        return compared, [
            *differences,
            _blame(f"The restored database cannot be read: {error}.", stored_intact),
        ]
    differences = differences + [_blame(f"integrity_check: {line}", stored_intact) for line in damage]
    differences += _compare_facts(point.facts, facts)
    rows = facts["row_counts"]
    assert isinstance(rows, dict)
    compared |= {
        "tables": len(rows),
        "rows": sum(n for n in rows.values() if isinstance(n, int)),
        "facts": len(_SINGLE) + 1,
        "integrity_check": "failed" if damage else "ok",
        "integrity_unchecked_tables": list[Json](unchecked),
        "foreign_key_violations": facts["foreign_key_violations"],
    }
    return compared, differences


def _blame(text: str, stored_intact: bool) -> str:
    """Where the file is what was captured, the damage is older than the capture."""
    if not stored_intact:
        return text
    return f"{text} The bytes are those that were captured: the source was damaged already."


def _journal_mode(path: bytes) -> str:
    with open(path, "rb") as file:
        header = file.read(_WAL_FLAG_AT + 1)
    return "wal" if header[_WAL_FLAG_AT:] == b"\x02" else "delete"


def _integrity(connection: sqlite3.Connection) -> tuple[list[str], list[str]]:
    """What SQLite finds wrong, and the tables that only the application's own code could check.

    An order by a collation, or an index by a function, that the application defines cannot be checked without
    it. The rest of the database still is, table by table.
    """
    try:
        return _check(connection, f"PRAGMA integrity_check({_MESSAGES})"), []
    except sqlite3.OperationalError:
        pass
    damage: list[str] = []
    unchecked: list[str] = []
    names = connection.execute(
        "SELECT CAST(name AS TEXT) FROM sqlite_master WHERE type = 'table' AND rootpage ORDER BY name"
    )
    for (name,) in names.fetchall():
        quoted = name.replace("'", "''")
        try:
            damage += _check(connection, f"PRAGMA integrity_check('{quoted}')")
        except sqlite3.OperationalError:
            unchecked.append(name)
    return damage, unchecked


def _check(connection: sqlite3.Connection, pragma: str) -> list[str]:
    lines = [str(line) for (line,) in connection.execute(pragma)]
    return [] if lines == ["ok"] else lines


def _compare_facts(source: Mapping[str, Json], restored: Mapping[str, Json]) -> Iterator[str]:
    for name in _SINGLE:
        if source.get(name) != restored.get(name):
            yield f"{name}: {source.get(name)!r} in the source, {restored.get(name)!r} restored."
    before, after = source.get("row_counts"), restored.get("row_counts")
    if not isinstance(before, dict) or not isinstance(after, dict):
        yield "The recovery point has no row counts."
        return
    for table in sorted(before.keys() | after.keys()):
        if before.get(table) != after.get(table):
            yield f"Table {table!r}: {before.get(table)} rows in the source, {after.get(table)} restored."
