"""The state of everything in a plan."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from backup_platform.errors import PlanError
from backup_platform.services.bound import BoundRepository
from backup_platform.services.copies import Copies
from backup_platform.services.windows import Windows

if TYPE_CHECKING:
    from backup_platform.actions.status.repositories import WatchedRepository
    from backup_platform.actions.status.run import WatchedSource
    from backup_platform.domain.status.values import PlanStatus, SourceStatus
    from backup_platform.repository.repository import Repository


@dataclass(frozen=True, slots=True)
class PlanState:
    """Looks at all sources and repositories of a plan."""

    bound: BoundRepository
    windows: Windows

    def look(self, unprotected: Sequence[str] = ()) -> PlanStatus:
        """Their state now. Never raises for what is wrong with one of them: that is its state. `unprotected` says what
        is in no source, one sentence each."""
        from backup_platform.actions.status.run import PlanSurvey

        return PlanSurvey(self._sources(), self._repositories(), self.bound.clock).run(unprotected)

    def points_of(self, sources: Collection[str]) -> Mapping[str, SourceStatus]:
        """By source, its newest points in the repository: much cheaper than `look`. Raises BackupError where the
        repository does not answer."""
        from backup_platform.actions.status.safe import measure_points

        return measure_points(self._open(self.bound.name), sources, self.bound.clock.now())

    def _sources(self) -> list[WatchedSource]:
        from backup_platform.actions.status.run import WatchedSource

        plan, copies = self.bound.plan, Copies(self.bound)
        return [
            WatchedSource(
                name,
                source.kind,
                partial(self.windows.schedule, name),
                source.drill,
                source.rpo or plan.rpo,
                source.rto or plan.rto,
                copies.rule(name),
                copies.places(name),
            )
            for name, source in plan.sources.items()
        ]

    def _repositories(self) -> list[WatchedRepository]:
        from backup_platform.actions.status.repositories import WatchedRepository

        plan = self.bound.plan
        return [
            WatchedRepository(
                name,
                self._location(name),
                partial(self._open, name),
                each.verify.cycle if each.verify else None,
            )
            for name, each in plan.repositories.items()
        ]

    def _location(self, name: str) -> str:
        path = self.bound.plan.repositories[name].path
        try:
            return self.bound.plan.path(path)
        except PlanError:  # a secret in it is not on this host, which opening it tells
            return path

    def _open(self, name: str) -> Repository:
        """Raises RepositoryError, also where it was opened before and is away now."""
        from backup_platform.actions.points.windows import answering

        bound = self.bound.at(name)
        bound.answered(answering(bound.opened.store, bound.plan.path(bound.settings.path)))
        return bound.repository
