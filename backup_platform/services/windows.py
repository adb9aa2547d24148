"""The windows of sources, and which of them lack a point."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from functools import cached_property
from typing import TYPE_CHECKING

from backup_platform.services.bound import BoundRepository
from backup_platform.services.sources import PlannedSources

if TYPE_CHECKING:
    from backup_platform.domain.windows.health import MissedWindows
    from backup_platform.domain.windows.schedule import WindowSchedule


@dataclass
class Windows:
    """The windows of a plan's sources, and what a repository holds of them."""

    bound: BoundRepository
    sources: PlannedSources

    def schedule(self, source: str) -> WindowSchedule:
        """The windows of a source. Works while a remote repository cannot be reached. Raises NotFoundError."""
        from backup_platform.wiring import make_schedule

        return make_schedule(self.sources.config(source), self.since)

    @cached_property
    def since(self) -> datetime | date:
        """When windows start: the plan's `since`, else when the repository was created."""
        if self.bound.plan.since:
            return self.bound.plan.since
        from backup_platform.repository.objects.info import read_info
        from backup_platform.wiring import remembered_creation, state_of

        plan = self.bound.plan
        return remembered_creation(
            self.bound.plan_path,
            plan.path(plan.repository.path),
            state_of(plan),
            self.bound.clock,
            lambda: read_info(self.bound.at(None).opened.store).created_at,
        )

    def missing(self, source: str, now: datetime, known: datetime | None = None) -> MissedWindows:
        """Which windows lack a complete point. `known` is since when a source that never had a point is watched. Raises
        DamageError, because a window whose manifest cannot be read was not missed."""
        from backup_platform.actions.points.windows import missing

        return missing(self.bound.repository, self.schedule(source), source, now, known)
