"""Accepting a suspect recovery point: a person has looked at the source and found it in order."""

from __future__ import annotations

from dataclasses import dataclass, replace

from backup_platform.actions.points.find import find_point
from backup_platform.domain.model import RecoveryPoint
from backup_platform.domain.ports import Clock
from backup_platform.domain.words import point_name
from backup_platform.errors import UsageError
from backup_platform.repository.records.acceptances import accept_point
from backup_platform.repository.repository import Repository


@dataclass(frozen=True, slots=True)
class Accepting:
    """Acceptances in one repository. `copy` copies them to the others."""

    repository: Repository
    clock: Clock

    def accept(self, spec: str, reason: str) -> RecoveryPoint:
        """From now on the point counts like any other, and later ones are compared with it. Raises NotFoundError, and
        UsageError if the point is not suspect."""
        if not reason.strip():
            raise UsageError(
                "An acceptance needs a reason.",
                hint="Give it with --reason, for somebody who reads it in a year.",
            )
        point = find_point(self.repository, spec, lambda _: None)
        name = point_name(point)
        if point.accepted:
            raise UsageError(f"{name} is accepted already: {point.accepted}.", subject=name)
        if not point.suspect:
            raise UsageError(f"{name} is not suspect.", subject=name, hint=self._which(point.source))
        accepted = accept_point(self.repository.objects, point.id, reason.strip(), self.clock.now())
        return replace(point, accepted=accepted.reason)

    def _which(self, source: str) -> str:
        points = self.repository.points.readable(source)[0]
        named = [f"{each.id[:12]} (window {each.window.key})" for each in points if each.is_suspect]
        if not named:
            return f"No point of {source} is suspect."
        return f"Suspect points of {source}: {', '.join(named[-5:])}. Name one by its id."
