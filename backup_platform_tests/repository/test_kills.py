"""kill -9 at any moment of a backup: the repository always verifies, and the next backup uses what was stored."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from backup_platform.actions.verify.run import ReadShare, verify
from backup_platform.clock import SILENT, SystemClock
from backup_platform.domain.model import RecoveryPoint
from backup_platform.repository.objects.info import read_info
from backup_platform.repository.packs.storing import checked_pack
from backup_platform.repository.repository import Repository
from backup_platform.stores.object_store import DirectoryStore
from backup_platform_tests.support import all_keys, content_of, make_repository, noise, text

KILLS_A_TURN = 5
SAMPLED = 3  # of the store calls, one in so many is hit; the soak run hits each


@dataclass
class Backups:
    """Runs backups in processes of their own."""

    process: subprocess.Popen[str]

    def run(
        self, root: Path, tree: Path, *, kill_at: int | None = None, kill_after: float | None = None
    ) -> int:
        """The exit status: 0, or -9 when the backup was killed at a store call or after some seconds."""
        assert self.process.stdin
        assert self.process.stdout
        request = {"root": str(root), "tree": str(tree), "kill_at": kill_at, "kill_after": kill_after}
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        return int(self.process.stdout.readline())


@pytest.fixture(scope="module")
def backups() -> Iterator[Backups]:
    command = [sys.executable, "-m", "backup_platform_tests.repository.backup_child"]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    with process:
        yield Backups(process)


def make_tree(tree: Path, seed: int, *, large: int, small: int) -> None:
    """One large file that does not compress, another that does, and many small ones."""
    shutil.rmtree(tree, ignore_errors=True)
    (tree / "small").mkdir(parents=True)
    (tree / "noise").write_bytes(noise(large // 3, seed))
    (tree / "text").write_bytes(text(large * 2 // 3, seed + 1))
    for n in range(small):
        (tree / "small" / f"{n}").write_bytes(text(20_000, seed + 2 + n))


def contents_of(tree: Path) -> dict[bytes, bytes]:
    files = (path for path in tree.rglob("*") if path.is_file())
    return {os.fsencode(path.relative_to(tree)): path.read_bytes() for path in files}


def open_repository(root: Path) -> Repository:
    store = DirectoryStore(str(root))
    keys = all_keys() if read_info(store).encryption != "none" else None
    return Repository(store, SystemClock(), keys=keys)


def create(root: Path, *, encrypted: bool = False) -> None:
    make_repository(DirectoryStore(str(root)), SystemClock(), encrypted=encrypted)


def assert_sound(root: Path) -> list[RecoveryPoint]:
    """Every committed point verifies; every object under a name is whole, needed or not."""
    repository = open_repository(root)
    points = repository.points.all()
    result = verify(repository, points, ReadShare(), SystemClock(), SILENT, record=False)
    assert result.passed, result.findings
    for key in repository.objects.packs():
        checked_pack(repository.objects, key)
    return points


def stored_blobs(root: Path) -> set[bytes]:
    repository = open_repository(root)
    packs = [checked_pack(repository.objects, key) for key in repository.objects.packs()]
    return {identity for frames in packs for frame in frames for identity, _ in frame.blobs}


def needed_blobs(root: Path, point: RecoveryPoint) -> dict[bytes, int]:
    """The blobs of a point's contents, with their lengths."""
    repository = open_repository(root)
    found: dict[bytes, int] = {}
    for is_meta, ids in repository.reader(point).needed():
        if is_meta:
            continue
        places = repository.indexes().contents.locate_all(ids)
        found |= {ids[32 * i : 32 * i + 32]: place.length for i, place in enumerate(places)}
    return found


def assert_reuses(backups: Backups, root: Path, tree: Path) -> tuple[int, int]:
    """The next backup succeeds, and stores exactly what was not stored yet; how much it stored, of how much."""
    before = stored_blobs(root)
    assert backups.run(root, tree) == 0
    point = assert_sound(root)[-1]
    needed = needed_blobs(root, point)
    assert point.stats.new_bytes == sum(size for blob, size in needed.items() if blob not in before)
    assert content_of(open_repository(root), point) == contents_of(tree)
    return point.stats.new_bytes, sum(needed.values())


@pytest.mark.parametrize("kills", [12, pytest.param(200, marks=pytest.mark.soak)])
def test_killed_at_random_moments(tmp_path: Path, backups: Backups, kills: int) -> None:
    seed = random.randrange(1 << 30)
    print(f"seed {seed}")
    chance = random.Random(seed)
    tree, root = tmp_path / "tree", tmp_path / "repository"
    make_tree(tree, seed, large=28_000_000, small=100)
    for _ in range(2):  # the first waits until the modules are loaded
        shutil.rmtree(root, ignore_errors=True)
        create(root)
        started = time.monotonic()
        assert backups.run(root, tree) == 0
        duration = time.monotonic() - started
    stored, total, killed, turns = 0, 0, 0, 0
    while killed < kills:
        turns += 1
        shutil.rmtree(root)
        create(root)
        make_tree(tree, seed + 1000 * turns, large=28_000_000, small=100)
        for _ in range(KILLS_A_TURN):
            if backups.run(root, tree, kill_after=chance.uniform(0, duration)) == 0:
                break  # it was over before
            killed += 1
            assert_sound(root)
        new, needed = assert_reuses(backups, root, tree)
        stored, total = stored + new, total + needed
    print(f"{killed} kills in {turns} turns; {stored:,} of {total:,} bytes were left to store")
    assert stored < total * 3 // 4  # how far a killed run gets depends on what else the machine does


@pytest.mark.parametrize("encrypted", [False, True], ids=["plain", "encrypted"])
@pytest.mark.parametrize("step", [SAMPLED, pytest.param(1, marks=pytest.mark.soak)])
def test_killed_at_store_calls(tmp_path: Path, backups: Backups, encrypted: bool, step: int) -> None:
    tree, template, root = tmp_path / "tree", tmp_path / "template", tmp_path / "repository"
    make_tree(tree, 7, large=600_000, small=4)
    create(template, encrypted=encrypted)
    assert backups.run(template, tree) == 0
    make_tree(tree, 8, large=3_000_000, small=9)
    for number in range(1 + encrypted, 200, step):  # other calls than without
        shutil.rmtree(root, ignore_errors=True)
        shutil.copytree(template, root)
        status = backups.run(root, tree, kill_at=number)
        assert len(assert_sound(root)) in ((1, 2) if status else (2,)), number
        assert_reuses(backups, root, tree)
        if status == 0:
            break
    assert number > 20
