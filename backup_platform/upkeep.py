"""What is done to a repository besides backing up: composed here from a plan, for the command line and Dagster."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from backup_platform.domain.ports import Clock
    from backup_platform.domain.retention import KeepRules
    from backup_platform.plan import KeepPlan, Plan, RepositoryPlan
    from backup_platform.repository.repository import Repository


@dataclass(frozen=True, slots=True)
class Upkeep:
    """Of one repository of a plan: `settings` is its part of the plan."""

    plan: Plan
    settings: RepositoryPlan
    repository: Repository
    clock: Clock

    def keep_rules(self, source: str) -> KeepRules | None:
        """What the plan keeps of a source in this repository; None: everything, also of one that left the plan."""
        planned = self.plan.sources.get(source)
        keep = planned and (self.settings.keep or planned.keep)
        return _rules(keep) if keep else None


def _rules(keep: KeepPlan) -> KeepRules:
    from backup_platform.domain.retention import KeepRules

    return KeepRules(**keep.model_dump())
