"""Capture of what a program writes to its standard output."""

from __future__ import annotations

import hashlib
import os
import shlex
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from backup_platform.domain.model import Capture, RecoveryPoint
from backup_platform.domain.ports import Clock, DrillReport, PointReader, Progress, Recorder, Sandbox
from backup_platform.domain.time_limit import TimeLimit
from backup_platform.domain.words import duration, how_many
from backup_platform.errors import SourceError, SourceFormatError, TimeLimitError
from backup_platform.sources import children
from backup_platform.sources.command.drill import drill
from backup_platform.sources.command.last_words import LastWords
from backup_platform.sources.command.program import Program, find_program, running
from backup_platform.sources.recording import record_streams

# Programs look for their own files there, as ~/.my.cnf. None of them is a secret.
_OF_THE_USER = ("HOME", "USER", "LOGNAME")


@dataclass(frozen=True)
class CommandSource:
    """One stream `filename`, with its size and its SHA-256 as facts, taken while it is read.

    The program runs without a shell in `folder`, the plan's directory, with `env` and what programs need of this
    process's environment. `secrets` are values of `env` that are shown nowhere. `timeout` is in seconds, `min_size` in
    bytes. Nothing is recorded before the program ended with status 0 and its output is long enough.
    """

    name: str
    words: tuple[str, ...]
    env: Mapping[str, str] = field(repr=False)
    secrets: tuple[str, ...] = field(repr=False)
    folder: str
    filename: str
    timeout: float
    min_size: int
    check: tuple[str, ...]
    clock: Clock
    kind: str = "command"

    def probe(self) -> str:
        """Raises SourceMissingError."""
        return find_program(self.words[0], self._environment(), self.folder)

    def capture(self, recorder: Recorder, progress: Progress) -> Capture:
        """Raises SourceMissingError, SourceFormatError for too short an output, SourceError."""
        captured_at, said = self.clock.now(), LastWords(self.secrets)
        digest = hashlib.sha256()
        progress.expect(items=1)
        limit = TimeLimit(self.timeout)
        environment = self._environment()
        with running(self.words, env=environment, folder=self.folder, limit=limit, said=said) as program:
            stream = recorder.stream(self._told(program, digest.update, progress))
            self._require_success(program)
        self._require_size(stream.size, said)
        record_streams(recorder, {os.fsencode(self.filename): stream}, captured_at)
        progress.expect(size=stream.size)  # nobody knew before
        progress.advance(items=1)
        return Capture(
            captured_at,
            {
                "command": shlex.join(self.words),
                "bytes": stream.size,
                "sha256": digest.hexdigest(),
                "standard_error": said.text(),
            },
        )

    def drill(
        self, point: RecoveryPoint, reader: PointReader, sandbox: Sandbox, progress: Progress
    ) -> DrillReport:
        return drill(point, sandbox, progress, self.check, self.folder)

    def _environment(self) -> dict[str, str]:
        own = {name: os.environ[name] for name in _OF_THE_USER if name in os.environ}
        return children.environment() | own | dict(self.env)

    def _told(self, program: Program, update: Callable[[bytes], None], progress: Progress) -> Iterator[bytes]:
        try:
            for block in program.output():
                update(block)
                yield block
                progress.advance(size=len(block))
        except TimeLimitError as error:
            raise self._too_long(program.said) from error

    def _require_success(self, program: Program) -> None:
        try:
            ended = program.wait()
        except TimeLimitError as error:
            raise self._too_long(program.said) from error
        if ended:
            raise SourceError(
                f"{self.words[0]} {ended}. {_told_by(program.said)}",
                subject=self.name,
                said=program.said.text(),
                hint="Its output is not kept. Run it by hand, as the user of this program, and look at what it needs.",
                retryable=True,  # nobody can tell from a status whether it passes
            )

    def _require_size(self, size: int, said: LastWords) -> None:
        if size < self.min_size:
            raise SourceFormatError(
                f"{self.words[0]} wrote {how_many(size, 'byte')}, and `min_size` is {how_many(self.min_size, 'byte')}. "
                + _told_by(said),
                subject=self.name,
                said=said.text(),
                hint="Its output is not kept. If so little output is normal, write a smaller `min_size` into the plan.",
            )

    def _too_long(self, said: LastWords) -> SourceError:
        return SourceError(
            f"{self.words[0]} was ended after {duration(self.timeout)}, its `timeout`. {_told_by(said)}",
            subject=self.name,
            said=said.text(),
            hint="Its output is not kept. If it needs more time, write a longer `timeout` into the plan.",
        )


def _told_by(said: LastWords) -> str:
    lines = said.text()
    return f"It said: {lines}" if lines else "It said nothing on standard error."
