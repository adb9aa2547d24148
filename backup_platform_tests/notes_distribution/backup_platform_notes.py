"""A kind of source: a file with one note in each line. Each note is a stream of its own."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256

from backup_platform.domain.checks import CheckResult, KindCheck
from backup_platform.domain.model import Capture, RecoveryPoint
from backup_platform.domain.ports import Clock, DrillReport, PointReader, Progress, Recorder, Sandbox, Source
from backup_platform.errors import SourceMissingError
from backup_platform.kinds.config import KindConfig
from backup_platform.kinds.kind import SourceContext, SourceKind
from backup_platform.plan.values import Count, LocalPath
from backup_platform.sources.recording import record_streams


class NotesConfig(KindConfig):
    notes: LocalPath
    longest: Count = 1000


@dataclass(frozen=True)
class NotesSource:
    name: str
    path: str
    longest: int
    clock: Clock
    kind: str = "notes"

    def probe(self) -> str:
        return f"{len(self._read())} notes"

    def capture(self, recorder: Recorder, progress: Progress) -> Capture:
        captured_at, notes = self.clock.now(), self._read()
        progress.expect(items=len(notes), size=sum(map(len, notes)))
        streams = {}
        for number, note in enumerate(notes, 1):
            streams[b"note-%06d" % number] = recorder.stream([note])
            progress.advance(items=1, size=len(note))
        record_streams(recorder, streams, captured_at)
        long = [
            f"note {n} has {len(note)} bytes" for n, note in enumerate(notes, 1) if len(note) > self.longest
        ]
        return Capture(captured_at, {"notes": len(notes), "digest": digest(notes), "long": [*long]})

    def drill(
        self, point: RecoveryPoint, reader: PointReader, sandbox: Sandbox, progress: Progress
    ) -> DrillReport:
        folder = sandbox.unpack()
        names = sorted(os.listdir(folder))
        progress.begin("comparing", "note")
        progress.expect(items=len(names))
        notes = []
        for name in names:
            with open(os.path.join(folder, name), "rb") as file:
                notes.append(file.read())
            progress.advance(items=1)
        same = point.facts["digest"] == digest(notes)
        differences = () if same else ("The restored notes are not those that were captured.",)
        return DrillReport({"notes": len(notes)}, differences)

    def _read(self) -> list[bytes]:
        try:
            with open(self.path, "rb") as file:
                return file.read().splitlines()
        except FileNotFoundError:
            raise SourceMissingError(
                f"There are no notes at {self.path}.", hint="Correct the path in the plan."
            ) from None


def digest(notes: Sequence[bytes]) -> str:
    return sha256(b"\n".join(notes)).hexdigest()


def short(history: Sequence[RecoveryPoint], point: RecoveryPoint) -> CheckResult:
    long = point.facts["long"]
    return CheckResult("notes_are_short", not long, "warn", str(long or "no note is too long"))


def build(config: NotesConfig, context: SourceContext) -> Source:
    return NotesSource(context.name, context.located(config.notes), config.longest, context.clock)


KIND = SourceKind(
    "notes",
    "file of notes",
    NotesConfig,
    build,
    local=True,
    checks=(KindCheck("notes_are_short", "warn", "No note is longer than `longest`.", short),),
    unit="note",
)
