"""Restoring points: into a directory, into a server, or one file to the caller."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from backup_platform.clock import SILENT
from backup_platform.domain.ports import Buffer, Progress
from backup_platform.services.bound import BoundRepository
from backup_platform.services.points import RecoveryPoints
from backup_platform.services.sources import PlannedSources

if TYPE_CHECKING:
    from backup_platform.actions.restore.run import RestorePlan, RestoreSummary
    from backup_platform.domain.restoring import DatabaseRestorePlan, DatabaseRestoreSummary, DatabaseTarget


@dataclass(frozen=True, slots=True)
class Restores:
    """Restores points of one repository. Every method raises KeyMissingError without a key to contents."""

    bound: BoundRepository
    sources: PlannedSources
    points: RecoveryPoints

    def plan(self, spec: str, *, to: str, paths: Sequence[str] = (), overwrite: bool = False) -> RestorePlan:
        """What a restore would do. Raises NotFoundError, TargetError."""
        from backup_platform.actions.restore.run import plan_restore

        self.bound.refuse_own_place(to)
        self.bound.giving.cipher.require_contents()
        point = self.points.find(spec)
        reader = self.bound.repository.reader(point)
        return plan_restore(reader, point, to=to, paths=paths, overwrite=overwrite)

    def run(self, plan: RestorePlan, *, progress: Progress = SILENT) -> RestoreSummary:
        from backup_platform.actions.restore.run import run_restore

        return run_restore(plan, self.bound.repository, self.bound.clock, progress)

    def plan_database(self, spec: str, target: DatabaseTarget) -> DatabaseRestorePlan:
        """What a restore into a server would do. Raises NotFoundError, UsageError, TargetError."""
        self.bound.giving.cipher.require_contents()
        point = self.points.find(spec)
        source = self.sources.database_of(point, target)
        return source.plan_restore(point, self.bound.repository.reader(point), target)

    def run_database(
        self, plan: DatabaseRestorePlan, *, progress: Progress = SILENT
    ) -> DatabaseRestoreSummary:
        """Raises TargetError, before anything is written if the plan has conflicts."""
        self.bound.repository.cipher.require_contents()
        source = self.sources.database_of(plan.point, plan.target)
        return source.run_restore(plan, self.bound.repository.reader(plan.point), progress)

    def content(self, spec: str, path: str | None = None) -> Iterator[Buffer]:
        """The content of one file. Raises NotFoundError, UsageError, while it is read DamageError."""
        from backup_platform.actions.restore.content import file_content

        self.bound.giving.cipher.require_contents()
        point = self.points.find(spec)
        return file_content(self.bound.repository.reader(point), point, path)
