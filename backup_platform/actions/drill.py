"""Drill: restore a recovery point into a sandbox and compare it with what was captured."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field

from backup_platform.actions.restore.run import plan_restore, run_restore
from backup_platform.domain.model import Json, Proof, ProofMethod, RecoveryPoint
from backup_platform.domain.ports import Clock, DrillReport, Progress, Source
from backup_platform.errors import DamageError, TargetError
from backup_platform.kinds import registry
from backup_platform.repository.records.proofs import Unrecorded
from backup_platform.repository.repository import Repository

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
    warnings: list[str] = field(default_factory=list)

    def unpack(self) -> str:
        plan = plan_restore(self.repository.reader(self.point), self.point, to=self.path)
        self.progress.begin("restoring")
        summary = run_restore(plan, self.repository, self.clock, self.progress)
        if summary.failures:
            raise TargetError(
                f"The drill cannot restore {formatted(summary.failure_count)} into {self.path}: {summary.failures[0]}.",
                hint="Let TMPDIR name a directory on a file system that takes what the source has.",
            )
        self.warnings += summary.warnings
        return self.path


def formatted(count: int) -> str:
    return "one entry" if count == 1 else f"{count:,} entries"


def drill(
    repository: Repository,
    source: Source,
    point: RecoveryPoint,
    clock: Clock,
    progress: Progress,
) -> DrillResult:
    """Restore, compare, record the verdict.

    Damage is a verdict, and a verdict stays one when the store does not take it. A store that does not answer, a full
    disk, a missing privilege or key is an error, and no proof.
    """
    repository.cipher.require_contents()
    started, reader = clock.monotonic(), repository.reader(point)
    with tempfile.TemporaryDirectory(prefix="backup-platform-drill-") as path:
        sandbox = FileSandbox(path, repository, point, clock, progress)
        try:
            progress.begin("comparing", registry.described(point.kind).unit)
            report = source.drill(point, reader, sandbox, progress)
        except DamageError as error:
            report = DrillReport({}, (error.message,))
    duration = round(clock.monotonic() - started, 3)
    detail: dict[str, Json] = {
        "compared": report.compared,
        "differences": list(report.differences[:MAX_RECORDED]),
        "warnings": list[Json]([*reader.failed.values(), *sandbox.warnings][:MAX_RECORDED]),
    }
    proof = Proof(point.id, ProofMethod.DRILL, not report.differences, clock.now(), duration, detail)
    result = DrillResult(point, proof, report)
    with result.unrecorded.noting():
        repository.record_proof(proof, point)
    return result
