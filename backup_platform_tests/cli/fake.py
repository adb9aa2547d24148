"""An application in memory, for what the command line does with answers and failures of every kind."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from backup_platform.actions.drill import DrillResult
from backup_platform.actions.evidence import Doubts
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
from backup_platform.domain.ports import DrillReport
from backup_platform_tests.cli.fake_services import (
    REAL,
    FakeBackups,
    FakeKeys,
    FakeMaintenance,
    FakePoints,
    FakeProofs,
    FakeRestores,
    FakeSetup,
    FakeState,
)

if TYPE_CHECKING:
    from backup_platform.domain.trust.latest import Skipped
    from backup_platform.kinds.kind import AnyKind
    from backup_platform.services.protocols import CopyService, TableService, WindowService

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
            coverage={},
        )

    @property
    def repository_name(self) -> str:
        return self.repositories[0]

    @property
    def repository(self) -> Any:
        info = SimpleNamespace(location="/main", fingerprint="0abcd-" * 7 + "0abcd")
        return self.answer("repository") if "repository" in self.answers else SimpleNamespace(info=info)

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
    def state(self) -> FakeState:
        return FakeState(self.answer)

    @property
    def keys(self) -> FakeKeys:
        return FakeKeys(self.answer)

    @property
    def windows(self) -> WindowService:
        raise NotImplementedError(REAL)

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
