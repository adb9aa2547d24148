"""An application in memory, for what the command line does with answers and failures of every kind."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from backup_platform.actions.drill import DrillResult
from backup_platform.actions.evidence import Doubts
from backup_platform.clock import SILENT
from backup_platform.domain.model import (
    EMPTY,
    Entry,
    EntryKind,
    Problem,
    Proof,
    ProofMethod,
    RecoveryPoint,
    Stat,
    Stats,
    Status,
    StreamRef,
    Window,
)
from backup_platform.domain.ports import DrillReport, Progress
from backup_platform.errors import BackupError, NotFoundError

if TYPE_CHECKING:
    from backup_platform.actions.backup.run import BackupResult
    from backup_platform.actions.doctor.run import DoctorFinding
    from backup_platform.actions.forget.give_up import LostPoints
    from backup_platform.actions.forget.run import ForgetPlan, ForgetSummary
    from backup_platform.actions.keys.run import KeyTest
    from backup_platform.actions.points.holds import HeldPoint
    from backup_platform.actions.points.inventory import Difference
    from backup_platform.actions.prune.run import Pruning
    from backup_platform.actions.repair.run import Repair
    from backup_platform.actions.restore.run import RestorePlan, RestoreSummary
    from backup_platform.actions.verify.run import VerifyResult
    from backup_platform.advice import Advice
    from backup_platform.domain.coverage import Coverage
    from backup_platform.domain.keep.holds import Hold
    from backup_platform.domain.ports import Buffer, OpenedStore
    from backup_platform.domain.restoring import DatabaseRestorePlan, DatabaseRestoreSummary, DatabaseTarget
    from backup_platform.domain.trust.latest import Skipped
    from backup_platform.kinds.kind import AnyKind
    from backup_platform.repository.encryption.recipients import StoredRecipient
    from backup_platform.repository.objects.info import RepositoryInfo
    from backup_platform.services.protocols import CopyService, TableService

PLAIN: Any = SimpleNamespace(sizes="source", server=None, tree=False)
REAL = "This is tested with a real repository."
NOON = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


def make_point(source: str = "shop", day: int = 22, **changes: Any) -> RecoveryPoint:
    start = datetime(2026, 11, day, tzinfo=UTC)
    point = RecoveryPoint(
        id=f"{day:02d}{source.encode().hex()}".ljust(64, "a"),
        sequence=day,
        predecessor="b" * 64,
        source=source,
        kind="sqlite" if source == "shop" else "files",
        window=Window(f"2026-11-{day:02d}", start, start + timedelta(days=1)),
        timezone="Europe/Berlin",
        captured_at=start + timedelta(hours=1, minutes=15),
        committed_at=start + timedelta(hours=1, minutes=16),
        lateness_s=0.0,
        incomplete=False,
        problem_count=0,
        problems=(),
        facts={"pages": 1234, "rows": {"orders": 10, "items\x1b[2J": 20}},
        stats=Stats(
            files=1, source_bytes=104_857_600, new_bytes=3_100_000, stored_bytes=1_200_000, duration_s=2.0
        ),
        inventory=StreamRef(100, EMPTY),
        versions={"sqlite": "3.40.1"},
    )
    return replace(point, **changes)


def make_problems(amount: int) -> dict[str, Any]:
    problems = tuple(
        Problem(f"gone/{i:03d}", Status.VANISHED, "it was there at first") for i in range(amount)
    )
    return {"incomplete": True, "problem_count": amount, "problems": problems[:100]}


def make_proof(
    point: RecoveryPoint,
    method: ProofMethod = ProofMethod.DRILL,
    *,
    passed: bool = True,
    hours: int = 1,
    **detail: Any,
) -> Proof:
    return Proof(point.id, method, passed, NOON + timedelta(hours=hours), 0.5, detail)


def make_entry(path: bytes, *, kind: EntryKind = EntryKind.FILE, size: int = 5, **changes: Any) -> Entry:
    mtime = 1_763_769_600_123_456_789
    stat = Stat(path, kind, 0o644, 1000, 1000, size, mtime, mtime, 7, 1, 1, 0)
    return Entry(stat, user="alice", group="staff")._replace(**changes)


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

    def coverage(self) -> Coverage:
        found: Coverage = self.answer("coverage")
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

    def rewrap(self) -> int:
        count: int = self.answer("keys.rewrap")
        return count

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


@dataclass
class FakeApp:
    """The services, which answer what they were given; an exception among the answers is raised.

    `captured` is what backups of each source give. The services that are not here are tested with real repositories.
    """

    known: list[RecoveryPoint] = field(default_factory=list)
    recorded: dict[str, list[Proof]] = field(default_factory=dict)
    doubts: Doubts = field(default_factory=Doubts)
    captured: dict[str, Any] = field(default_factory=dict)
    answers: dict[str, Any] = field(default_factory=dict)
    calls: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    repositories: tuple[str, ...] = ("main",)
    kinds: Mapping[str, AnyKind] = field(default_factory=dict)
    plan_path: str = "/backup.yaml"

    def answer(self, name: str, **arguments: Any) -> Any:
        self.calls.append((name, arguments))
        answer = self.answers[name]
        if isinstance(answer, BaseException):
            raise answer
        return answer

    @property
    def plan(self) -> Any:
        return SimpleNamespace(
            sources=dict.fromkeys(self.captured),
            repositories={name: SimpleNamespace(path=f"/{name}") for name in self.repositories},
            path=str,
        )

    @property
    def repository_name(self) -> str:
        return self.repositories[0]

    @property
    def repository(self) -> Any:
        info = SimpleNamespace(location="/main", fingerprint="0abcd-" * 7 + "0abcd")
        return self.answer("repository") if "repository" in self.answers else SimpleNamespace(info=info)

    @property
    def opened(self) -> OpenedStore:
        raise NotImplementedError(REAL)

    @property
    def recognising(self) -> Any:
        place = SimpleNamespace(memory=lambda: None)
        return SimpleNamespace(place=place, pin=None, plan_key="repository")

    def at(self, repository: str | None) -> FakeApp:
        self.calls.append(("at", {"repository": repository}))
        return self

    def listen(self, skipped: Callable[[Skipped], None], doubt: Callable[[str], None]) -> None:
        pass

    @property
    def setup(self) -> FakeSetup:
        return FakeSetup(self.answer)

    @property
    def keys(self) -> FakeKeys:
        return FakeKeys(self.answer)

    @property
    def backups(self) -> FakeBackups:
        return FakeBackups(self)

    @property
    def points(self) -> FakePoints:
        return FakePoints(self)

    @property
    def proofs(self) -> FakeProofs:
        return FakeProofs(self)

    @property
    def restores(self) -> FakeRestores:
        return FakeRestores(self.answer)

    @property
    def tables(self) -> TableService:
        raise NotImplementedError(REAL)

    @property
    def copies(self) -> CopyService:
        raise NotImplementedError(REAL)

    @property
    def maintenance(self) -> FakeMaintenance:
        return FakeMaintenance(self.answer)


def drilled(point: RecoveryPoint, *differences: str) -> DrillResult:
    proof = make_proof(point, passed=not differences)
    return DrillResult(point, proof, DrillReport({"pages": 1234}, tuple(differences)))
