"""Backing up sources."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from backup_platform.advice import command
from backup_platform.clock import SILENT
from backup_platform.domain.ports import Progress
from backup_platform.errors import UsageError
from backup_platform.services.bound import BoundRepository
from backup_platform.services.locks import PlannedLocks
from backup_platform.services.sources import PlannedSources
from backup_platform.services.windows import Windows

if TYPE_CHECKING:
    from backup_platform.actions.backup.run import BackupResult


@dataclass(frozen=True, slots=True)
class Backups:
    """Captures windows of sources into the first repository of a plan."""

    bound: BoundRepository
    sources: PlannedSources
    windows: Windows

    def run(
        self, source: str, *, window: str | None = None, force: bool = False, progress: Progress = SILENT
    ) -> BackupResult:
        """Raises WindowError, SourceError, RepositoryError. An incomplete point is returned, and says so."""
        from backup_platform.actions.backup.run import BackupJob
        from backup_platform.actions.keys.recipients import KeyRing
        from backup_platform.wiring import demands_of

        bound = self.bound
        if not bound.is_first:
            raise UsageError(
                f"Backups go to {bound.first_name}, and {bound.name} holds copies of it.",
                hint=(command("backup", source, repository=bound.first_name), ", then copy it from there."),
            )
        demands = demands_of(self.sources.config(source))
        schedule = self.windows.schedule(source)
        job = BackupJob(self.sources.build(source), schedule, bound.repository, bound.clock, demands)
        result = job.run(window, force=force, progress=progress)
        PlannedLocks(bound).keep_result(result)
        return result.telling(KeyRing(bound.repository, bound.clock).unexpected())
