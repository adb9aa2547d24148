"""Drill: restore a recovery point into a sandbox and compare it with what was captured."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import BinaryIO

from backup_platform.actions.restore.run import plan_restore, run_restore
from backup_platform.domain.model import Content, Entry, Json, Proof, ProofMethod, RecoveryPoint
from backup_platform.domain.ports import Buffer, Clock, DrillReport, PointReader, Progress, Sandbox, Source
from backup_platform.domain.time_limit import TimeLimit
from backup_platform.domain.words import how_many
from backup_platform.errors import DamageError, TargetError, TimeLimitError
from backup_platform.kinds import registry
from backup_platform.repository.records.proofs import Unrecorded
from backup_platform.repository.repository import Repository
from backup_platform.temporary import PrivateDirectory

MAX_RECORDED = 20


@dataclass(frozen=True, slots=True)
class DrillResult:
    """The verdict of a drill. It is in the ledger, too, unless `unrecorded` says why not."""

    point: RecoveryPoint
    proof: Proof
    report: DrillReport
    unrecorded: Unrecorded = field(default_factory=Unrecorded)


@dataclass
class FileSandbox:
    """`ports.Sandbox` in a directory. `warnings` are those of the restore."""

    path: str
    repository: Repository
    point: RecoveryPoint
    clock: Clock
    progress: Progress
    limit: TimeLimit
    warnings: list[str] = field(default_factory=list)

    def unpack(self) -> str:
        plan = plan_restore(self.repository.reader(self.point), self.point, to=self.path)
        self.progress.begin("restoring")
        summary = run_restore(plan, self.repository, self.clock, self.progress)
        if summary.failures:
            entries = how_many(summary.failure_count, "entry", "entries")
            raise TargetError(
                f"The drill cannot restore {entries} into {self.path}: {summary.failures[0]}.",
                hint="Set TMPDIR to a directory on a file system that supports the entries of the source.",
            )
        self.warnings += summary.warnings
        return self.path


@dataclass(frozen=True, slots=True)
class LimitedReader:
    """A `ports.PointReader` that raises TimeLimitError once a time limit has passed."""

    reader: PointReader
    limit: TimeLimit

    def entries(self) -> Iterator[Entry]:
        return self.limit.during(self.reader.entries())

    def read(self, content: Content) -> Iterator[Buffer]:
        return self.limit.during(self.reader.read(content))

    def open(self, content: Content) -> BinaryIO:
        self.limit.check()
        return self.reader.open(content)

    def blob_ids(self, content: Content) -> Iterator[bytes]:
        return self.limit.during(self.reader.blob_ids(content))


@dataclass(frozen=True, slots=True)
class LimitedProgress:
    """A `ports.Progress` that raises TimeLimitError in its caller once a time limit has passed."""

    progress: Progress
    limit: TimeLimit

    def begin(self, doing: str, unit: str = "file") -> None:
        self.progress.begin(doing, unit)

    def expect(self, *, items: int = 0, size: int = 0) -> None:
        self.progress.expect(items=items, size=size)

    def advance(self, *, items: int = 0, size: int = 0) -> None:
        self.limit.check()
        self.progress.advance(items=items, size=size)

    def note(self, text: str) -> None:
        self.progress.note(text)


def drill(
    repository: Repository,
    source: Source,
    point: RecoveryPoint,
    clock: Clock,
    progress: Progress,
    *,
    limit_s: float = math.inf,
) -> DrillResult:
    """Restore, compare, and record the verdict. Damage is a verdict, and it stays one if the store refuses the record.
    It is an error, and proves nothing, if the store does not answer, a disk is full, or a privilege or key is missing.
    The same is true of a TimeLimitError after `limit_s`."""
    repository.cipher.require_contents()
    started, reader, limit = clock.monotonic(), repository.reader(point), TimeLimit(limit_s)
    with PrivateDirectory("drill") as path:
        shown = LimitedProgress(progress, limit)
        sandbox = FileSandbox(path, repository, point, clock, shown, limit)
        report = drill_in_time(source, point, LimitedReader(reader, limit), sandbox, shown)
    duration = round(clock.monotonic() - started, 3)
    detail: dict[str, Json] = {
        "compared": report.compared,
        "differences": list(report.differences[:MAX_RECORDED]),
        "source_bytes": point.stats.source_bytes,
        "warnings": list[Json]([*reader.failed.values(), *sandbox.warnings][:MAX_RECORDED]),
    }
    proof = Proof(point.id, ProofMethod.DRILL, not report.differences, clock.now(), duration, detail)
    result = DrillResult(point, proof, report)
    with result.unrecorded.noting():
        repository.proofs.record(proof, point)
    return result


def drill_in_time(
    source: Source, point: RecoveryPoint, reader: PointReader, sandbox: Sandbox, progress: Progress
) -> DrillReport:
    """Raises TimeLimitError if the limit has passed, because another error then says nothing about the point."""
    try:
        progress.begin("comparing", registry.described(point.kind).unit)
        report = source.drill(point, reader, sandbox, progress)
    except DamageError as error:
        report = DrillReport({}, (error.message,))
    except Exception as error:
        if sandbox.limit.passed:
            raise _too_long(sandbox.limit) from error
        raise
    if report.differences and sandbox.limit.passed:
        raise _too_long(sandbox.limit)
    return report


def _too_long(limit: TimeLimit) -> TimeLimitError:
    return TimeLimitError(
        f"The drill was ended after {timedelta(seconds=round(limit.seconds))}, its time limit: it proves nothing.",
        hint="Give it more time, as in `--time-limit 12h`, or as `max_runtime` of the source in the plan. If code "
        "of the database never ends, no limit is enough.",
    )
