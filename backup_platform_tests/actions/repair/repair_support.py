"""A repository with a copy, to be harmed and repaired."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from backup_platform.actions.forget.lost import find_losses
from backup_platform.actions.repair.plan import Act, RepairPlan, RepairResult
from backup_platform.actions.repair.run import Repair
from backup_platform.actions.verify.run import ReadShare, VerifyResult, verify
from backup_platform.domain.model import RecoveryPoint
from backup_platform.domain.ports import Store
from backup_platform.repository.objects.names import ManifestKey
from backup_platform.repository.repository import Repository
from backup_platform.stores.object_store import DirectoryStore
from backup_platform_tests.scratch import scratch
from backup_platform_tests.support import (
    Bench,
    QuietProgress,
    content_of,
    flipped,
    noise,
)


@dataclass
class Clinic:
    """A repository with two points, and a copy of all its objects."""

    bench: Bench
    copy: Path
    points: list[RecoveryPoint] = field(default_factory=list)
    contents: list[dict[bytes, bytes]] = field(default_factory=list)
    complete: bool = True

    def backup(self, seed: int) -> RecoveryPoint:
        self.bench.source.write(b"part%d" % seed, noise(70_000, seed))
        self.points.append(self.bench.backup())
        self.contents.append(dict(self.bench.source.files))
        return self.points[-1]

    def mirror(self) -> None:
        """As `copy` leaves it: the same objects."""
        shutil.rmtree(self.copy, ignore_errors=True)
        shutil.copytree(self.bench.root, self.copy, ignore=shutil.ignore_patterns("ledger", "tombstones"))

    def donor(self, store: Store | None = None) -> Repository:
        return Repository(store or DirectoryStore(str(self.copy)), self.bench.clock, keys=self.bench.held)

    def repair(self, donors: dict[str, Repository] | None = None, store: Store | None = None) -> Repair:
        donors = {"copy": self.donor()} if donors is None else donors
        return Repair(self.bench.open(store), donors, self.bench.clock, complete=self.complete)

    def plan(self, donors: dict[str, Repository] | None = None) -> RepairPlan:
        return self.repair(donors).plan()

    def run(self, donors: dict[str, Repository] | None = None, store: Store | None = None) -> RepairResult:
        repair = self.repair(donors, store)
        return repair.run(repair.plan())

    def verify(self) -> VerifyResult:
        repository = self.bench.open()
        points, errors = repository.points.readable()
        texts = [error.message for error in errors]
        texts += find_losses(repository, points, errors, complete=self.complete).texts()
        return verify(
            repository, points, ReadShare(), self.bench.clock, QuietProgress(), record=False, unreadable=texts
        )

    def check(self) -> None:
        """All is well, and every point that there was restores."""
        assert self.verify().findings == {}
        repository = self.bench.open()
        assert repository.points.all() == self.points
        assert [content_of(repository, point) for point in self.points] == self.contents

    def harm(self, key: str, how: str) -> None:
        path = self.bench.root / key
        if how == "remove":
            path.unlink()
        else:
            data = path.read_bytes()
            path.write_bytes(flipped(data) if how == "flip" else data[:-100])


def clinic_of(place: Path, *, encrypted: bool = False) -> Clinic:
    """One that was made once, and copied."""
    made, _ = template(encrypted)
    shutil.copytree(made.bench.root, place / "repository")
    shutil.copytree(made.copy, place / "copy")
    bench = Bench(place / "repository", replace(made.bench.clock), encrypted=encrypted)
    bench.source.files.update(made.bench.source.files)
    bench.source.modified.update(made.bench.source.modified)
    return Clinic(bench, place / "copy", list(made.points), list(made.contents))


@cache
def template(encrypted: bool) -> tuple[Clinic, TemporaryDirectory[str]]:
    folder = TemporaryDirectory(dir=scratch())  # removed when the process ends
    return make_clinic(Path(folder.name), encrypted=encrypted), folder


def make_clinic(place: Path, *, encrypted: bool) -> Clinic:
    bench = Bench(place / "repository", encrypted=encrypted)
    bench.source.write(b"large", noise(700_000, 3))
    made = Clinic(bench, place / "copy")
    for seed in range(2):
        made.backup(seed)
    made.mirror()
    return made


def manifest_of(clinic: Clinic, point: RecoveryPoint) -> str:
    return ManifestKey.of(point.source, point.sequence, clinic.bench.open().cipher.hash)


def acts(plan: RepairPlan) -> set[tuple[Act, str]]:
    return {(step.act, step.key) for step in plan.steps}
