"""The composition root: the services of a plan, for the command line, Dagster and users of the library."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Self

from backup_platform.clock import SystemClock
from backup_platform.domain.ports import AlertChannel, Clock
from backup_platform.domain.trust.latest import Skipped
from backup_platform.plan import Plan
from backup_platform.services.bound import BoundRepository
from backup_platform.services.sources import PlannedSources

if TYPE_CHECKING:
    from backup_platform.actions.keys.recipients import KeyRing
    from backup_platform.actions.trust.fingerprints import FingerprintCheck
    from backup_platform.repository.repository import Repository
    from backup_platform.services.copies import Copies
    from backup_platform.services.maintenance import Maintenance
    from backup_platform.services.points import RecoveryPoints
    from backup_platform.services.protocols import BackupService
    from backup_platform.services.proving import Proving
    from backup_platform.services.restores import Restores
    from backup_platform.services.setup import Setup
    from backup_platform.services.state import PlanState
    from backup_platform.services.tables import Tables
    from backup_platform.services.windows import Windows
    from backup_platform.stores.options import CredentialProvider


class App:
    """The services of one plan, bound to one of its repositories. Construction reads the plan and nothing else.

    `credentials` gives those of the store when the plan has none: asked when they are needed, and as they expire.
    """

    def __init__(
        self,
        plan: Plan,
        plan_path: str,
        clock: Clock,
        credentials: CredentialProvider | None = None,
        repository: str | None = None,
    ) -> None:
        name = repository or next(iter(plan.repositories))
        self.bound = BoundRepository(plan, plan_path, clock, name, credentials)

    @classmethod
    def load(
        cls,
        plan_path: str | None = None,
        *,
        clock: Clock | None = None,
        credentials: CredentialProvider | None = None,
    ) -> App:
        """The plan at a path, else $BACKUP_PLATFORM_PLAN, else ./backup.yaml. Raises PlanError."""
        from backup_platform.wiring import read_plan

        return cls(*read_plan(plan_path), clock or SystemClock(), credentials)

    def at(self, repository: str | None) -> Self:
        """The same plan, bound to another of its repositories; None: the first. Raises NotFoundError."""
        bound = self.bound.at(repository)
        if bound is self.bound:
            return self
        other = type(self)(self.plan, self.plan_path, self.clock, bound.credentials, bound.name)
        other.bound = bound
        return other

    def listen(self, skipped: Callable[[Skipped], None], doubt: Callable[[str], None]) -> None:
        """From now on tell `skipped` of each point that `latest` passes over, and `doubt` where nothing vouches for
        the repository. Otherwise both go to the log."""
        self.bound.tell, self.bound.warn = skipped, doubt

    @property
    def plan(self) -> Plan:
        return self.bound.plan

    @property
    def plan_path(self) -> str:
        return self.bound.plan_path

    @property
    def clock(self) -> Clock:
        return self.bound.clock

    @property
    def repository_name(self) -> str:
        return self.bound.name

    @property
    def repository(self) -> Repository:
        """Raises RepositoryMissingError, KeyMissingError, StoreError."""
        return self.bound.repository

    @property
    def recognising(self) -> FingerprintCheck:
        """What vouches for the repository being the right one."""
        return self.bound.recognising

    def channels(self) -> Sequence[AlertChannel]:
        """The plan's alert channels. Secrets are looked up when a message is sent."""
        from backup_platform.alerting.channels import apprise_channels

        return apprise_channels(self.plan.alerts, self.plan.secret)

    @cached_property
    def sources(self) -> PlannedSources:
        """The sources of the plan."""
        return PlannedSources(self.plan, self.clock)

    @cached_property
    def windows(self) -> Windows:
        """The windows of the sources, and which lack a point."""
        from backup_platform.services.windows import Windows

        return Windows(self.bound, self.sources)

    @cached_property
    def setup(self) -> Setup:
        """Makes repositories, and looks whether everything is in order and in a source."""
        from backup_platform.services.setup import Setup

        return Setup(self.bound, self.sources, self.windows, self.points)

    @cached_property
    def state(self) -> PlanState:
        """Tells the state of all sources and repositories."""
        from backup_platform.services.state import PlanState

        return PlanState(self.bound, self.windows)

    @property
    def keys(self) -> KeyRing:
        """The recipients of an encrypted repository."""
        from backup_platform.actions.keys.recipients import KeyRing

        return KeyRing(self.repository, self.clock)

    @cached_property
    def backups(self) -> BackupService:
        """Backs up sources."""
        from backup_platform.services.backups import Backups

        return Backups(self.bound, self.sources, self.windows)

    @cached_property
    def points(self) -> RecoveryPoints:
        """Finds, lists, compares and accepts recovery points."""
        from backup_platform.services.points import RecoveryPoints

        return RecoveryPoints(self.bound, self.sources)

    @cached_property
    def proofs(self) -> Proving:
        """Verifies, drills and checks points, and tells what was proven."""
        from backup_platform.services.proving import Proving

        return Proving(self.bound, self.sources, self.points)

    @cached_property
    def restores(self) -> Restores:
        """Restores points."""
        from backup_platform.services.restores import Restores

        return Restores(self.bound, self.sources, self.points)

    @cached_property
    def tables(self) -> Tables:
        """Lists, queries, compares, exports and loads the tables of points."""
        from backup_platform.services.tables import Tables

        return Tables(self.bound, self.points)

    @cached_property
    def copies(self) -> Copies:
        """Copies points to the repository, and tells where points are."""
        from backup_platform.services.copies import Copies

        return Copies(self.bound)

    @cached_property
    def maintenance(self) -> Maintenance:
        """Holds, retention, prune and repair."""
        from backup_platform.services.maintenance import Maintenance

        return Maintenance(self.bound)
