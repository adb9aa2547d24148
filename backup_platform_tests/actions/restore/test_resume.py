"""Restores that are cut off and continued, and targets that can do less or fail."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from backup_platform.actions.restore import files
from backup_platform.errors import TargetError
from backup_platform_tests.actions.restore_support import Vault
from backup_platform_tests.sources.files_support import LARGE, CountingProgress, assert_same_tree, noise

# Cut off, and continued


CHILD = """
import sys
from pathlib import Path
from backup_platform_tests.actions.restore_support import Vault
vault = Vault(Path(sys.argv[1]))
vault.restore(vault.repository.points.all("tree")[-1], Path(sys.argv[2]))
"""


def start_restore(vault: Vault, to: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", CHILD, vault.place, to])


def test_a_killed_restore_continues(vault: Vault, tmp_path: Path) -> None:
    """Killed at many moments, one after the other, each time continued where it was."""
    for number in range(3000):
        (vault.root / f"{number % 50}").mkdir(exist_ok=True)
        (vault.root / f"{number % 50}/{number}").write_bytes(noise(2000 + number, number))
    (vault.root / "large").write_bytes(noise(20 * LARGE, 1))
    vault.backup()
    to = tmp_path / "to"
    kills = 0
    for attempt in range(15):
        child = start_restore(vault, to)
        deadline = time.monotonic() + 60
        while not list(to.glob("*")) and child.poll() is None and time.monotonic() < deadline:
            time.sleep(0.005)
        time.sleep(0.08 * (attempt + 1))
        child.send_signal(signal.SIGKILL)
        if child.wait() == 0 or not list(to.glob(".backup-platform-restore-*.json")):
            break
        kills += 1
        assert_complete_files(vault.root, to)
    else:
        vault.restore(vault.repository.points.all("tree")[-1], to)
    assert kills > 1
    assert_same_tree(vault.root, to)
    assert not list(to.glob(".backup-platform*"))


def assert_complete_files(root: Path, to: Path) -> None:
    """Whatever has its name is complete, with its metadata."""
    for path in to.rglob("[0-9]*"):
        if path.is_file():
            original = root / path.relative_to(to)
            assert path.read_bytes() == original.read_bytes()
            assert os.lstat(path).st_mtime_ns == os.lstat(original).st_mtime_ns
            assert os.lstat(path).st_mode == os.lstat(original).st_mode


class Stop(Exception):  # noqa: N818
    """Not an error of the program."""


def interrupt(vault: Vault, to: Path, after: int) -> None:
    """A restore that ends after some files."""

    class Stopping(CountingProgress):
        def advance(self, *, items: int = 0, size: int = 0) -> None:
            super().advance(items=items, size=size)
            if self.done[0] >= after:
                raise Stop

    with pytest.raises(Stop):
        vault.run(vault.plan(vault.repository.points.all("tree")[-1], to), Stopping())


@pytest.fixture
def interrupted(vault: Vault, tmp_path: Path) -> Vault:
    for number in range(1000):
        (vault.root / f"{number:04}").write_bytes(noise(3000, number))
    (vault.root / "z-large").write_bytes(noise(3 * LARGE, 99))
    os.link(vault.root / "0000", vault.root / "z-second")
    vault.backup()
    interrupt(vault, tmp_path / "to", 300)
    return vault


def test_what_is_complete_is_kept(interrupted: Vault, tmp_path: Path) -> None:
    to = tmp_path / "to"
    inodes = {path.name: os.lstat(path).st_ino for path in to.glob("[0z]*")}
    assert 300 <= len(inodes) < 1002
    plan = interrupted.plan(interrupted.repository.points.all("tree")[-1], to)
    assert plan.resumes
    assert plan.keeps == len(inodes) + 1
    summary = interrupted.run(plan)
    assert summary.skipped == len(inodes)
    assert {name: os.lstat(to / name).st_ino for name in inodes} == inodes
    assert_same_tree(interrupted.root, to)


def test_a_foreign_file_is_a_conflict_also_when_resuming(interrupted: Vault, tmp_path: Path) -> None:
    (tmp_path / "to/0999").unlink(missing_ok=True)
    (tmp_path / "to/0999").write_bytes(b"foreign")
    plan = interrupted.plan(interrupted.repository.points.all("tree")[-1], tmp_path / "to")
    assert plan.conflicts == ("0999",)
    with pytest.raises(TargetError):
        interrupted.run(plan)
    assert (tmp_path / "to/0999").read_bytes() == b"foreign"


def test_other_bytes_under_the_same_size_and_time_are_a_conflict(interrupted: Vault, tmp_path: Path) -> None:
    path = min((tmp_path / "to").glob("0*"))
    found = os.lstat(path)
    with path.open("r+b") as file:
        file.write(b"?")
    os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns))
    with pytest.raises(TargetError, match="differs from the recovery point"):
        interrupted.restore(interrupted.repository.points.all("tree")[-1], tmp_path / "to")
    assert path.read_bytes()[:1] == b"?"


def test_another_point_does_not_continue_it(interrupted: Vault, tmp_path: Path) -> None:
    (interrupted.root / "new").touch()
    point = interrupted.backup()
    plan = interrupted.plan(point, tmp_path / "to")
    assert not plan.resumes
    assert plan.conflict_count >= 300


def test_the_marker_names_the_point_and_goes_away(interrupted: Vault, tmp_path: Path) -> None:
    point = interrupted.repository.points.all("tree")[-1]
    marker = next((tmp_path / "to").glob(".backup-platform-restore-*.json"))
    assert json.loads(marker.read_text()) == {"point": point.id, "fresh": True}
    interrupted.restore(point, tmp_path / "to")
    assert not marker.exists()


def test_a_marker_cut_short_is_no_marker(filled: Vault, tmp_path: Path) -> None:
    point = filled.backup()
    (tmp_path / "to").mkdir()
    (tmp_path / "to" / f".backup-platform-restore-{point.id[:16]}.json").write_text('{"poi')
    assert filled.restore(point, tmp_path / "to").warnings == ()
    assert_same_tree(filled.root, tmp_path / "to")


# File systems that can do less


def test_without_unnamed_files(filled: Vault, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refuse_unnamed(monkeypatch)
    point = filled.backup()
    (tmp_path / "to").mkdir()
    filled.restore(point, tmp_path / "to")
    assert_same_tree(filled.root, tmp_path / "to")
    (tmp_path / "to/dir/05").write_bytes(b"older")
    filled.restore(point, tmp_path / "to", overwrite=True)
    assert_same_tree(filled.root, tmp_path / "to")


def test_leftovers_of_a_killed_restore_without_unnamed_files(
    filled: Vault, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse_unnamed(monkeypatch)
    point, to = filled.backup(), tmp_path / "to"
    (to / "dir").mkdir(parents=True)
    (to / "dir" / os.fsdecode(files.temporary(b"05"))).write_bytes(b"half")
    marker = {"point": point.id, "fresh": True}
    (to / f".backup-platform-restore-{point.id[:16]}.json").write_text(json.dumps(marker))
    filled.restore(point, to)
    assert_same_tree(filled.root, to)


def test_without_hard_links(filled: Vault, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refuse_unnamed(monkeypatch)

    def no_link(*_: object, **__: object) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    point = filled.backup()
    monkeypatch.setattr(os, "link", no_link)
    filled.restore(point, tmp_path / "to", ["dir", "large", "sparse"])
    assert_same_tree(filled.root / "dir", tmp_path / "to/dir")
    (tmp_path / "other").mkdir()
    (tmp_path / "other/large").write_bytes(b"precious")
    with pytest.raises(TargetError):
        filled.restore(point, tmp_path / "other", ["large"])
    assert (tmp_path / "other/large").read_bytes() == b"precious"


def refuse_unnamed(monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.open

    def refusing(path: Any, flags: int, *args: Any, **options: Any) -> int:
        if flags & os.O_TMPFILE == os.O_TMPFILE:
            raise OSError(errno.EOPNOTSUPP, "Operation not supported")
        return real(path, flags, *args, **options)

    monkeypatch.setattr(os, "open", refusing)


def test_a_disk_that_returns_other_bytes(
    filled: Vault, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    point, real = filled.backup(), os.pread
    monkeypatch.setattr(os, "pread", lambda fd, length, offset: b"\0" + real(fd, length, offset)[1:])
    with pytest.raises(TargetError, match="reads back different"):
        filled.restore(point, tmp_path / "to")
    assert not (tmp_path / "to/large").exists()


def test_a_full_disk(filled: Vault, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    point = filled.backup()
    monkeypatch.setattr(os, "pwrite", full)
    with pytest.raises(TargetError, match="No space left on device") as raised:
        filled.restore(point, tmp_path / "to")
    assert "Free some space" in raised.value.hint
    monkeypatch.undo()
    filled.restore(point, tmp_path / "to")
    assert_same_tree(filled.root, tmp_path / "to")


def test_no_descriptor_is_left_open(filled: Vault, tmp_path: Path) -> None:
    point = filled.backup()
    filled.restore(point, tmp_path / "warm-up")
    before = len(os.listdir("/proc/self/fd"))
    filled.restore(point, tmp_path / "to")
    interrupt(filled, tmp_path / "cut", 1)
    assert len(os.listdir("/proc/self/fd")) == before
