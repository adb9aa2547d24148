"""The sources of a plan."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from backup_platform.domain.ports import Clock, DatabaseSource, Source
from backup_platform.errors import NotFoundError

if TYPE_CHECKING:
    from backup_platform.domain.model import RecoveryPoint
    from backup_platform.domain.restoring import DatabaseTarget
    from backup_platform.kinds.kind import Purpose
    from backup_platform.plan import Plan, SourceConfig


@dataclass(frozen=True, slots=True)
class PlannedSources:
    """Finds and builds the sources of a plan by name. Every method raises NotFoundError for an unknown one."""

    plan: Plan
    clock: Clock

    def config(self, name: str) -> SourceConfig:
        """The part of the plan that describes a source."""
        if name not in self.plan.sources:
            known = f"Its sources are: {', '.join(sorted(self.plan.sources))}."
            raise NotFoundError(f"The plan has no source {name!r}.", subject=name, hint=known)
        return self.plan.sources[name]

    def build(self, name: str, purpose: Purpose = "capture") -> Source:
        """Raises PlanError if a required secret cannot be looked up."""
        from backup_platform.wiring import make_source

        self.config(name)
        return make_source(name, self.plan, self.clock, purpose)

    def of_point(self, point: RecoveryPoint, purpose: Purpose) -> Source:
        """The source of a point, for comparing. Only its kind matters, not where the original is now."""
        from backup_platform.wiring import require_kind

        require_kind(point, self.config(point.source))
        return self.build(point.source, purpose)

    def database_of(self, point: RecoveryPoint, target: DatabaseTarget) -> DatabaseSource:
        """The source of a point, for a restore into a server. Raises UsageError if it cannot be restored into one."""
        from backup_platform.wiring import as_database

        return as_database(self.of_point(point, "restore"), target)
