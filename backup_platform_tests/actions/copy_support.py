"""A repository and its copy, for tests of copies."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from backup_platform.actions.copy.plan import CopyPlan
from backup_platform.actions.copy.run import Copying, CopyResult
from backup_platform.domain.model import RecoveryPoint
from backup_platform.domain.ports import Store
from backup_platform.repository.replicas import init_replica
from backup_platform.repository.repository import Repository
from backup_platform.stores.object_store import DirectoryStore
from backup_platform_tests.support import Bench, content_of, noise, small_bench


@dataclass
class Pair:
    """A repository with a source, and its copy in another directory."""

    bench: Bench
    root: Path
    contents: dict[str, dict[bytes, bytes]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.store = DirectoryStore(str(self.root))
        init_replica(self.bench.open(), self.store)

    def backup(self) -> RecoveryPoint:
        point = self.bench.backup()
        self.contents[point.id] = self.bench.content(point)
        return point

    def open(self, store: Store | None = None) -> Repository:
        return Repository(store or self.store, self.bench.clock, keys=self.bench.held)

    def copying(self, *, origin: Store | None = None, target: Store | None = None) -> Copying:
        return Copying(self.bench.open(origin), self.open(target), self.bench.clock)

    def copy(self, *, origin: Store | None = None, target: Store | None = None) -> CopyResult:
        copying = self.copying(origin=origin, target=target)
        return copying.run(copying.plan(copying.origin.points.readable()[0]))

    def plan(self) -> CopyPlan:
        copying = self.copying()
        return copying.plan(copying.origin.points.all())

    def keys(self, prefix: str = "") -> set[str]:
        files = (p.relative_to(self.root).as_posix() for p in self.root.rglob("*") if p.is_file())
        return {key for key in files if key.startswith(prefix)}

    def check(self, *points: RecoveryPoint) -> None:
        """The copy holds these points, and each restores as it did in the origin."""
        copy = self.open()
        found = {point.id: point for point in copy.points.all()}
        for point in points:
            assert found[point.id] == point
            assert content_of(copy, point) == self.contents[point.id]


def make_pair(place: Path, *, encrypted: bool = False) -> Pair:
    bench = small_bench(place)
    if encrypted:
        bench = Bench(place / "encrypted", encrypted=True)
        bench.source.write(b"large", noise(900_000, 3))
    return Pair(bench, place / "copy")


def grow(pair: Pair, times: int = 2) -> list[RecoveryPoint]:
    points = []
    for number in range(times):
        pair.bench.source.write(b"part%d" % number, noise(70_000, number))
        points.append(pair.backup())
    return points
