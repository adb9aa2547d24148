"""What a hostile hand writes: inventories with rows of its choice, and documents with any text."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from backup_platform.domain.model import Capture, Entry, EntryKind, Stat
from backup_platform.domain.ports import Progress, Recorder
from backup_platform.repository.objects.canonical import canonical
from backup_platform.repository.objects.names import digest
from backup_platform_tests.support import ScriptedSource


@dataclass
class HostileSource(ScriptedSource):
    """Captures what a scripted source has, and then these rows."""

    rows_after: Sequence[Entry] = field(default_factory=tuple)

    def capture(self, recorder: Recorder, progress: Progress) -> Capture:
        found = super().capture(recorder, progress)
        recorder.record(self.rows_after)
        return found


def row(path: bytes, kind: EntryKind = EntryKind.FIFO, **more: Any) -> Entry:
    return Entry(Stat(path, kind, 0o644, 0, 0, 0, 0, 0, 1, 1, 1, 0), **more)


def rewrite(path: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    """Alter a signed document of an unencrypted repository, and sign it again as anybody can."""
    document = json.loads(path.read_bytes().split(b"\n")[0])
    changed = change(document)
    sign_line(path, changed if isinstance(changed, bytes) else canonical(document))


def sign_line(path: Path, line: bytes) -> None:
    path.write_bytes(line + b"\n" + digest(line).hex().encode() + b"\n")


def brackets(document: dict[str, Any]) -> bytes:
    """100,000 lists in each other."""
    return canonical(document).replace(
        b'"facts":{', b'"facts":{"a":' + b"[" * 100_000 + b"]" * 100_000 + b",", 1
    )
