"""What the command line asks of each service, and the fakes of tests answer. The docstrings are with the services."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from typing import TYPE_CHECKING, Protocol, Unpack

if TYPE_CHECKING:
    from backup_platform.actions.backup.run import BackupResult
    from backup_platform.actions.copy.run import Copying
    from backup_platform.actions.doctor.run import DoctorFinding
    from backup_platform.actions.drill import DrillResult
    from backup_platform.actions.evidence import Doubts
    from backup_platform.actions.forget.give_up import LostPoints
    from backup_platform.actions.forget.run import ForgetPlan, ForgetSummary
    from backup_platform.actions.keys.recipients import Rewrapped
    from backup_platform.actions.keys.run import KeyTest
    from backup_platform.actions.points.holds import HeldPoint
    from backup_platform.actions.points.inventory import Difference
    from backup_platform.actions.points.stored import StoredPoints
    from backup_platform.actions.prune.run import Pruning
    from backup_platform.actions.query.results import QueryOptions, QueryResult
    from backup_platform.actions.repair.root import RootRepair
    from backup_platform.actions.repair.run import Repair
    from backup_platform.actions.restore.run import RestorePlan, RestoreSummary
    from backup_platform.actions.tables.diff import DiffOptions, TableDifference
    from backup_platform.actions.tables.export import ExportSummary
    from backup_platform.actions.tables.point_tables import PointTables
    from backup_platform.actions.trust.fingerprints import FingerprintCheck
    from backup_platform.actions.verify.run import VerifyResult
    from backup_platform.advice import Advice
    from backup_platform.domain.checks import CheckResult
    from backup_platform.domain.coverage import Coverage, Surroundings
    from backup_platform.domain.keep.holds import Hold
    from backup_platform.domain.model import Entry, Proof, RecoveryPoint
    from backup_platform.domain.ports import Buffer, Progress
    from backup_platform.domain.restoring import DatabaseRestorePlan, DatabaseRestoreSummary, DatabaseTarget
    from backup_platform.domain.status.values import PlanStatus
    from backup_platform.domain.trust.latest import Skipped
    from backup_platform.domain.windows.health import MissedWindows
    from backup_platform.domain.windows.schedule import WindowSchedule
    from backup_platform.kinds.kind import AnyKind
    from backup_platform.plan import Plan
    from backup_platform.repository.encryption.recipients import StoredRecipient
    from backup_platform.repository.objects.info import RepositoryInfo
    from backup_platform.repository.repository import Repository


class SetupService(Protocol):
    def init(self, *, recipients: Sequence[str] = (), copy_of: str | None = None) -> RepositoryInfo: ...

    def doctor(self) -> list[DoctorFinding]: ...

    def coverage(self, assets: Callable[[], Surroundings] | None = None) -> Coverage: ...


class StateService(Protocol):
    def look(self, unprotected: Sequence[str] = ()) -> PlanStatus: ...


class KeyService(Protocol):
    @property
    def planned(self) -> Sequence[str]: ...

    def add(self, recipient: str) -> StoredRecipient: ...

    def retire(self, recipient: str) -> StoredRecipient: ...

    def recipients(self) -> list[StoredRecipient]: ...

    def problems(self) -> list[Advice]: ...

    def test(self) -> list[KeyTest]: ...

    def rewrap(self, named: Sequence[str] = ()) -> Rewrapped: ...

    def export(self, path: str) -> None: ...


class WindowService(Protocol):
    def schedule(self, source: str) -> WindowSchedule: ...

    def missing(self, source: str, now: datetime, known: datetime | None = None) -> MissedWindows: ...


class BackupService(Protocol):
    def run(
        self, source: str, *, window: str | None = None, force: bool = False, progress: Progress = ...
    ) -> BackupResult: ...


class PointService(Protocol):
    def all(self, source: str | None = None) -> list[RecoveryPoint]: ...

    def undecided(self, source: str | None = None) -> list[RecoveryPoint]: ...

    def unreadable(self, source: str | None = None) -> list[str]: ...

    def find(self, spec: str) -> RecoveryPoint: ...

    def kind_of(self, point: RecoveryPoint) -> AnyKind: ...

    def accept(self, spec: str, reason: str) -> RecoveryPoint: ...

    def entries(self, spec: str, path: str | None = None) -> Iterator[Entry]: ...

    def diff(self, a: str, b: str) -> Iterator[Difference]: ...


class EvidenceService(Protocol):
    def proofs(self) -> tuple[dict[str, list[Proof]], Doubts]: ...

    def of_points(self, points: Iterable[str]) -> Doubts: ...

    def of_keys(self) -> Doubts: ...


class ProofService(Protocol):
    @property
    def evidence(self) -> EvidenceService: ...

    def details(self, point: RecoveryPoint) -> list[Proof]: ...

    def unvouched(
        self, points: Sequence[RecoveryPoint], proofs: Mapping[str, list[Proof]]
    ) -> dict[str, int | None]: ...

    def verify(
        self, spec: str | None = None, *, read: str = "all", progress: Progress = ...
    ) -> VerifyResult: ...

    def drill(
        self, spec: str, *, progress: Progress = ..., time_limit_s: float | None = None
    ) -> DrillResult: ...


class RestoreService(Protocol):
    def plan(
        self, spec: str, *, to: str, paths: Sequence[str] = (), overwrite: bool = False
    ) -> RestorePlan: ...

    def run(self, plan: RestorePlan, *, progress: Progress = ...) -> RestoreSummary: ...

    def plan_database(self, spec: str, target: DatabaseTarget) -> DatabaseRestorePlan: ...

    def run_database(
        self, plan: DatabaseRestorePlan, *, progress: Progress = ...
    ) -> DatabaseRestoreSummary: ...

    def content(self, spec: str, path: str | None = None) -> Iterator[Buffer]: ...


class TableService(Protocol):
    def of(self, spec: str) -> PointTables: ...

    def query(
        self, spec: str, sql: str, **how: Unpack[QueryOptions]
    ) -> AbstractContextManager[QueryResult]: ...

    def diff(self, a: str, b: str, table: str, **how: Unpack[DiffOptions]) -> TableDifference: ...

    def export(
        self,
        spec: str,
        to: str,
        *,
        tables: Sequence[str] = (),
        overwrite: bool = False,
        progress: Progress = ...,
    ) -> ExportSummary: ...


class CopyService(Protocol):
    def copying(self, origin: Repository) -> Copying: ...

    def find_stored(self, points: Sequence[RecoveryPoint]) -> StoredPoints: ...

    def in_place(
        self,
        point: RecoveryPoint,
        holdings: Mapping[str, Iterable[RecoveryPoint]],
        forgotten: Collection[str] = (),
    ) -> CheckResult: ...


class RetentionService(Protocol):
    def plan_forget(self, sources: Sequence[str] = ()) -> ForgetPlan: ...

    def run_forget(self, plan: ForgetPlan, progress: Progress = ...) -> ForgetSummary: ...


class HoldService(Protocol):
    def place(self, spec: str, reason: str, *, until: str = "", legal: bool = False) -> HeldPoint: ...

    def release(self, spec: str, reason: str, *, legal: bool = False) -> list[Hold]: ...

    def stands(self, point: str) -> bool: ...

    def listed(self) -> list[HeldPoint]: ...

    def in_force(self, point: str | None = None) -> dict[str, list[Hold]]: ...


class MaintenanceService(Protocol):
    @property
    def retention(self) -> RetentionService: ...

    @property
    def holds(self) -> HoldService: ...

    @property
    def giving_up(self) -> LostPoints: ...

    def pruning(self, grace: str | None = None) -> Pruning: ...

    def repair(self, donors: Sequence[str] = ()) -> Repair: ...

    def repair_root(self, donor: str) -> RootRepair: ...


class Services(Protocol):
    """The services of a plan, bound to one of its repositories: what the command line asks for."""

    @property
    def plan(self) -> Plan: ...

    @property
    def plan_path(self) -> str: ...

    @property
    def repository_name(self) -> str: ...

    @property
    def repository(self) -> Repository: ...

    @property
    def recognising(self) -> FingerprintCheck: ...

    def at(self, repository: str | None) -> Services: ...

    def listen(self, skipped: Callable[[Skipped], None], doubt: Callable[[str], None]) -> None: ...

    @property
    def setup(self) -> SetupService: ...

    @property
    def state(self) -> StateService: ...

    @property
    def keys(self) -> KeyService: ...

    @property
    def windows(self) -> WindowService: ...

    @property
    def backups(self) -> BackupService: ...

    @property
    def points(self) -> PointService: ...

    @property
    def proofs(self) -> ProofService: ...

    @property
    def restores(self) -> RestoreService: ...

    @property
    def tables(self) -> TableService: ...

    @property
    def copies(self) -> CopyService: ...

    @property
    def maintenance(self) -> MaintenanceService: ...
