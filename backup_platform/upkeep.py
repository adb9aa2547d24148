"""What is done to a repository besides backing up: composed here from a plan, for the command line and Dagster."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from backup_platform.domain.trust.latest import Skipped, log_skipped
from backup_platform.errors import PlanError, RepositoryError, UsageError

if TYPE_CHECKING:
    from backup_platform.actions.backup.run import BackupResult
    from backup_platform.actions.copy.run import Copying
    from backup_platform.actions.evidence import Evidence
    from backup_platform.actions.forget.give_up import LostPoints
    from backup_platform.actions.forget.lost import Losses
    from backup_platform.actions.forget.run import Retention
    from backup_platform.actions.points.accept import Accepting
    from backup_platform.actions.points.holds import Holds
    from backup_platform.actions.points.stored import StoredPoints
    from backup_platform.actions.prune.plan import PruneSettings
    from backup_platform.actions.prune.run import Pruning
    from backup_platform.actions.repair.run import Repair
    from backup_platform.actions.verify.read_cycle import ReadCycle
    from backup_platform.actions.verify.run import VerifyResult
    from backup_platform.domain.checks import CheckResult
    from backup_platform.domain.keep.copies import CopyRule
    from backup_platform.domain.keep.retention import KeepRules, SourceRules
    from backup_platform.domain.model import Proof, RecoveryPoint
    from backup_platform.domain.ports import Clock, Progress
    from backup_platform.plan import KeepConfig, Plan, RepositoryConfig, SourceConfig
    from backup_platform.repository.records.forgotten import ForgottenPoint
    from backup_platform.repository.repository import Repository


@dataclass(frozen=True, slots=True)
class Upkeep:
    """The upkeep of one repository of a plan. `settings` is its part of the plan, and `open` opens a repository of
    the plan by name."""

    plan: Plan
    settings: RepositoryConfig
    repository: Repository
    clock: Clock
    open: Callable[[str], Repository] | None = None
    tell: Callable[[Skipped], None] = log_skipped

    @property
    def retention(self) -> Retention:
        """Which points stay in this repository, and forgetting the others."""
        from backup_platform.actions.forget.run import Retention

        can = self.repository.capabilities
        return Retention(self.repository, self._source_rules(), self.clock, can.direct, can.lending)

    @property
    def accepting(self) -> Accepting:
        """Accepts suspect points."""
        from backup_platform.actions.points.accept import Accepting

        return Accepting(self.repository, self.clock)

    @property
    def giving_up(self) -> LostPoints:
        """What is done about points that are lost, and that no copy has."""
        from backup_platform.actions.forget.give_up import LostPoints

        return LostPoints(self.repository, self.clock, self.repository.capabilities.direct)

    @property
    def holds(self) -> Holds:
        """What keeps points of this repository whatever the rules say."""
        from backup_platform.actions.points.holds import Holds

        return Holds(self.repository, self.clock, self.tell)

    @property
    def evidence(self) -> Evidence:
        """The evidence in the ledger, and the records that are none."""
        from backup_platform.actions.evidence import Evidence

        return Evidence(self.repository)

    def pruning(self, grace: str | None = None) -> Pruning:
        """Deleting what no point needs; `grace` (a time such as 24h) instead of the plan's. Raises UsageError."""
        from backup_platform.actions.prune.run import Pruning

        can = self.repository.capabilities
        return Pruning(
            self.repository,
            self._prune_settings(grace),
            self.clock,
            can.drafts,
            can.direct,
            can.lending,
            can.keep_room,
        )

    def _prune_settings(self, grace: str | None) -> PruneSettings:
        from backup_platform.actions.prune.plan import PruneSettings
        from backup_platform.plan.values import parse_duration

        planned, default = self.settings.prune, PruneSettings()
        settings = (
            PruneSettings(planned.grace, float(planned.max_waste.rstrip("% ")) / 100) if planned else default
        )
        if grace is None:
            return settings
        try:
            return replace(settings, grace=parse_duration(grace))
        except ValueError as error:
            raise UsageError(f"--grace {grace}: {error}.", hint="Say for example 24h or 0.") from error

    def copying(self, origin: Repository) -> Copying:
        """Copying points of another repository of the plan to this one. Raises RepositoryError unless it is a copy."""
        from backup_platform.actions.copy.run import Copying

        if twin := self.plan.twin(self.settings):
            raise RepositoryError(
                f"The repository at {self.repository.info.location} cannot be a copy of itself: the plan's {twin} is "
                "in the same place.",
                hint="Give the copy a place of its own in the plan.",
            )
        return Copying(origin, self.repository, self.clock, self.keep_locked if self.settings.lock else None)

    def keep_result_locked(self, result: BackupResult) -> None:
        """`keep_locked` for what a backup stored, or found stored."""
        if self.settings.lock is not None:
            from backup_platform.actions.structure import needs_of

            packs = result.packs if result.created else needs_of(self.repository, result.point).packs
            self.keep_locked(result.point.source, packs)

    def keep_locked(self, source: str, packs: Collection[str]) -> None:
        """Prolong the retentions of what a new point needs, where the plan has a `lock`. Raises StoreError."""
        if self.settings.lock is None:
            return
        from backup_platform.actions.object_locks import ObjectLocks

        if locks := self.repository.capabilities.object_lock:
            ObjectLocks(self.repository, locks, self.clock).keep(source, packs)

    def copies_in_place(
        self,
        point: RecoveryPoint,
        holdings: Mapping[str, Iterable[RecoveryPoint]],
        forgotten: Collection[str] = (),
    ) -> CheckResult:
        """Whether a point is where the plan wants it. `holdings` are the points by repository, without those that did
        not answer; `forgotten` repositories let it go."""
        from backup_platform.actions.checks.copies import copies_in_place
        from backup_platform.domain.keep.copies import Holding, judge_copies

        held = {name: any(each.id == point.id for each in points) for name, points in holdings.items()}
        places = [
            Holding(name, self._place(name), held.get(name), forgot=name in forgotten)
            for name in self._repositories(point.source)
        ]
        rule = self.copy_rule(point.source)
        return copies_in_place(rule, judge_copies(rule, places, point.committed_at, self.clock.now()))

    def copy_rule(self, source: str) -> CopyRule:
        """What the plan says of the copies of a source: all its repositories, unless it gives a number."""
        from backup_platform.domain.keep.copies import CopyRule

        copies = self.plan.sources[source].copies
        number = copies.number or len(self._repositories(source))
        return CopyRule(number, copies.places, copies.within)

    def _repositories(self, source: str) -> list[str]:
        return [next(iter(self.plan.repositories)), *self.plan.copies_of(source)]

    def _place(self, name: str) -> str:
        """As the plan calls it, else the server or bucket, else here."""
        settings = self.plan.repositories[name]
        if settings.place:
            return settings.place
        try:
            where = (
                self.plan.secret(settings.endpoint) if settings.endpoint else self.plan.path(settings.path)
            )
        except PlanError:  # its secrets are not on this host: it is not here, at least
            return name
        return urlsplit(where).hostname or "local"

    def forgotten(self, since: datetime | None = None) -> list[ForgottenPoint]:
        """Records of points that were forgotten here, since an instant of the store's clock; not the damaged ones."""
        from backup_platform.repository.records.forgotten import forgotten_places, read_forgotten

        places = forgotten_places(self.repository.objects)
        return read_forgotten(
            self.repository.objects, [p for p in places if since is None or p.stored_at > since]
        )[0]

    def find_stored(self, points: Sequence[RecoveryPoint]) -> StoredPoints:
        """Which points of another repository this one holds, forgot, or lacks."""
        from backup_platform.actions.points.stored import find_stored

        return find_stored(self.repository, points)

    def copy_checks(self, point: RecoveryPoint, progress: Progress) -> Iterator[CheckResult]:
        """Whether the copy of a point in this repository is what it must be."""
        from backup_platform.actions.checks import points as checks
        from backup_platform.actions.verify.run import window_share

        share = window_share(self.plan.sources[point.source].verify, point.window)
        with self.repository.capabilities.direct():
            yield checks.stored(self.repository, point, share, self.clock, progress)
            yield checks.authentic(self.repository, point)

    def _source_rules(self) -> dict[str, SourceRules]:
        from backup_platform.domain.keep.retention import SourceRules
        from backup_platform.wiring import make_schedule

        since = self.plan.since or self.repository.info.created_at
        return {
            name: SourceRules(
                self.keep_rules(name),
                source.timezone,
                source.late_limit + _patience(source),
                make_schedule(source, since),
            )
            for name, source in self.plan.sources.items()
        }

    def keep_rules(self, source: str) -> KeepRules | None:
        """What the plan keeps of a source in this repository; None: everything, also of one that left the plan."""
        planned = self.plan.sources.get(source)
        keep = planned and (self.settings.keep or planned.keep)
        return _rules(keep) if keep else None

    @property
    def read_cycle(self) -> ReadCycle:
        """The reading of everything that is stored, a part each day. Every 30 days where the plan says nothing."""
        from backup_platform.actions.verify.read_cycle import CYCLE, ReadCycle

        planned = self.settings.verify
        return ReadCycle(self.repository, planned.cycle if planned else CYCLE, self.clock)

    def verify(
        self,
        points: Sequence[RecoveryPoint],
        read: str,
        progress: Progress,
        *,
        unreadable: Sequence[str] = (),
        whole: bool = False,
    ) -> VerifyResult:
        """Verify points, and read a share of what they need (all, none, N%), or of the repository what is `due`.

        `unreadable` tells of manifests that are damaged. `whole`: these are all points, so that others are lost.
        What is read counts for the rotation of reading, and how far that is is told where the plan asks for one.
        """
        from backup_platform.actions.verify.run import read_share, verify, verify_due
        from backup_platform.repository.encryption.key_objects import key_problems
        from backup_platform.repository.records.reads import compact_reads, record_reads

        if whole:
            keys = [str(each) for each in key_problems(self.repository.cipher)]
            unreadable = [*unreadable, *self.losses(points, unreadable).texts(), *keys]
        evidence = self.evidence
        doubts = evidence.of_all() if whole else evidence.of_points(point.id for point in points)
        unreadable = [*unreadable, *doubts.findings()]
        if read == "due":
            due = verify_due(self.read_cycle, points, progress, unreadable=unreadable)
            return replace(due, notes=(*due.notes, *doubts.notes()))
        now = self.clock.now()
        result = verify(
            self.repository,
            points,
            read_share(read, now.date()),
            self.clock,
            progress,
            unreadable=unreadable,
            after=partial(record_reads, self.repository.objects, at=now),
        )
        if result.packs_read:
            with result.unrecorded.noting():
                compact_reads(self.repository.objects, now, self.repository.points.ids)
        rotation = self.read_cycle.status() if self.settings.verify else None
        return replace(result, rotation=rotation, notes=(*result.notes, *doubts.notes()))

    def unvouched(
        self, points: Sequence[RecoveryPoint], proofs: Mapping[str, list[Proof]]
    ) -> dict[str, int | None]:
        """By point id, the bytes that the writer did not check and that nobody has decoded since. None means
        unknown."""
        from backup_platform.actions.verify.trusted import unvouched

        return unvouched(self.repository, points, proofs)

    def losses(self, points: Sequence[RecoveryPoint], unreadable: Sequence[str]) -> Losses:
        """What is lost where these are all points that can be read."""
        from backup_platform.actions.forget.lost import find_losses

        return find_losses(self.repository, points, unreadable, complete=self._complete)

    @property
    def _complete(self) -> bool:
        """Whether points are written here first."""
        return self.settings is self.plan.repository

    def repair(self, donors: Sequence[str] = ()) -> Repair:
        """Mending from other repositories of the plan, all of them unless some are named.

        One that cannot be opened is left out, and told in the repair's plan. Raises NotFoundError for an unknown name,
        RepositoryError for one that is no copy.
        """
        from backup_platform.actions.repair.run import Repair

        found, absent = {}, []
        for name in [self.plan.known_repository(name) for name in donors] or self.plan.repositories:
            if self.plan.repositories[name] is self.settings or self.open is None:
                continue
            try:
                found[name] = self.open(name)
            except (RepositoryError, PlanError) as error:
                absent.append(f"The copy {name} cannot be opened: {error.message}")
        return Repair(
            self.repository,
            found,
            self.clock,
            complete=self._complete,
            absent=absent,
            direct=partial(_direct, [self.repository, *found.values()]),
        )


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
