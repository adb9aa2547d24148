"""A repository in memory, and databases and processes to test the SQLite source with."""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from backup_platform.domain.model import (
    Capture,
    Content,
    Entry,
    RecoveryPoint,
    Stat,
    Stats,
    StreamRef,
    Window,
)
from backup_platform.domain.ports import Buffer, Chunking
from backup_platform.sources.sqlite.source import SqliteSource
from backup_platform_tests.sources.memory_reader import MemoryReader


@dataclass(frozen=True)
class TestClock:
    """The real time, moved."""

    __test__ = False
    ahead: timedelta = timedelta()

    def now(self) -> datetime:
        return datetime.now(UTC) + self.ahead

    def monotonic(self) -> float:
        return time.monotonic()


@dataclass
class CountingProgress:
    expected: dict[str, int] = field(default_factory=lambda: {"items": 0, "size": 0})
    done: dict[str, int] = field(default_factory=lambda: {"items": 0, "size": 0})
    notes: list[str] = field(default_factory=list)

    def begin(self, doing: str, unit: str = "file") -> None: ...

    def expect(self, *, items: int = 0, size: int = 0) -> None:
        self.expected["items"] += items
        self.expected["size"] += size

    def advance(self, *, items: int = 0, size: int = 0) -> None:
        self.done["items"] += items
        self.done["size"] += size

    def note(self, text: str) -> None:
        self.notes.append(text)


@dataclass
class MemoryRepository(MemoryReader):
    """Recorder and reader in one; `begin` starts the next recovery point."""

    blobs: dict[bytes, bytes] = field(default_factory=dict)
    previous: dict[bytes, Entry] = field(default_factory=dict)
    rows: list[Entry] = field(default_factory=list)
    new_bytes: int = 0
    allowed: set[bytes] = field(default_factory=set)

    @property
    def held(self) -> tuple[Sequence[Entry], Mapping[bytes, bytes]]:
        return self.rows, self.blobs

    def begin(self) -> MemoryRepository:
        self.previous = {row.stat.path: row for row in self.rows}
        self.rows, self.new_bytes = [], 0
        return self

    def reuse(self, stats: Sequence[Stat]) -> Sequence[bool]:
        self.allowed = {stat.path for stat in stats if self._unchanged(stat)}
        return [stat.path in self.allowed for stat in stats]

    def _unchanged(self, stat: Stat) -> bool:
        old = self.previous.get(stat.path)
        return old is not None and _compared(old.stat) == _compared(stat)

    def record(self, batch: Sequence[Entry | Stat]) -> None:
        for row in batch:
            if not isinstance(row, Entry):
                assert row.path in self.allowed
            self.rows.append(row if isinstance(row, Entry) else self.previous[row.path])

    def blob(self, data: Buffer) -> bytes:
        plain = bytes(data)
        name = hashlib.sha256(plain).digest()
        if name not in self.blobs:
            self.blobs[name] = plain
            self.new_bytes += len(plain)
        return name

    def stream(self, blocks: Iterable[Buffer], chunking: Chunking | None = None) -> StreamRef:
        assert chunking is not None
        names = [self.blob(chunk) for chunk in chunking.cut(blocks)]
        return StreamRef(sum(len(self.blobs[name]) for name in names), Content(b"".join(names)))

    def content(self) -> bytes:
        """The bytes of the only file."""
        (row,) = self.rows
        return b"".join(bytes(block) for block in self.read(row.content))


def _compared(stat: Stat) -> tuple[object, ...]:
    return stat.kind, stat.size, stat.mtime_ns, stat.ctime_ns, stat.inode


def source_of(
    path: str | Path, *, lock_timeout: float = 10.0, scratch_dir: str | None = None
) -> SqliteSource:
    return SqliteSource("shop", str(path), lock_timeout, TestClock(), scratch_dir)


def capture(path: str | Path, repository: MemoryRepository) -> Capture:
    return source_of(path).capture(repository.begin(), CountingProgress())


def point_of(taken: Capture) -> RecoveryPoint:
    """The capture as the repository would give it back: facts have been through JSON."""
    start = taken.captured_at.replace(minute=0, second=0, microsecond=0)
    return RecoveryPoint(
        id="0" * 64,
        sequence=1,
        predecessor="",
        source="shop",
        kind="sqlite",
        window=Window("w", start, start + timedelta(hours=1)),
        timezone="UTC",
        captured_at=taken.captured_at,
        committed_at=taken.captured_at,
        lateness_s=0.0,
        incomplete=taken.incomplete,
        problem_count=0,
        problems=(),
        facts=json.loads(json.dumps(taken.facts)),
        stats=Stats(),
        inventory=StreamRef(0, Content()),
        versions=taken.versions,
    )


def restore(repository: MemoryRepository, directory: Path) -> str:
    """The only file of the recovery point, written below the directory; its path."""
    directory.mkdir(parents=True, exist_ok=True)
    path = os.path.join(os.fsencode(directory), repository.rows[0].stat.path)
    with open(path, "wb") as file:
        file.write(repository.content())
    return os.fsdecode(path)


def database(path: str | Path, *statements: str, mode: str = "delete") -> str:
    """A database made by these statements and closed."""
    with closing(sqlite3.connect(str(path), isolation_level=None)) as connection:
        for statement in statements:
            connection.execute(statement)
        connection.execute(f"PRAGMA journal_mode = {mode}")
    return str(path)


def shop(path: str | Path, *, mode: str = "delete", rows: int = 2000) -> str:
    return database(
        path,
        "CREATE TABLE items (id INTEGER PRIMARY KEY, name TEXT, price REAL)",
        "CREATE INDEX items_name ON items (name)",
        f"""WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < {rows})
            INSERT INTO items SELECT i, 'item ' || i || hex(zeroblob(50)), i / 7.0 FROM n""",
        mode=mode,
    )


@contextmanager
def process(code: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Another Python process that has printed its first line; killed at the end."""
    command = [sys.executable, "-c", code, *arguments]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        try:
            assert child.stdout is not None
            assert child.stdout.readline() == "ready\n"
            yield child
        finally:
            child.kill()
