"""Creating a repository; whether everything that backups need is in order; whether everything is in a source."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from backup_platform.services.bound import BoundRepository
from backup_platform.services.points import RecoveryPoints
from backup_platform.services.sources import PlannedSources
from backup_platform.services.windows import Windows

if TYPE_CHECKING:
    from backup_platform.actions.doctor.run import DoctorFinding
    from backup_platform.domain.coverage import Coverage, Surroundings
    from backup_platform.repository.objects.info import RepositoryInfo


@dataclass(frozen=True, slots=True)
class Setup:
    """Sets up one repository of a plan."""

    bound: BoundRepository
    sources: PlannedSources
    windows: Windows
    points: RecoveryPoints

    def init(self, *, recipients: Sequence[str] = (), copy_of: str | None = None) -> RepositoryInfo:
        """Create the plan's repository. It is encrypted if recipients are given or in the plan. A repository that is
        not the first is created as a copy of the first, or of `copy_of`. Raises ConflictError if there is one already,
        StoreError if the store cannot hold one, UsageError."""
        from backup_platform.actions.init import choose_recipients, make, refuse_new_history
        from backup_platform.wiring import known_recipients_of, make_store, probe_planned

        bound = self.bound
        origin = bound.at(copy_of)
        recipients = choose_recipients(bound.keys, recipients, bound.settings, copy=origin is not bound)
        other = None if origin is bound else origin.repository
        if other is None:
            bound.recognising.refuse_to_make()
            refuse_new_history(bound.name, bound.plan.repositories, bound.at)
        opened = make_store(bound.plan, bound.settings, bound.clock, create=True, provider=bound.credentials)
        probe_planned(opened.store, bound.plan, bound.settings)
        info = make(opened.store, bound.clock, bound.keys, recipients, other)
        opened.capabilities.keep_room()
        bound.recognising.made(info)
        known_recipients_of(bound.plan, bound.name, info.fingerprint, bound.clock).chosen(recipients)
        return info

    def doctor(self) -> list[DoctorFinding]:
        """Whether everything that backups need is in order."""
        from backup_platform.services.examination import examination

        return examination(self.bound, self.sources, self.windows, self.points).run()

    def coverage(self, assets: Callable[[], Surroundings] | None = None) -> Coverage:
        """What is in no source, in the places that the plan names. Needs no repository. `assets` lists those of the
        Dagster code location that loads the plan."""
        from backup_platform.wiring import make_survey

        return make_survey(self.bound.plan, self.bound.plan_path, self.bound.clock, assets).run()
