"""kill -9 in a prune and in a copy: nothing that is needed is lost, and the next run goes on."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from backup_platform.actions.verify.run import ReadShare, verify
from backup_platform.domain.model import RecoveryPoint
from backup_platform.repository.replicas import init_replica
from backup_platform.stores.object_store import DirectoryStore
from backup_platform_tests.support import Bench, QuietProgress, content_of, noise, text

Run = Callable[..., int]
SAMPLED = [19, pytest.param(1, marks=pytest.mark.soak)]  # one call in so many


@pytest.fixture(scope="module")
def child() -> Iterator[Run]:
    """Runs a verb in a process of its own; the exit status."""
    command = [sys.executable, "-m", "backup_platform_tests.faults.child"]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin
    assert process.stdout
    to, answers = process.stdin, process.stdout

    def run(verb: str, bench: Bench, kill_at: int | None = None) -> int:
        copy = bench.root.with_name("copy")
        request = {"verb": verb, "root": str(bench.root), "copy": str(copy), "kill_at": kill_at}
        to.write(json.dumps(request) + "\n")
        to.flush()
        return int(answers.readline())

    with process:
        yield run


class World:
    """A repository with its copy, made anew from a template for each kill; and what each point shows."""

    def __init__(self, folder: Path, *, encrypted: bool) -> None:
        self._folder, self._encrypted = folder, encrypted
        self.bench = Bench(folder / "template" / "repository", encrypted=encrypted)
        self.bench.source.write(b"shared", text(30_000, 1))
        self.points: list[tuple[RecoveryPoint, dict[bytes, bytes]]] = []
        for seed in range(4):
            self.bench.source.write(b"own", noise(40_000, seed))
            self.bench.source.write(b"small%d" % seed, text(900, seed))
            self.points.append((self.bench.backup(), dict(self.bench.source.files)))

    def fresh(self) -> Bench:
        shutil.rmtree(self._folder / "now", ignore_errors=True)
        shutil.copytree(self._folder / "template", self._folder / "now")
        return Bench(self._folder / "now" / "repository", self.bench.clock, encrypted=self._encrypted)

    def check(self, bench: Bench, store: DirectoryStore, *, all_of_them: bool) -> None:
        """The points that are there read as they were captured; everything is there when it has to be."""
        repository = bench.open(store)
        there = {point.id for point in repository.points.all()}
        assert there == {point.id for point, _ in self.points} or not all_of_them
        for point, files in self.points:
            if point.id in there:
                assert content_of(repository, point) == files


@pytest.mark.parametrize("encrypted", [False, True], ids=["plain", "encrypted"])
@pytest.mark.parametrize("step", SAMPLED)
def test_prune_killed_at_any_store_call(tmp_path: Path, child: Run, step: int, encrypted: bool) -> None:
    world = World(tmp_path, encrypted=encrypted)
    for point, _ in world.points[:2]:
        world.bench.open().points.delete(point)
    del world.points[:2]
    assert child("prune", world.bench) == 0  # what it condemns the next ones delete
    number = 1 + encrypted
    while child("prune", bench := world.fresh(), number):
        world.check(bench, bench.store, all_of_them=True)
        assert [child("prune", bench) for _ in range(3)] == [0, 0, 0]
        world.check(bench, bench.store, all_of_them=True)
        assert len(bench.keys("packs/")) <= 3, number
        number += step
    assert number > 25


@pytest.mark.parametrize("encrypted", [False, True], ids=["plain", "encrypted"])
@pytest.mark.parametrize("step", SAMPLED)
def test_copy_killed_at_any_store_call(tmp_path: Path, child: Run, step: int, encrypted: bool) -> None:
    world = World(tmp_path, encrypted=encrypted)
    init_replica(world.bench.open(), DirectoryStore(str(world.bench.root.with_name("copy"))))
    number = 1 + encrypted
    while child("copy", bench := world.fresh(), number):
        copy = DirectoryStore(str(bench.root.with_name("copy")))
        world.check(bench, copy, all_of_them=False)
        assert child("copy", bench) == 0
        world.check(bench, copy, all_of_them=True)
        repository = bench.open(copy)
        assert verify(
            repository, repository.points.all(), ReadShare(), bench.clock, QuietProgress()
        ).passed, number
        number += step
    assert number > 25
