"""The recovery points of a repository: finding, listing, comparing and accepting them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from backup_platform.kinds import registry
from backup_platform.services.bound import BoundRepository
from backup_platform.services.sources import PlannedSources

if TYPE_CHECKING:
    from backup_platform.actions.points.inventory import Difference
    from backup_platform.domain.model import Entry, RecoveryPoint
    from backup_platform.kinds.kind import AnyKind


@dataclass(frozen=True, slots=True)
class RecoveryPoints:
    """The recovery points of one repository."""

    bound: BoundRepository
    sources: PlannedSources

    def all(self, source: str | None = None) -> list[RecoveryPoint]:
        """The recovery point of every window that has one, by source, oldest first.

        Damaged manifests do not hide the others: `unreadable` lists them. Raises NotFoundError for a source that is
        neither in the plan nor in the repository.
        """
        from backup_platform.repository.points.chains import effective_points

        found = effective_points(self.bound.repository.points.readable(source)[0])
        if source is not None and not found:
            self.sources.config(source)  # points of a source that left the plan are still there
        return found

    def undecided(self, source: str | None = None) -> list[RecoveryPoint]:
        """Suspect points that `all` leaves out, because their window has an earlier point."""
        from backup_platform.repository.points.chains import undecided_points

        return undecided_points(self.bound.repository.points.readable(source)[0])

    def unreadable(self, source: str | None = None) -> list[str]:
        """What is wrong with damaged manifests, one sentence each."""
        return [error.message for error in self.bound.repository.points.readable(source)[1]]

    def find(self, spec: str) -> RecoveryPoint:
        """SOURCE@latest, SOURCE@WINDOW, SOURCE@DATE, or the start of an id. Raises NotFoundError, UsageError."""
        from backup_platform.actions.points.find import find_point

        return find_point(self.bound.repository, spec, self.bound.tell)

    def kind_of(self, point: RecoveryPoint) -> AnyKind:
        return registry.described(point.kind)

    def manifest_path(self, point: RecoveryPoint) -> str:
        return self.bound.repository.points.location(point)

    def accept(self, spec: str, reason: str) -> RecoveryPoint:
        """Accept a suspect point, see `actions.points.accept`."""
        from backup_platform.actions.points.accept import Accepting

        return Accepting(self.bound.repository, self.bound.clock).accept(spec, reason)

    def entries(self, spec: str, path: str | None = None) -> Iterator[Entry]:
        """The inventory of a point, or the part at and below a path. Raises NotFoundError."""
        from backup_platform.actions.points.inventory import list_entries

        return list_entries(self.bound.repository.reader(self.find(spec)).entries(), path)

    def diff(self, a: str, b: str) -> Iterator[Difference]:
        """The differences from point `a` to point `b`."""
        from backup_platform.actions.points.inventory import diff_entries

        points = [self.find(spec) for spec in (a, b)]
        before, after = (self.bound.repository.reader(point).entries() for point in points)
        return diff_entries(before, after, metadata=any(self.kind_of(point).tree for point in points))
