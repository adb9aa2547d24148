"""A repository on a disk that fills up."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest

from backup_platform.actions.verify.read_cycle import ReadCycle
from backup_platform.actions.verify.run import ReadShare, verify, verify_due
from backup_platform.domain.ports import Buffer
from backup_platform.errors import StoreError
from backup_platform.repository.records.proofs import recorded
from backup_platform.repository.records.reads import record_reads
from backup_platform.stores import object_store
from backup_platform_tests.actions.restore_support import Vault
from backup_platform_tests.sources.files_support import AheadClock
from backup_platform_tests.support import Bench, QuietProgress, flipped, noise, small_bench

FULL_NOW = [
    0,
    1,
    2_000,
    200_000,
    500_000,
]  # bytes that still fit; the last fits the packs, and not their index


class Disk:
    """Takes so many bytes more, and then as much as fits of a write."""

    def __init__(self, room: int) -> None:
        self.room = room

    def write(self, path: str, data: Buffer) -> None:
        fits = bytes(data)[: self.room]
        self.room -= len(fits)
        Path(path).write_bytes(fits)
        if len(fits) < len(data):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    made = small_bench(tmp_path)
    made.backup()
    made.source.write(b"large", noise(500_000 - 3_000, 4))
    return made


def assert_sound(bench: Bench) -> None:
    repository = bench.open()
    assert verify(repository, repository.points.all(), ReadShare(), bench.clock, QuietProgress()).passed


@pytest.mark.parametrize("room", FULL_NOW)
def test_a_disk_that_is_full(bench: Bench, room: int, monkeypatch: pytest.MonkeyPatch) -> None:
    (first,) = bench.open().points.all()
    before = bench.content(first)
    monkeypatch.setattr(object_store, "_write", Disk(room).write)
    with pytest.raises(StoreError, match="No space left on device") as raised:
        bench.backup()
    assert not raised.value.retryable
    assert "Make room" in raised.value.hint
    assert not list(bench.root.rglob("*#*"))
    assert bench.content(first) == before
    monkeypatch.undo()
    assert bench.content(bench.backup()) == bench.source.files
    assert_sound(bench)


def test_a_disk_that_is_mounted_read_only(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: str, data: Buffer) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(object_store, "_write", refuse)
    with pytest.raises(StoreError, match="Read-only file system") as raised:
        bench.backup()
    assert raised.value.hint.startswith("Mount it for writing.")


@pytest.mark.parametrize("number", [errno.EROFS, errno.ENOSPC])
@pytest.mark.parametrize("broken", [False, True])
def test_a_verdict_that_cannot_be_recorded_is_given(
    tmp_path: Path, number: int, broken: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    vault = Vault(tmp_path)
    vault.root.mkdir()
    (vault.root / "file").write_bytes(noise(100_000, 1))
    point, repository = vault.backup(), vault.repository
    if broken:
        (pack,) = (tmp_path / "repository" / "packs").rglob("*/*")
        pack.write_bytes(flipped(pack.read_bytes(), 5000))
    objects = {path for path in (tmp_path / "repository").rglob("*") if path.is_file()}

    def refuse(path: str, data: Buffer) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(object_store, "_write", refuse)
    reads = partial(record_reads, repository.objects, at=AheadClock().now())
    verified = verify(repository, [point], ReadShare(), AheadClock(), QuietProgress(), after=reads)
    cycle = ReadCycle(repository, timedelta(days=30), AheadClock(timedelta(days=90)))
    by_cycle = verify_due(cycle, [point], QuietProgress())
    drilled = vault.drill_in_a_sandbox(point)
    for result in (verified, by_cycle, drilled):
        assert os.strerror(number) in (result.unrecorded.reason or "")
        with pytest.raises(StoreError, match=os.strerror(number)):
            recorded(result)
    assert verified.passed is by_cycle.passed is drilled.proof.passed is not broken
    assert {path for path in (tmp_path / "repository").rglob("*") if path.is_file()} == objects
    monkeypatch.undo()
    assert recorded(vault.drill_in_a_sandbox(point)).proof.passed is not broken


ON_A_SMALL_DISK = """
import sys
from pathlib import Path
from backup_platform_tests.faults.test_disk import fill
fill(Path(sys.argv[1]))
"""


def fill(root: Path) -> None:
    """Back up until the disk of the root is full; then make room on it, and back up again."""
    ballast = root / "ballast"
    ballast.write_bytes(bytes(2 << 20))
    bench = small_bench(root)
    with pytest.raises(StoreError, match="No space left on device"):
        _without_end(bench)
    assert_sound(bench)
    ballast.unlink()
    assert bench.content(bench.backup()) == bench.source.files
    assert_sound(bench)


def _without_end(bench: Bench) -> None:
    for n in range(20):
        bench.source.write(b"large", noise(900_000, 100 + n))
        bench.backup()


@pytest.mark.soak
def test_a_real_disk_that_is_full(tmp_path: Path) -> None:
    """A tmpfs of 8 MB, in a name space of its own."""
    mounted = f'mount -t tmpfs -o size=8m none {tmp_path} && exec {sys.executable} -c "$0" {tmp_path}'
    subprocess.run(["unshare", "-rm", "sh", "-c", mounted, ON_A_SMALL_DISK], check=True)
