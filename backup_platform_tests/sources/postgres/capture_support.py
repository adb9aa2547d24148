"""Captures into memory, as tests look at them."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from backup_platform.clock import SystemClock
from backup_platform.domain.model import Capture, Content, Entry, EntryKind, Stat, StreamRef
from backup_platform.domain.ports import Buffer, Chunking
from backup_platform.domain.tables import Catalogue
from backup_platform.sources.postgres.document import CapturedDatabase, decode
from backup_platform.sources.postgres.options import PostgresOptions
from backup_platform.sources.postgres.source import PostgresSource


@dataclass
class MemoryRecorder:
    """A `ports.Recorder`. `streams` counts what was stored, also of a capture that failed."""

    entries: list[Entry] = field(default_factory=list)
    streams: dict[bytes, bytes] = field(default_factory=dict)
    before_stream: Callable[[int], None] = lambda number: None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def reuse(self, stats: Sequence[Stat]) -> Sequence[bool]:
        return [False for _ in stats]

    def record(self, batch: Sequence[Entry | Stat]) -> None:
        for row in batch:
            assert isinstance(row, Entry)
            self.entries.append(row)

    def blob(self, data: Buffer) -> bytes:
        return self.stream([data]).content.blobs

    def stream(self, blocks: Iterable[Buffer], chunking: Chunking | None = None) -> StreamRef:
        self.before_stream(len(self.streams))
        data = b"".join(bytes(block) for block in (chunking.cut(blocks) if chunking else blocks))
        with self._lock:
            name = b"%032d" % len(self.streams)
            self.streams[name] = data
        return StreamRef(len(data), Content(name))

    def content(self, path: str) -> bytes:
        (entry,) = (entry for entry in self.entries if entry.stat.path == path.encode())
        return self.streams[entry.content.blobs]


@dataclass
class Steps:
    """A `ports.Progress`; `on_note` is called with each note."""

    expected: int = 0
    done: int = 0
    notes: list[str] = field(default_factory=list)
    on_note: Callable[[str], None] = lambda text: None

    def begin(self, doing: str, unit: str = "file") -> None: ...

    def expect(self, *, items: int = 0, size: int = 0) -> None:
        self.expected += size

    def advance(self, *, items: int = 0, size: int = 0) -> None:
        self.done += size

    def note(self, text: str) -> None:
        self.notes.append(text)
        self.on_note(text)


@dataclass
class Captured:
    capture: Capture
    recorder: MemoryRecorder

    @property
    def facts(self) -> dict[str, Any]:
        return dict(self.capture.facts)

    @property
    def paths(self) -> list[str]:
        return [entry.stat.path.decode() for entry in self.recorder.entries]

    @property
    def files(self) -> list[str]:
        return [e.stat.path.decode() for e in self.recorder.entries if e.stat.kind is EntryKind.FILE]

    @property
    def database(self) -> CapturedDatabase:
        return decode(self.recorder.content("database.json"))

    @property
    def catalogue(self) -> Catalogue:
        return Catalogue.from_json(json.loads(self.recorder.content("catalogue.json")))

    @property
    def left_out(self) -> dict[str, str]:
        return {out.name: f"{out.kind}: {out.reason}" for out in self.database.left_out}


def source(url: str, **options: Any) -> PostgresSource:
    return PostgresSource("shop", PostgresOptions(url, **options), SystemClock())


def capture(
    url: str, *, recorder: MemoryRecorder | None = None, progress: Steps | None = None, **options: Any
) -> Captured:
    recorder = recorder or MemoryRecorder()
    return Captured(source(url, **options).capture(recorder, progress or Steps()), recorder)
