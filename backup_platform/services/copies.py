"""Copies of points in the repositories of a plan."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from backup_platform.actions.checks.table import OF_COPIES, OF_PLACES, CopyToJudge, Placement, judged
from backup_platform.domain.ports import Progress
from backup_platform.errors import PlanError, RepositoryError
from backup_platform.services.bound import BoundRepository
from backup_platform.services.locks import PlannedLocks

if TYPE_CHECKING:
    from backup_platform.actions.copy.run import Copying
    from backup_platform.actions.points.stored import StoredPoints
    from backup_platform.domain.checks import CheckResult
    from backup_platform.domain.keep.copies import CopyRule
    from backup_platform.domain.model import RecoveryPoint
    from backup_platform.repository.repository import Repository


@dataclass(frozen=True, slots=True)
class Copies:
    """One repository as a place of copies, and where the plan wants points to be."""

    bound: BoundRepository

    def copying(self, origin: Repository) -> Copying:
        """Copying points of another repository of the plan to this one. Raises RepositoryError unless it is a copy."""
        from backup_platform.actions.copy.run import Copying

        repository, settings = self.bound.repository, self.bound.settings
        if twin := self.bound.plan.twin(settings):
            raise RepositoryError(
                f"The repository at {repository.info.location} cannot be a copy of itself: the plan's {twin} is in the "
                "same place.",
                hint="Give the copy a place of its own in the plan.",
            )
        keep_locked = PlannedLocks(self.bound).keep if settings.lock else None
        return Copying(origin, repository, self.bound.clock, keep_locked)

    def find_stored(self, points: Sequence[RecoveryPoint]) -> StoredPoints:
        """Which points of another repository this one holds, forgot, or lacks."""
        from backup_platform.actions.points.stored import find_stored

        return find_stored(self.bound.repository, points)

    def checks(self, point: RecoveryPoint, progress: Progress) -> Iterator[CheckResult]:
        """The checks of the copy of a point in this repository."""
        from backup_platform.actions.verify.run import window_share

        repository = self.bound.repository
        share = window_share(self.bound.plan.sources[point.source].verify, point.window)
        given = CopyToJudge(repository, point, share, self.bound.clock, progress)
        yield from judged(OF_COPIES, given, repository.capabilities.direct)

    def in_place(
        self,
        point: RecoveryPoint,
        holdings: Mapping[str, Iterable[RecoveryPoint]],
        forgotten: Collection[str] = (),
    ) -> CheckResult:
        """Whether a point is in the places that the plan requires. `holdings` are the points by repository, without
        those that did not answer. `forgotten` are repositories whose retention removed the point."""
        from backup_platform.domain.keep.copies import Holding, judge_copies

        held = {name: any(each.id == point.id for each in points) for name, points in holdings.items()}
        places = [
            Holding(name, self._place(name), held.get(name), forgot=name in forgotten)
            for name in self._repositories(point.source)
        ]
        rule = self.rule(point.source)
        state = judge_copies(rule, places, point.committed_at, self.bound.clock.now())
        [found] = judged(OF_PLACES, Placement(rule, state))
        return found

    def rule(self, source: str) -> CopyRule:
        """What the plan says about the copies of a source: all its repositories, unless it gives a number."""
        from backup_platform.domain.keep.copies import CopyRule

        copies = self.bound.plan.sources[source].copies
        number = copies.number or len(self._repositories(source))
        return CopyRule(number, copies.places, copies.within)

    def places(self, source: str) -> dict[str, str]:
        """The places of the repositories of a source, by their names, the first one first."""
        return {name: self._place(name) for name in self._repositories(source)}

    def _repositories(self, source: str) -> list[str]:
        return [self.bound.first_name, *self.bound.plan.copies_of(source)]

    def _place(self, name: str) -> str:
        """As the plan calls it, else the server or bucket, else here."""
        plan = self.bound.plan
        settings = plan.repositories[name]
        if settings.place:
            return settings.place
        try:
            where = plan.secret(settings.endpoint) if settings.endpoint else plan.path(settings.path)
        except PlanError:  # its secrets are not on this host: it is not here, at least
            return name
        return urlsplit(where).hostname or "local"
