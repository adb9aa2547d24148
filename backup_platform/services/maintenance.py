"""The upkeep of a repository: holds, retention, prune, repair."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING

from backup_platform.errors import PlanError, RepositoryError, UsageError
from backup_platform.services.bound import BoundRepository

if TYPE_CHECKING:
    from backup_platform.actions.forget.give_up import LostPoints
    from backup_platform.actions.forget.run import Retention
    from backup_platform.actions.points.holds import Holds
    from backup_platform.actions.prune.plan import PruneSettings
    from backup_platform.actions.prune.run import Pruning
    from backup_platform.actions.repair.root import RootRepair
    from backup_platform.actions.repair.run import Repair
    from backup_platform.domain.keep.retention import KeepRules, SourceRules
    from backup_platform.plan import KeepConfig, SourceConfig
    from backup_platform.repository.records.forgotten import ForgottenPoint
    from backup_platform.repository.repository import Repository


@dataclass(frozen=True, slots=True)
class Maintenance:
    """The maintenance of one repository of a plan."""

    bound: BoundRepository

    @property
    def retention(self) -> Retention:
        """Which points stay in this repository, and forgetting the others."""
        from backup_platform.actions.forget.run import Retention

        repository = self.bound.repository
        can = repository.capabilities
        return Retention(repository, self._source_rules(), self.bound.clock, can.direct, can.lending)

    @property
    def giving_up(self) -> LostPoints:
        """Giving up points that are lost and that no copy has."""
        from backup_platform.actions.forget.give_up import LostPoints

        repository = self.bound.repository
        return LostPoints(repository, self.bound.clock, repository.capabilities.direct)

    @property
    def holds(self) -> Holds:
        """The holds of points in this repository."""
        from backup_platform.actions.points.holds import Holds

        return Holds(self.bound.repository, self.bound.clock, self.bound.tell)

    def pruning(self, grace: str | None = None) -> Pruning:
        """Deleting everything that no point needs. `grace` (a time such as 24h) replaces the plan's. Raises
        UsageError."""
        from backup_platform.actions.prune.run import Pruning

        repository = self.bound.repository
        can = repository.capabilities
        return Pruning(
            repository,
            self._prune_settings(grace),
            self.bound.clock,
            can.drafts,
            can.direct,
            can.lending,
            can.keep_room,
        )

    def _prune_settings(self, grace: str | None) -> PruneSettings:
        from backup_platform.actions.prune.plan import PruneSettings
        from backup_platform.plan.values import parse_duration

        planned, default = self.bound.settings.prune, PruneSettings()
        settings = (
            PruneSettings(planned.grace, float(planned.max_waste.rstrip("% ")) / 100) if planned else default
        )
        if grace is None:
            return settings
        try:
            return replace(settings, grace=parse_duration(grace))
        except ValueError as error:
            raise UsageError(f"--grace {grace}: {error}.", hint="Write for example 24h or 0.") from error

    def forgotten(self, since: datetime | None = None) -> list[ForgottenPoint]:
        """Records of points that were forgotten here, since an instant of the store's clock, without damaged
        records."""
        from backup_platform.repository.records.forgotten import forgotten_places, read_forgotten

        objects = self.bound.repository.objects
        places = forgotten_places(objects)
        return read_forgotten(objects, [p for p in places if since is None or p.stored_at > since])[0]

    def _source_rules(self) -> dict[str, SourceRules]:
        from backup_platform.domain.keep.retention import SourceRules
        from backup_platform.wiring import make_schedule

        plan = self.bound.plan
        since = plan.since or self.bound.repository.info.created_at
        return {
            name: SourceRules(
                self.keep_rules(name),
                source.timezone,
                source.late_limit + _patience(source),
                make_schedule(source, since),
            )
            for name, source in plan.sources.items()
        }

    def keep_rules(self, source: str) -> KeepRules | None:
        """The rules of the plan for a source in this repository. None keeps everything, also of a source that is no
        longer in the plan."""
        planned = self.bound.plan.sources.get(source)
        keep = planned and (self.bound.settings.keep or planned.keep)
        return _rules(keep) if keep else None

    def repair(self, donors: Sequence[str] = ()) -> Repair:
        """Repairing from other repositories of the plan, from all of them unless some are named.

        A repository that cannot be opened is left out, and listed in the repair's plan. Raises NotFoundError for an
        unknown name, and RepositoryError for a repository that is not a copy.
        """
        from backup_platform.actions.repair.run import Repair

        plan, repository = self.bound.plan, self.bound.repository
        found, absent = {}, []
        for name in [plan.known_repository(name) for name in donors] or plan.repositories:
            if name == self.bound.name:
                continue
            try:
                found[name] = self.bound.at(name).repository
            except (RepositoryError, PlanError) as error:
                absent.append(f"The copy {name} cannot be opened: {error.message}")
        return Repair(
            repository,
            found,
            self.bound.clock,
            complete=self.bound.is_first,
            absent=absent,
            direct=partial(_direct, [repository, *found.values()]),
        )

    def repair_root(self, donor: str) -> RootRepair:
        """Restoring `repository.json` from another repository of the plan. Raises NotFoundError, RepositoryError."""
        from backup_platform.actions.repair.root import RootRepair

        return RootRepair(self.bound.opened.store, self.bound.at(donor).repository)


@contextmanager
def _direct(repositories: Sequence[Repository]) -> Iterator[None]:
    """Inside, nothing that is read comes from this machine's cache."""
    with ExitStack() as stack:
        for repository in repositories:
            stack.enter_context(repository.capabilities.direct())
        yield


def _patience(source: SourceConfig) -> timedelta:
    """How long after its window a recovery point may be stored that was captured within it."""
    return max(timedelta(days=1), source.max_runtime)


def _rules(keep: KeepConfig) -> KeepRules:
    from backup_platform.domain.keep.retention import KeepRules

    return KeepRules(**keep.model_dump())
