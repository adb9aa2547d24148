"""An application in memory, for what the command line does with answers and failures of every kind."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
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
from backup_platform.domain.ports import DrillReport, Progress
from backup_platform.errors import BackupError, NotFoundError

if TYPE_CHECKING:
    from backup_platform.kinds.kind import AnyKind

PLAIN = SimpleNamespace(sizes="source", server=None, tree=False)
NOTHING_SPECIAL: dict[str, Any] = {
    "holds.in_force": {},
    "unvouched": None,
    "evidence.of_points": Doubts(),
    "evidence.of_keys": Doubts(),
}
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
class FakeKeyRing:
    answer: Callable[..., Any]
    planned = ()

    def add(self, recipient: str) -> Any:
        return self.answer("key_add", recipient=recipient)

    def retire(self, recipient: str) -> Any:
        return self.answer("key_retire", recipient=recipient)

    def recipients(self) -> Any:
        return self.answer("key_list")

    def problems(self) -> list[str]:
        return []

    def test(self) -> Any:
        return self.answer("key_test")

    def rewrap(self) -> Any:
        return self.answer("key_rewrap")

    def export(self, path: str) -> Any:
        return self.answer("key_export", path=path)


@dataclass
class FakeUpkeep:
    """Any part of the upkeep, with any method: the answer is that to `part.method`."""

    answer: Callable[..., Any]
    part: str = ""

    def __getattr__(self, name: str) -> Any:
        if name == "unvouched":
            return lambda points, proofs: dict.fromkeys((point.id for point in points), self.answer(name))
        if not self.part:
            return FakeUpkeep(self.answer, name)
        return lambda *arguments, **options: self.answer(
            f"{self.part}.{name}", arguments=arguments, **options
        )


@dataclass
class FakeApp:
    """Answers what it was given; an exception among the answers is raised."""

    known: list[RecoveryPoint] = field(default_factory=list)
    recorded: dict[str, list[Proof]] = field(default_factory=dict)
    backups: dict[str, Any] = field(default_factory=dict)
    answers: dict[str, Any] = field(default_factory=lambda: {**NOTHING_SPECIAL})
    calls: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    repositories: tuple[str, ...] = ("main",)
    kinds: Mapping[str, AnyKind] = field(default_factory=dict)

    @property
    def plan(self) -> Any:
        return SimpleNamespace(
            sources=dict.fromkeys(self.backups),
            repositories={name: SimpleNamespace(path=f"/{name}") for name in self.repositories},
            path=str,
        )

    def _answer(self, name: str, **arguments: Any) -> Any:
        self.calls.append((name, arguments))
        if name == "evidence.proofs" and name not in self.answers:
            return self.recorded, Doubts()
        answer = self.answers[name]
        if isinstance(answer, BaseException):
            raise answer
        return answer

    def at(self, repository: str) -> FakeApp:
        self.calls.append(("at", {"repository": repository}))
        return self

    @property
    def repository(self) -> Any:
        info = SimpleNamespace(location="/main", fingerprint="0abcd-" * 7 + "0abcd")
        return self._answer("repository") if "repository" in self.answers else SimpleNamespace(info=info)

    @property
    def recognising(self) -> Any:
        place = SimpleNamespace(memory=lambda: None)
        return SimpleNamespace(place=place, pin=None, plan_key="repository")

    def init(self, *, recipients: Sequence[str] = (), copy_of: str | None = None) -> Any:
        return self._answer("init", recipients=tuple(recipients), copy_of=copy_of)

    @property
    def keys(self) -> FakeKeyRing:
        return FakeKeyRing(self._answer)

    @property
    def upkeep(self) -> FakeUpkeep:
        return FakeUpkeep(self._answer)

    def points(self, source: str | None = None) -> list[RecoveryPoint]:
        if "points" in self.answers:
            self._answer("points")
        return [each for each in self.known if source in (None, each.source)]

    def undecided(self, source: str | None = None) -> list[RecoveryPoint]:
        return []

    def unreadable(self, source: str | None = None) -> list[str]:
        return []

    def point(self, spec: str) -> RecoveryPoint:
        for each in self.known:
            if each.id.startswith(spec) or spec in (
                f"{each.source}@latest",
                f"{each.source}@{each.window.key}",
            ):
                return each
        raise NotFoundError(f"no recovery point {spec}", hint="`points` lists them.")

    def kind_of(self, point: RecoveryPoint) -> Any:
        return self.kinds.get(point.kind, PLAIN)

    def proofs(self) -> dict[str, list[Proof]]:
        return self.recorded

    def proof_details(self, point: RecoveryPoint) -> list[Proof]:
        return self.recorded.get(point.id, [])

    def backup(
        self, source: str, *, window: str | None = None, force: bool = False, progress: Progress
    ) -> Any:
        self.calls.append(("backup", {"source": source, "window": window, "force": force}))
        progress.expect(items=1, size=10)
        progress.advance(items=1, size=10)
        answer = self.backups[source]
        if isinstance(answer, BaseException):
            raise answer
        created = answer is not None
        return SimpleNamespace(
            point=answer or make_point(source), created=created, recipients=(), stored_again=0
        )

    def verify(self, spec: str | None, *, read: str, progress: Progress) -> Any:
        return self._answer("verify", spec=spec, read=read)

    def drill(self, spec: str, *, progress: Progress, time_limit_s: float | None = None) -> Any:
        return self._answer("drill", spec=spec)

    def restore_plan(self, spec: str, *, to: str, paths: Sequence[str], overwrite: bool) -> Any:
        return self._answer("restore_plan", spec=spec, to=to, paths=paths, overwrite=overwrite)

    def restore(self, plan: Any, *, progress: Progress) -> Any:
        return self._answer("restore", plan=plan)

    def restore_database_plan(self, spec: str, target: Any) -> Any:
        return self._answer("restore_database_plan", spec=spec, target=target)

    def restore_database(self, plan: Any, *, progress: Progress) -> Any:
        return self._answer("restore_database", plan=plan)

    def ls(self, spec: str, path: str | None) -> Iterator[Entry]:
        yield from self._rows(self._answer("ls", spec=spec, path=path))

    def diff(self, a: str, b: str) -> Iterator[Any]:
        yield from self._rows(self._answer("diff", a=a, b=b))

    def _rows(self, rows: list[Any]) -> Iterator[Any]:
        for row in rows:
            if isinstance(row, BackupError):
                raise row
            yield row

    def doctor(self) -> list[Any]:
        found: list[Any] = self._answer("doctor")
        return found


def drilled(point: RecoveryPoint, *differences: str) -> DrillResult:
    proof = make_proof(point, passed=not differences)
    return DrillResult(point, proof, DrillReport({"pages": 1234}, tuple(differences)))
