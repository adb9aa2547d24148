"""Proof of points: verify, drills, checks, and the evidence in the ledger."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from backup_platform.clock import SILENT
from backup_platform.domain.ports import Progress
from backup_platform.repository.records.proofs import recorded
from backup_platform.services.bound import BoundRepository
from backup_platform.services.points import RecoveryPoints
from backup_platform.services.sources import PlannedSources

if TYPE_CHECKING:
    from backup_platform.actions.drill import DrillResult
    from backup_platform.actions.evidence import Evidence
    from backup_platform.actions.verify.read_cycle import ReadCycle
    from backup_platform.actions.verify.run import VerifyResult
    from backup_platform.domain.checks import Check, CheckResult
    from backup_platform.domain.model import Proof, RecoveryPoint
    from backup_platform.domain.windows.health import DrillPolicy


@dataclass(frozen=True, slots=True)
class Proving:
    """Proves points of one repository, and shows what was proven."""

    bound: BoundRepository
    sources: PlannedSources
    points: RecoveryPoints

    @property
    def evidence(self) -> Evidence:
        """The evidence in the ledger, and the records that are not evidence."""
        from backup_platform.actions.evidence import Evidence

        return Evidence(self.bound.repository)

    def by_point(self) -> dict[str, list[Proof]]:
        """Verdicts by point id, oldest first, without their details."""
        return self.bound.repository.proofs.by_point()

    def details(self, point: RecoveryPoint) -> list[Proof]:
        return self.bound.repository.proofs.details(point.id)

    def unvouched(
        self, points: Sequence[RecoveryPoint], proofs: Mapping[str, list[Proof]]
    ) -> dict[str, int | None]:
        """By point id, the bytes that the writer did not check and that nobody has decoded since. None means
        unknown."""
        from backup_platform.actions.verify.trusted import unvouched

        return unvouched(self.bound.repository, points, proofs)

    def checks_of(self, source: str) -> list[Check]:
        """The checks of each new point of a source, in the order in which they run."""
        from backup_platform.actions.checks.table import rows_with

        return [row.check for row in rows_with(self.sources.config(source).source_kind.checks)]

    def checks(self, point: RecoveryPoint, *, progress: Progress = SILENT) -> Iterator[CheckResult]:
        """The verdict of every check of `checks_of`, in that order. A drill only runs if it is due."""
        from backup_platform.actions.checks.table import PointToJudge, judged, rows_with
        from backup_platform.actions.verify.run import window_share

        plan, repository = self.sources.config(point.source), self.bound.repository
        history, _ = repository.points.readable(point.source)  # `authentic` reports the damaged ones
        given = PointToJudge(
            repository,
            point,
            window_share(plan.verify, point.window),
            self.bound.clock,
            progress,
            whole=self.bound.is_first,
            history=history,
            drill=partial(self.drill_check, point, plan.drill, progress=progress),
        )
        yield from judged(rows_with(plan.source_kind.checks), given, repository.capabilities.direct)

    def drill_check(
        self, point: RecoveryPoint, policy: DrillPolicy, *, progress: Progress = SILENT
    ) -> CheckResult:
        """Run a drill if the policy requires one. Otherwise give the result of an earlier drill of the same point."""
        from backup_platform.actions.checks.points import drill_check

        timezone = self.sources.config(point.source).timezone
        return drill_check(
            self.bound.repository,
            point,
            policy,
            timezone,
            drill=lambda: recorded(self._drill(point, progress)),
        )

    def drill(
        self, spec: str, *, progress: Progress = SILENT, time_limit_s: float | None = None
    ) -> DrillResult:
        """Restore a point into a sandbox and compare. The verdict is recorded. The time limit is the plan's
        `max_runtime`, unless another one is given. Raises NotFoundError, TimeLimitError."""
        return self._drill(self.points.find(spec), progress, time_limit_s)

    def _drill(self, point: RecoveryPoint, progress: Progress, limit: float | None = None) -> DrillResult:
        from backup_platform.actions.drill import drill

        with self.bound.repository.capabilities.direct():
            self.bound.repository.indexes(fresh=True)
            source = self.sources.of_point(point, "drill")
            longest = self.sources.config(point.source).max_runtime
            limit = longest.total_seconds() if limit is None else limit
            return drill(self.bound.giving, source, point, self.bound.clock, progress, limit_s=limit)

    @property
    def _read_cycle(self) -> ReadCycle:
        """The reading of everything that is stored, a part each day. Every 30 days where the plan says nothing."""
        from backup_platform.actions.verify.read_cycle import CYCLE, ReadCycle

        planned = self.bound.settings.verify
        return ReadCycle(self.bound.repository, planned.cycle if planned else CYCLE, self.bound.clock)

    def verify(
        self, spec: str | None = None, *, read: str = "all", progress: Progress = SILENT
    ) -> VerifyResult:
        """Verify one point, or every point of the repository, and read a share of their packs (all, none, N%), or
        `due`: the data of the repository that is due in the read cycle. Every read counts for the read cycle. The
        result has the status of the cycle if the plan has one."""
        with self.bound.repository.capabilities.direct():
            points = (
                [self.points.find(spec)] if spec else self.bound.repository.points.readable(reread=True)[0]
            )
            return self._verify(points, read, progress, whole=not spec)

    def _verify(
        self, points: Sequence[RecoveryPoint], read: str, progress: Progress, *, whole: bool
    ) -> VerifyResult:
        """`whole`: these are all points, so that others are lost."""
        from backup_platform.actions.verify.run import read_share, verify, verify_due
        from backup_platform.repository.records.reads import compact_reads, record_reads

        evidence = self.evidence
        unreadable = self._unreadable(points) if whole else []
        doubts = evidence.of_all() if whole else evidence.of_points(point.id for point in points)
        unreadable = [*unreadable, *doubts.findings()]
        if read == "due":
            due = verify_due(self._read_cycle, points, progress, unreadable=unreadable)
            return replace(due, notes=(*due.notes, *doubts.notes()))
        repository, now = self.bound.repository, self.bound.clock.now()
        result = verify(
            repository,
            points,
            read_share(read, now.date()),
            self.bound.clock,
            progress,
            unreadable=unreadable,
            whole=whole,
            after=partial(record_reads, repository.objects, at=now),
        )
        if result.packs_read:
            with result.unrecorded.noting():
                compact_reads(repository.objects, now, repository.points.ids)
        rotation = self._read_cycle.status() if self.bound.settings.verify else None
        return replace(result, rotation=rotation, notes=(*result.notes, *doubts.notes()))

    def _unreadable(self, points: Sequence[RecoveryPoint]) -> list[str]:
        """What is damaged or lost where these are all points that can be read."""
        from backup_platform.actions.forget.lost import find_losses
        from backup_platform.repository.encryption.key_objects import key_problems

        repository, damaged = self.bound.repository, self.points.unreadable()
        losses = find_losses(repository, points, damaged, complete=self.bound.is_first)
        return [*damaged, *losses.texts(), *(str(each) for each in key_problems(repository.cipher))]
