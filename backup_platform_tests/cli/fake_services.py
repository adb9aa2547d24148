"""The services of a fake application: each answers what it was given, and the type checker compares them with
`services/protocols.py`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from backup_platform.clock import SILENT
from backup_platform.errors import BackupError, NotFoundError

if TYPE_CHECKING:
    from backup_platform.actions.backup.run import BackupResult
    from backup_platform.actions.doctor.run import DoctorFinding
    from backup_platform.actions.drill import DrillResult
    from backup_platform.actions.evidence import Doubts
    from backup_platform.actions.forget.give_up import LostPoints
    from backup_platform.actions.forget.run import ForgetPlan, ForgetSummary
    from backup_platform.actions.keys.recipients import Rewrapped
    from backup_platform.actions.keys.run import KeyTest
    from backup_platform.actions.points.holds import HeldPoint
    from backup_platform.actions.points.inventory import Difference
    from backup_platform.actions.prune.run import Pruning
    from backup_platform.actions.repair.root import RootRepair
    from backup_platform.actions.repair.run import Repair
    from backup_platform.actions.restore.run import RestorePlan, RestoreSummary
    from backup_platform.actions.verify.run import VerifyResult
    from backup_platform.advice import Advice
    from backup_platform.domain.coverage import Coverage, Surroundings
    from backup_platform.domain.keep.holds import Hold
    from backup_platform.domain.model import Entry, Proof, RecoveryPoint
    from backup_platform.domain.ports import Buffer, Progress
    from backup_platform.domain.restoring import DatabaseRestorePlan, DatabaseRestoreSummary, DatabaseTarget
    from backup_platform.domain.status.values import PlanStatus
    from backup_platform.kinds.kind import AnyKind
    from backup_platform.repository.encryption.recipients import StoredRecipient
    from backup_platform.repository.objects.info import RepositoryInfo
    from backup_platform_tests.cli.fake import FakeApp

REAL = "This is tested with a real repository."
PLAIN: Any = SimpleNamespace(sizes="source", server=None, tree=False)
Answer = Callable[..., Any]


@dataclass
class FakeSetup:
    answer: Answer

    def init(self, *, recipients: Sequence[str] = (), copy_of: str | None = None) -> RepositoryInfo:
        made: RepositoryInfo = self.answer("init", recipients=tuple(recipients), copy_of=copy_of)
        return made

    def doctor(self) -> list[DoctorFinding]:
        found: list[DoctorFinding] = self.answer("doctor")
        return found

    def coverage(self, assets: Callable[[], Surroundings] | None = None) -> Coverage:
        found: Coverage = self.answer("coverage")
        return found


@dataclass
class FakeState:
    answer: Answer

    def look(self, unprotected: Sequence[str] = ()) -> PlanStatus:
        found: PlanStatus = self.answer("look")
        return found


@dataclass
class FakeKeys:
    answer: Answer
    planned: Sequence[str] = ()

    def add(self, recipient: str) -> StoredRecipient:
        added: StoredRecipient = self.answer("keys.add", recipient=recipient)
        return added

    def retire(self, recipient: str) -> StoredRecipient:
        retired: StoredRecipient = self.answer("keys.retire", recipient=recipient)
        return retired

    def recipients(self) -> list[StoredRecipient]:
        found: list[StoredRecipient] = self.answer("keys.recipients")
        return found

    def problems(self) -> list[Advice]:
        return []

    def test(self) -> list[KeyTest]:
        tests: list[KeyTest] = self.answer("keys.test")
        return tests

    def rewrap(self, named: Sequence[str] = ()) -> Rewrapped:
        done: Rewrapped = self.answer("keys.rewrap", named=tuple(named))
        return done

    def export(self, path: str) -> None:
        self.answer("keys.export", path=path)


@dataclass
class FakeBackups:
    """Gives the point of each source, or raises what is there instead; None: the window has its point already."""

    app: FakeApp

    def run(
        self, source: str, *, window: str | None = None, force: bool = False, progress: Progress = SILENT
    ) -> BackupResult:
        self.app.calls.append(("backups.run", {"source": source, "window": window, "force": force}))
        progress.expect(items=1, size=10)
        progress.advance(items=1, size=10)
        answer = self.app.captured[source]
        if isinstance(answer, BaseException):
            raise answer
        from backup_platform.actions.backup.run import BackupResult
        from backup_platform_tests.cli.fake import make_point

        return BackupResult(answer or make_point(source), created=answer is not None)


@dataclass
class FakePoints:
    app: FakeApp

    def all(self, source: str | None = None) -> list[RecoveryPoint]:
        if "points.all" in self.app.answers:
            self.app.answer("points.all")
        return [each for each in self.app.known if source in (None, each.source)]

    def undecided(self, source: str | None = None) -> list[RecoveryPoint]:
        return []

    def unreadable(self, source: str | None = None) -> list[str]:
        return []

    def find(self, spec: str) -> RecoveryPoint:
        for each in self.app.known:
            named = (f"{each.source}@latest", f"{each.source}@{each.window.key}")
            if each.id.startswith(spec) or spec in named:
                return each
        raise NotFoundError(f"no recovery point {spec}", hint="`points` lists them.")

    def kind_of(self, point: RecoveryPoint) -> AnyKind:
        kind: AnyKind = self.app.kinds.get(point.kind, PLAIN)
        return kind

    def accept(self, spec: str, reason: str) -> RecoveryPoint:
        accepted: RecoveryPoint = self.app.answer("points.accept", spec=spec, reason=reason)
        return accepted

    def entries(self, spec: str, path: str | None = None) -> Iterator[Entry]:
        yield from _rows(self.app.answer("points.entries", spec=spec, path=path))

    def diff(self, a: str, b: str) -> Iterator[Difference]:
        yield from _rows(self.app.answer("points.diff", a=a, b=b))


def _rows(rows: list[Any]) -> Iterator[Any]:
    for row in rows:
        if isinstance(row, BackupError):
            raise row
        yield row


@dataclass
class FakeEvidence:
    app: FakeApp

    def proofs(self) -> tuple[dict[str, list[Proof]], Doubts]:
        return self.app.recorded, self.app.doubts

    def of_points(self, points: Iterable[str]) -> Doubts:
        return self.app.doubts

    def of_keys(self) -> Doubts:
        return self.app.doubts


@dataclass
class FakeProofs:
    app: FakeApp

    @property
    def evidence(self) -> FakeEvidence:
        return FakeEvidence(self.app)

    def details(self, point: RecoveryPoint) -> list[Proof]:
        return self.app.recorded.get(point.id, [])

    def unvouched(
        self, points: Sequence[RecoveryPoint], proofs: Mapping[str, list[Proof]]
    ) -> dict[str, int | None]:
        return dict.fromkeys((point.id for point in points), None)

    def verify(
        self, spec: str | None = None, *, read: str = "all", progress: Progress = SILENT
    ) -> VerifyResult:
        result: VerifyResult = self.app.answer("proofs.verify", spec=spec, read=read)
        return result

    def drill(
        self, spec: str, *, progress: Progress = SILENT, time_limit_s: float | None = None
    ) -> DrillResult:
        result: DrillResult = self.app.answer("proofs.drill", spec=spec)
        return result


@dataclass
class FakeRestores:
    answer: Answer

    def plan(self, spec: str, *, to: str, paths: Sequence[str] = (), overwrite: bool = False) -> RestorePlan:
        plan: RestorePlan = self.answer("restores.plan", spec=spec, to=to, paths=paths, overwrite=overwrite)
        return plan

    def run(self, plan: RestorePlan, *, progress: Progress = SILENT) -> RestoreSummary:
        done: RestoreSummary = self.answer("restores.run", plan=plan)
        return done

    def plan_database(self, spec: str, target: DatabaseTarget) -> DatabaseRestorePlan:
        plan: DatabaseRestorePlan = self.answer("restores.plan_database", spec=spec, target=target)
        return plan

    def run_database(
        self, plan: DatabaseRestorePlan, *, progress: Progress = SILENT
    ) -> DatabaseRestoreSummary:
        done: DatabaseRestoreSummary = self.answer("restores.run_database", plan=plan)
        return done

    def content(self, spec: str, path: str | None = None) -> Iterator[Buffer]:
        raise NotImplementedError(REAL)


@dataclass
class FakeRetention:
    answer: Answer

    def plan_forget(self, sources: Sequence[str] = ()) -> ForgetPlan:
        plan: ForgetPlan = self.answer("retention.plan_forget", sources=sources)
        return plan

    def run_forget(self, plan: ForgetPlan, progress: Progress = SILENT) -> ForgetSummary:
        done: ForgetSummary = self.answer("retention.run_forget", plan=plan)
        return done


class FakeHolds:
    """Nothing is held."""

    def place(self, spec: str, reason: str, *, until: str = "", legal: bool = False) -> HeldPoint:
        raise NotImplementedError(REAL)

    def release(self, spec: str, reason: str, *, legal: bool = False) -> list[Hold]:
        raise NotImplementedError(REAL)

    def stands(self, point: str) -> bool:
        return False

    def listed(self) -> list[HeldPoint]:
        return []

    def in_force(self, point: str | None = None) -> dict[str, list[Hold]]:
        return {}


@dataclass
class FakeMaintenance:
    answer: Answer

    @property
    def retention(self) -> FakeRetention:
        return FakeRetention(self.answer)

    @property
    def holds(self) -> FakeHolds:
        return FakeHolds()

    @property
    def giving_up(self) -> LostPoints:
        raise NotImplementedError(REAL)

    def pruning(self, grace: str | None = None) -> Pruning:
        raise NotImplementedError(REAL)

    def repair(self, donors: Sequence[str] = ()) -> Repair:
        raise NotImplementedError(REAL)

    def repair_root(self, donor: str) -> RootRepair:
        raise NotImplementedError(REAL)
