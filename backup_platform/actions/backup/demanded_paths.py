"""Which of the paths that a plan demands are in a capture: seen while it is written."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence

from backup_platform.domain.model import Entry, Stat, Status, StreamRef
from backup_platform.domain.ports import Buffer, Chunking, Recorder


class PathWatch:
    """A `Recorder` that passes everything on, and notes which of some paths are stored."""

    def __init__(self, recorder: Recorder, paths: Iterable[str]) -> None:
        self._recorder = recorder
        self._wanted = {os.fsencode(path.strip("/")): path for path in paths}
        self.found: set[str] = set()

    def reuse(self, stats: Sequence[Stat]) -> Sequence[bool]:
        return self._recorder.reuse(stats)

    def record(self, batch: Sequence[Entry | Stat]) -> None:
        self._recorder.record(batch)
        if len(self.found) < len(self._wanted):
            stored = (
                item for item in batch if isinstance(item, Stat) or item.status in (Status.OK, Status.CHANGED)
            )
            paths = {item.path if isinstance(item, Stat) else item.stat.path for item in stored}
            self.found |= {self._wanted[path] for path in paths & self._wanted.keys()}

    def blob(self, data: Buffer) -> bytes:
        return self._recorder.blob(data)

    def stream(self, blocks: Iterable[Buffer], chunking: Chunking | None = None) -> StreamRef:
        return self._recorder.stream(blocks, chunking)
