"""The composition root: from a plan to wired objects. What the command line and Dagster call."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from datetime import date, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self, Unpack

from backup_platform.actions.trust.fingerprints import log_doubt
from backup_platform.advice import command
from backup_platform.clock import SILENT, SystemClock
from backup_platform.domain.checks import Check, CheckResult, checks_with
from backup_platform.domain.model import Entry, Proof, RecoveryPoint
from backup_platform.domain.ports import (
    Buffer,
    Clock,
    DatabaseSource,
    Notifier,
    OpenedStore,
    Progress,
    Source,
)
from backup_platform.domain.trust.latest import Skipped, log_skipped
from backup_platform.errors import NotFoundError, UsageError
from backup_platform.kinds import registry
from backup_platform.plan import Plan, SourceConfig
from backup_platform.repository.records.proofs import recorded

if TYPE_CHECKING:
    from backup_platform.actions.backup.run import BackupResult
    from backup_platform.actions.doctor.run import DoctorFinding
    from backup_platform.actions.drill import DrillResult
    from backup_platform.actions.keys.recipients import KeyRing
    from backup_platform.actions.points.inventory import Difference
    from backup_platform.actions.query.results import QueryOptions, QueryResult
    from backup_platform.actions.restore.run import RestorePlan, RestoreSummary
    from backup_platform.actions.tables.diff import DiffOptions, TableDifference
    from backup_platform.actions.tables.export import ExportSummary
    from backup_platform.actions.tables.point_tables import PointTables
    from backup_platform.actions.trust.fingerprints import FingerprintCheck
    from backup_platform.actions.verify.run import VerifyResult
    from backup_platform.domain.restoring import DatabaseRestorePlan, DatabaseRestoreSummary, DatabaseTarget
    from backup_platform.domain.windows.health import DrillPolicy, MissedWindows
    from backup_platform.domain.windows.schedule import WindowSchedule
    from backup_platform.kinds.kind import AnyKind, Purpose
    from backup_platform.plan import RepositoryConfig
    from backup_platform.repository.encryption.key_files import Keys
    from backup_platform.repository.objects.info import RepositoryInfo
    from backup_platform.repository.repository import Repository
    from backup_platform.stores.options import CredentialProvider
    from backup_platform.upkeep import Upkeep


class App:
    """One plan, wired. Construction reads the plan and nothing else.

    `credentials` gives those of the store when the plan has none: asked when they are needed, and as they expire.
    `tell` is told of each point that `latest` passes over, `warn` where nothing vouches for the repository.
    """

    def __init__(
        self,
        plan: Plan,
        plan_path: str,
        clock: Clock,
        credentials: CredentialProvider | None = None,
        repository: str | None = None,
    ) -> None:
        self.plan, self.plan_path, self.clock = plan, plan_path, clock
        self.repository_name = repository or next(iter(plan.repositories))
        self._credentials = credentials
        self.tell: Callable[[Skipped], None] = log_skipped
        self.warn: Callable[[str], None] = log_doubt

    def at(self, repository: str | None) -> Self:
        """The same plan, bound to another of its repositories; None: the first. Raises NotFoundError."""
        name = self.plan.known_repository(repository)
        if name == self.repository_name:
            return self
        other = type(self)(self.plan, self.plan_path, self.clock, self._credentials, name)
        other.tell, other.warn = self.tell, self.warn
        return other

    @property
    def repository_plan(self) -> RepositoryConfig:
        """What the plan says of the repository that this is bound to."""
        return self.plan.repositories[self.repository_name]

    @property
    def upkeep(self) -> Upkeep:
        """What keeps the repository small, read, copied and sound."""
        from backup_platform.upkeep import Upkeep

        settings = self.repository_plan
        return Upkeep(
            self.plan, settings, self.repository, self.clock, lambda n: self.at(n).repository, self.tell
        )

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

    # The repository

    @cached_property
    def repository(self) -> Repository:
        """Raises RepositoryMissingError, KeyMissingError, StoreError."""
        from backup_platform.wiring import open_repository

        return open_repository(self.plan, self.repository_name, lambda: self.opened, self.clock, self._keys)

    @property
    def recognising(self) -> FingerprintCheck:
        """What vouches for the repository being the right one."""
        from backup_platform.wiring import recognising_of

        return recognising_of(self.plan, self.repository_name, self.clock, self._keys)

    @property
    def _giving(self) -> Repository:
        """The repository, for verbs that return data. If nothing vouches for it, the user is told before."""
        if doubt := self.recognising.doubt(self.repository.info):
            self.warn(doubt)
        return self.repository

    @property
    def _keys(self) -> Keys:
        from backup_platform.wiring import repository_keys

        return repository_keys(self.plan, self.repository_plan)

    @cached_property
    def opened(self) -> OpenedStore:
        from backup_platform.wiring import make_store

        return make_store(self.plan, self.repository_plan, self.clock, provider=self._credentials)

    def init(self, *, recipients: Sequence[str] = (), copy_of: str | None = None) -> RepositoryInfo:
        """Create the plan's repository, encrypted if there are recipients, given or in the plan. One that is not the
        first is made as a copy of the first; `copy_of` names another one.

        Raises ConflictError when there is one, StoreError where none may be, UsageError.
        """
        from backup_platform.actions.init import choose_recipients, make, refuse_new_history
        from backup_platform.wiring import make_store, probe_planned

        origin = self.at(copy_of)
        recipients = choose_recipients(self._keys, recipients, self.repository_plan, copy=origin is not self)
        other = None if origin is self else origin.repository
        if other is None:
            self.recognising.refuse_to_make()
            refuse_new_history(self.repository_name, self.plan.repositories, self.at)
        opened = make_store(
            self.plan, self.repository_plan, self.clock, create=True, provider=self._credentials
        )
        probe_planned(opened.store, self.plan, self.repository_plan)
        info = make(opened.store, self.clock, self._keys, recipients, other)
        opened.capabilities.keep_room()
        self.recognising.made(info)
        return info

    def probe(self) -> str:
        """Whether the store does what a repository relies on: what was seen. Raises RepositoryError."""
        from backup_platform.wiring import probe_planned

        return probe_planned(self.repository.store, self.plan, self.repository_plan)

    @property
    def keys(self) -> KeyRing:
        """The recipients of an encrypted repository."""
        from backup_platform.actions.keys.recipients import KeyRing

        return KeyRing(self.repository, self.clock)

    # Sources and their windows

    def source(self, name: str, purpose: Purpose = "capture") -> Source:
        """Raises NotFoundError for a name that the plan does not have, PlanError for a secret that is needed."""
        from backup_platform.wiring import make_source

        self._source_plan(name)
        return make_source(name, self.plan, self.clock, purpose)

    def _source_plan(self, name: str) -> SourceConfig:
        if name not in self.plan.sources:
            known = f"Its sources are: {', '.join(sorted(self.plan.sources))}."
            raise NotFoundError(f"The plan has no source {name!r}.", subject=name, hint=known)
        return self.plan.sources[name]

    def schedule(self, source: str) -> WindowSchedule:
        """The windows of a source. Works while a remote repository is away."""
        from backup_platform.wiring import make_schedule

        return make_schedule(self._source_plan(source), self.since)

    @cached_property
    def since(self) -> datetime | date:
        """When windows start: the plan's `since`, else when the repository was created."""
        if self.plan.since:
            return self.plan.since
        from backup_platform.repository.objects.info import read_info
        from backup_platform.wiring import remembered_creation, state_of

        return remembered_creation(
            self.plan_path,
            self.plan.path(self.plan.repository.path),
            state_of(self.plan),
            self.clock,
            lambda: read_info(self.at(None).opened.store).created_at,
        )

    # Recovery points

    def backup(
        self, source: str, *, window: str | None = None, force: bool = False, progress: Progress = SILENT
    ) -> BackupResult:
        """Raises WindowError, SourceError, RepositoryError. An incomplete point is returned, and says so."""
        from backup_platform.actions.backup.run import BackupJob
        from backup_platform.wiring import demands_of

        if self.repository_name != (first := next(iter(self.plan.repositories))):
            raise UsageError(
                f"Backups go to {first}, and {self.repository_name} holds copies of it.",
                hint=(command("backup", source, repository=first), ", then copy it from there."),
            )
        demands = demands_of(self._source_plan(source))
        job = BackupJob(self.source(source), self.schedule(source), self.repository, self.clock, demands)
        result = job.run(window, force=force, progress=progress)
        self.upkeep.keep_result_locked(result)
        return result.telling(self.keys.unexpected())

    def points(self, source: str | None = None) -> list[RecoveryPoint]:
        """The recovery point of every window that has one, by source, oldest first.

        Damaged manifests do not hide the others: `unreadable` tells of them.
        """
        from backup_platform.repository.points.chains import effective_points

        found = effective_points(self.repository.points.readable(source)[0])
        if source is not None and not found:
            self._source_plan(source)  # points of a source that left the plan are still there
        return found

    def undecided(self, source: str | None = None) -> list[RecoveryPoint]:
        """Suspect points that `points` leaves out, because their window has an earlier point."""
        from backup_platform.repository.points.chains import undecided_points

        return undecided_points(self.repository.points.readable(source)[0])

    def unreadable(self, source: str | None = None) -> list[str]:
        """What is wrong with the manifests that are damaged, one sentence each."""
        return [error.message for error in self.repository.points.readable(source)[1]]

    def point(self, spec: str) -> RecoveryPoint:
        """SOURCE@latest, SOURCE@WINDOW, SOURCE@DATE, or the start of an id. Raises NotFoundError, UsageError."""
        from backup_platform.actions.points.find import find_point

        return find_point(self.repository, spec, self.tell)

    def kind_of(self, point: RecoveryPoint) -> AnyKind:
        return registry.described(point.kind)

    def manifest_path(self, point: RecoveryPoint) -> str:
        return self.repository.points.location(point)

    def proofs(self) -> dict[str, list[Proof]]:
        """Verdicts by point id, oldest first, without their details."""
        return self.repository.proofs.by_point()

    def proof_details(self, point: RecoveryPoint) -> list[Proof]:
        return self.repository.proofs.details(point.id)

    def missing(self, source: str, now: datetime, known: datetime | None = None) -> MissedWindows:
        """Which windows lack a complete point; `known` is since when somebody watches a source that never had one.

        Raises DamageError: a window whose manifest cannot be read was not missed.
        """
        from backup_platform.actions.points.windows import missing

        return missing(self.repository, self.schedule(source), source, now, known)

    # Proof

    def checks_of(self, source: str) -> list[Check]:
        return checks_with(self._source_plan(source).source_kind.checks)

    def checks(self, point: RecoveryPoint, *, progress: Progress = SILENT) -> Iterator[CheckResult]:
        """The verdict of every check of `checks_of`, in that order. Drills only when they are due."""
        from backup_platform.actions.checks import points as checks
        from backup_platform.actions.verify.run import window_share

        plan, repository = self._source_plan(point.source), self.repository
        history, _ = repository.points.readable(point.source)  # `authentic` reports the damaged ones
        share = window_share(plan.verify, point.window)
        with self.repository.capabilities.direct():
            stored = checks.stored(repository, point, share, self.clock, progress)
            first = self.repository_name == next(iter(self.plan.repositories))
            authentic = checks.authentic(repository, point, whole=first)
        yield stored
        yield checks.complete(point)
        yield authentic
        yield checks.plausible(history, point)
        yield from (check.judge(history, point) for check in plan.source_kind.checks)
        yield self.drill_check(point, plan.drill, progress=progress)

    def drill_check(
        self, point: RecoveryPoint, policy: DrillPolicy, *, progress: Progress = SILENT
    ) -> CheckResult:
        """Drill when the policy says that it is due; else what an earlier drill of the same point found."""
        from backup_platform.actions.checks.points import drill_check

        timezone = self._source_plan(point.source).timezone
        return drill_check(
            self.repository, point, policy, timezone, drill=lambda: recorded(self._drill(point, progress))
        )

    def verify(
        self, spec: str | None = None, *, read: str = "all", progress: Progress = SILENT
    ) -> VerifyResult:
        """Verify one point, or every point of the repository. `read`: all, none, N%, or due, see `Upkeep.verify`."""
        with self.repository.capabilities.direct():
            points = [self.point(spec)] if spec else self.repository.points.readable(reread=True)[0]
            unreadable = [] if spec else self.unreadable()
            return self.upkeep.verify(points, read, progress, unreadable=unreadable, whole=not spec)

    def drill(
        self, spec: str, *, progress: Progress = SILENT, time_limit_s: float | None = None
    ) -> DrillResult:
        """Restore a point into a sandbox and compare. The verdict is recorded. Within the plan's `max_runtime`, unless
        another time is given. Raises NotFoundError, TimeLimitError."""
        return self._drill(self.point(spec), progress, time_limit_s)

    def _drill(self, point: RecoveryPoint, progress: Progress, limit: float | None = None) -> DrillResult:
        from backup_platform.actions.drill import drill

        with self.repository.capabilities.direct():
            self.repository.indexes(fresh=True)
            source, longest = self._source_of(point, "drill"), self._source_plan(point.source).max_runtime
            limit = longest.total_seconds() if limit is None else limit
            return drill(self._giving, source, point, self.clock, progress, limit_s=limit)

    def _source_of(self, point: RecoveryPoint, purpose: Purpose) -> Source:
        """The point's source for comparing: what it is stored as matters, not where the original is now."""
        from backup_platform.wiring import require_kind

        require_kind(point, self._source_plan(point.source))
        return self.source(point.source, purpose)

    # Restore

    def restore_plan(
        self, spec: str, *, to: str, paths: Sequence[str] = (), overwrite: bool = False
    ) -> RestorePlan:
        """What a restore would do. Raises NotFoundError, TargetError, KeyMissingError without a key to contents."""
        from backup_platform.actions.restore.run import plan_restore

        self._giving.cipher.require_contents()
        point = self.point(spec)
        return plan_restore(self.repository.reader(point), point, to=to, paths=paths, overwrite=overwrite)

    def restore(self, plan: RestorePlan, *, progress: Progress = SILENT) -> RestoreSummary:
        from backup_platform.actions.restore.run import run_restore

        return run_restore(plan, self.repository, self.clock, progress)

    def restore_database_plan(self, spec: str, target: DatabaseTarget) -> DatabaseRestorePlan:
        """What it would do. Raises NotFoundError, UsageError, TargetError, KeyMissingError without contents' key."""
        self._giving.cipher.require_contents()
        point = self.point(spec)
        return self._database_of(point, target).plan_restore(point, self.repository.reader(point), target)

    def restore_database(
        self, plan: DatabaseRestorePlan, *, progress: Progress = SILENT
    ) -> DatabaseRestoreSummary:
        """Raises TargetError: before anything is written if the plan has conflicts; KeyMissingError likewise."""
        self.repository.cipher.require_contents()
        source = self._database_of(plan.point, plan.target)
        return source.run_restore(plan, self.repository.reader(plan.point), progress)

    def _database_of(self, point: RecoveryPoint, target: DatabaseTarget) -> DatabaseSource:
        from backup_platform.wiring import as_database

        return as_database(self._source_of(point, "restore"), target)

    def cat(self, spec: str, path: str | None = None) -> Iterator[Buffer]:
        """The content of one file. Raises NotFoundError, UsageError, KeyMissingError, while it is read DamageError."""
        from backup_platform.actions.restore.content import file_content

        self._giving.cipher.require_contents()
        point = self.point(spec)
        return file_content(self.repository.reader(point), point, path)

    def ls(self, spec: str, path: str | None = None) -> Iterator[Entry]:
        """The inventory of a point, or the part at and below a path. Raises NotFoundError."""
        from backup_platform.actions.points.inventory import list_entries

        return list_entries(self.repository.reader(self.point(spec)).entries(), path)

    def diff(self, a: str, b: str) -> Iterator[Difference]:
        """What differs from point `a` to point `b`."""
        from backup_platform.actions.points.inventory import diff_entries

        points = [self.point(spec) for spec in (a, b)]
        before, after = (self.repository.reader(point).entries() for point in points)
        return diff_entries(before, after, metadata=any(self.kind_of(point).tree for point in points))

    # Tables

    def tables(self, spec: str) -> PointTables:
        """The tables of a recovery point. Raises NotFoundError, UsageError for a point without tables."""
        from backup_platform.actions.tables.point_tables import PointTables

        having = [name for name, plan in self.plan.sources.items() if plan.source_kind.tables]
        return PointTables(self._giving.reader(self.point(spec)), elsewhere=having)

    def tables_of(self, point: RecoveryPoint) -> PointTables | None:
        """The tables of a point; None, and nothing is read, when its kind has none."""
        from backup_platform.actions.tables.point_tables import PointTables, has_tables

        return PointTables(self.repository.reader(point)) if has_tables(point) else None

    def query(self, spec: str, sql: str, **how: Unpack[QueryOptions]) -> AbstractContextManager[QueryResult]:
        """SQL over the tables of a recovery point. Raises UsageError for what is wrong with it."""
        from backup_platform.actions.query.run import query

        return query(self.tables(spec), sql, **how)

    def diff_table(self, a: str, b: str, table: str, **how: Unpack[DiffOptions]) -> TableDifference:
        """What differs from point `a` to point `b` in one table; the first differences are listed."""
        from backup_platform.actions.tables.diff import diff_table

        return diff_table(self.tables(a), self.tables(b), table, **how)

    def export(
        self,
        spec: str,
        to: str,
        *,
        tables: Sequence[str] = (),
        overwrite: bool = False,
        progress: Progress = SILENT,
    ) -> ExportSummary:
        """Tables of a recovery point, all unless some are named, as Parquet files in a directory or store."""
        from backup_platform.actions.tables.export import export
        from backup_platform.stores.remote import open_url

        return export(
            self.tables(spec),
            to,
            tables,
            overwrite=overwrite,
            open_store=open_url,
            clock=self.clock,
            progress=progress,
        )

    def load_table(
        self,
        source: str,
        window: str,
        table: str,
        *,
        columns: Sequence[str] | None = None,
        filter: Any = None,  # noqa: A002  as in pyarrow
        as_pandas: bool = False,
    ) -> Any:
        """A table of the recovery point of a window (or "latest"), see `backup_platform.load_table`."""
        from backup_platform.actions.points.find import require_window
        from backup_platform.actions.tables.load import load

        point = self.point(f"{source}@{window}")
        require_window(point, window)
        rows = load(self.tables(point.id), table, columns=columns, where=filter)
        return rows.to_pandas(use_threads=False) if as_pandas else rows

    # Operation

    def doctor(self) -> list[DoctorFinding]:
        """Whether everything that backups need is in order."""
        from backup_platform.actions.doctor.subject import examination
        from backup_platform.alerting.channels import known_channels

        return examination(self, known_channels).run()

    def notifier(self) -> Notifier:
        """The plan's alert channels. Raises PlanError for a secret that cannot be read."""
        from backup_platform.alerting.channels import AppriseNotifier

        return AppriseNotifier([self.plan.secret(url) for url in self.plan.alerts])
