"""Captures into memory, to be damaged and drilled."""

from __future__ import annotations

import hashlib
import io
import json
import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, BinaryIO

from backup_platform.clock import SILENT, SystemClock
from backup_platform.domain.model import (
    Capture,
    Content,
    Entry,
    EntryKind,
    Json,
    RecoveryPoint,
    Stat,
    StreamRef,
)
from backup_platform.domain.ports import Buffer, Chunking, DrillReport
from backup_platform.sources.postgres.options import PostgresOptions
from backup_platform.sources.postgres.source import PostgresSource
from backup_platform_tests.sources.postgres.points import recovery_point
from backup_platform_tests.support import Restored


@dataclass
class Streams:
    """Recorder and reader in one, for several threads."""

    contents: dict[bytes, bytes] = field(default_factory=dict)
    rows: list[Entry] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def reuse(self, stats: Sequence[Stat]) -> Sequence[bool]:
        return [False] * len(stats)

    def record(self, batch: Sequence[Entry | Stat]) -> None:
        self.rows += [row for row in batch if isinstance(row, Entry)]

    def blob(self, data: Buffer) -> bytes:
        plain = bytes(data)
        name = hashlib.sha256(plain).digest()
        with self.lock:
            self.contents[name] = plain
        return name

    def stream(self, blocks: Iterable[Buffer], chunking: Chunking | None = None) -> StreamRef:
        plain = b"".join(map(bytes, blocks))
        return StreamRef(len(plain), Content(self.blob(plain)))

    def entries(self) -> Iterator[Entry]:
        return iter(self.rows)

    def read(self, content: Content) -> Iterator[Buffer]:
        yield self.contents[content.blobs]

    def open(self, content: Content) -> BinaryIO:
        return io.BytesIO(self.contents[content.blobs])

    def blob_ids(self, content: Content) -> Iterator[bytes]:
        return iter(content.ids())

    def __getitem__(self, path: str) -> bytes:
        (row,) = (row for row in self.rows if row.stat.path == path.encode())
        return self.contents[row.content.blobs]

    def __setitem__(self, path: str, data: bytes) -> None:
        number = next(i for i, row in enumerate(self.rows) if row.stat.path == path.encode())
        self.rows[number] = self.rows[number]._replace(content=Content(self.blob(data)))

    def parts(self) -> list[str]:
        found = (row.stat for row in self.rows if row.stat.kind is EntryKind.FILE)
        return sorted(stat.path.decode() for stat in found if stat.path.startswith(b"tables/"))


@dataclass
class Drilled:
    """A captured database, to be damaged and drilled."""

    source: PostgresSource
    streams: Streams
    taken: Capture
    sandbox: Path

    def drill(self, **facts: Json) -> DrillReport:
        known: dict[str, Any] = json.loads(json.dumps(dict(self.taken.facts)))
        point = replace(recovery_point(), facts={**known, **facts}, captured_at=self.taken.captured_at)
        return self.source.drill(point, self.streams, Restored(str(self.sandbox)), SILENT)

    def with_options(self, **changes: Any) -> Drilled:
        source = replace(self.source, options=replace(self.source.options, **changes))
        return replace(self, source=source)


def captured(url: str, directory: Path, **options: Any) -> Drilled:
    """`directory` is where servers of drills are made; other users reach it."""
    sandbox = directory / "sandbox"
    sandbox.mkdir(mode=0o700)
    source = PostgresSource("shop", PostgresOptions(url, **options), SystemClock())
    streams = Streams()
    return Drilled(source, streams, source.capture(streams, SILENT), sandbox)


def point_of(drilled: Drilled) -> RecoveryPoint:
    return replace(recovery_point(), facts=dict(drilled.taken.facts), captured_at=drilled.taken.captured_at)
