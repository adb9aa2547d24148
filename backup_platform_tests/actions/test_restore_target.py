"""Targets that are not empty, not trustworthy, or cut off while they are filled."""

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
from hypothesis import given
from hypothesis import strategies as st

from backup_platform.actions.restore import run_restore
from backup_platform.actions.restoring import files as making
from backup_platform.actions.restoring import plan as planning
from backup_platform.actions.restoring.files import spread
from backup_platform.actions.restoring.target import Directories
from backup_platform.domain.model import Content, Entry, EntryKind
from backup_platform.errors import DamageError, TargetError
from backup_platform_tests.actions.restore_support import (
    CLOCK,
    Vault,
    directory_of,
    file_of,
    names_in,
    stat_of,
)
from backup_platform_tests.sources.files_support import (
    DEFAULT,
    LARGE,
    NOBODY,
    PRIVILEGED,
    CountingProgress,
    assert_same_tree,
    noise,
)


@pytest.fixture
def filled(vault: Vault) -> Vault:
    root = vault.root
    (root / "dir/inner").mkdir(parents=True)
    for number in range(30):
        (root / "dir" / f"{number:02}").write_bytes(noise(100 + number, number))
    (root / "large").write_bytes(noise(3 * LARGE, 99))
    (root / "link").symlink_to("large")
    os.link(root / "large", root / "second")
    os.mkfifo(root / "fifo")
    with (root / "sparse").open("wb") as file:
        file.truncate(4 << 20)
        file.seek(2 << 20)
        file.write(noise(LARGE, 7))
    return vault


# What is in the way


def test_existing_files_are_never_replaced(filled: Vault, tmp_path: Path) -> None:
    point, to = filled.backup(), tmp_path / "to"
    (to / "dir").mkdir(parents=True)
    (to / "dir/05").write_bytes(b"precious")
    (to / "link").write_bytes(b"precious, too")
    plan = filled.plan(point, to)
    assert plan.conflicts == ("dir/05", "link")
    with pytest.raises(TargetError, match="already holds dir/05, link") as raised:
        filled.run(plan)
    assert "--overwrite" in raised.value.hint
    assert names_in(to) == {"dir", "dir/05", "link"}
    assert (to / "dir/05").read_bytes() == b"precious"


def test_the_first_conflicts_are_named(vault: Vault, tmp_path: Path) -> None:
    for number in range(150):
        (vault.root / f"{number:03}").write_bytes(b"x")
    point = vault.backup()
    (tmp_path / "to").mkdir()
    for number in range(150):
        (tmp_path / "to" / f"{number:03}").write_bytes(b"y")
    plan = vault.plan(point, tmp_path / "to")
    assert (plan.conflict_count, len(plan.conflicts)) == (150, 100)
    with pytest.raises(TargetError, match="000, 001, 002, 003, 004 and 145 more"):
        vault.run(plan)


def test_what_is_not_in_the_way_stays(filled: Vault, tmp_path: Path) -> None:
    to = tmp_path / "to"
    (to / "dir").mkdir(parents=True, mode=0o750)
    (to / "dir/other").write_bytes(b"other")
    os.utime(to, ns=(5, 5))
    summary = filled.restore(filled.backup(), to)
    assert summary.warnings == ()
    assert (to / "dir/other").read_bytes() == b"other"
    assert (to / "dir/05").read_bytes() == noise(105, 5)
    assert os.lstat(to / "dir").st_mode & 0o777 == 0o750


def test_a_file_that_appears_meanwhile_is_not_replaced(filled: Vault, tmp_path: Path) -> None:
    plan = filled.plan(filled.backup(), tmp_path / "to")
    (tmp_path / "to/dir").mkdir(parents=True)
    (tmp_path / "to/dir/05").write_bytes(b"precious")
    with pytest.raises(TargetError, match="has appeared in the target"):
        filled.run(plan)
    assert (tmp_path / "to/dir/05").read_bytes() == b"precious"


def test_overwrite_replaces_and_keeps_what_is_equal(filled: Vault, tmp_path: Path) -> None:
    point, to = filled.backup(), tmp_path / "to"
    filled.restore(point, to)
    inode = os.lstat(to / "dir/01").st_ino
    (to / "dir/05").write_bytes(b"older")
    (to / "link").unlink()
    (to / "link").symlink_to("elsewhere")
    (to / "second").unlink()
    (to / "second").write_bytes(b"no link any more")
    (to / "fifo").unlink()
    (to / "fifo").write_bytes(b"a file")
    (to / "dir/inner").rmdir()
    (to / "dir/inner").write_bytes(b"a file")
    (to / "dir/02").chmod(0o600)
    plan = filled.plan(point, to, overwrite=True)
    assert (plan.conflicts, plan.replaces) == ((), 5)
    summary = filled.run(plan)
    assert_same_tree(filled.root, to)
    assert os.lstat(to / "dir/01").st_ino == inode
    assert summary.files == 2
    assert summary.skipped == plan.files - 2


def test_overwrite_sees_through_equal_size_and_time(filled: Vault, tmp_path: Path) -> None:
    point, to = filled.backup(), tmp_path / "to"
    filled.restore(point, to)
    for name, offset in (("dir/05", 50), ("large", 2 * LARGE), ("sparse", 100)):
        found = os.lstat(to / name)
        with (to / name).open("r+b") as file:
            file.seek(offset)
            file.write(b"!")
        os.utime(to / name, ns=(found.st_atime_ns, found.st_mtime_ns))
    assert filled.restore(point, to, overwrite=True).warnings == ()
    assert_same_tree(filled.root, to)


def test_overwrite_never_removes_a_directory(filled: Vault, tmp_path: Path) -> None:
    point, to = filled.backup(), tmp_path / "to"
    (to / "large").mkdir(parents=True)
    (to / "large/precious").touch()
    with pytest.raises(TargetError, match="already holds large"):
        filled.restore(point, to, overwrite=True)
    assert names_in(to) == {"large", "large/precious"}


def test_a_target_that_is_a_file(filled: Vault, tmp_path: Path) -> None:
    (tmp_path / "to").touch()
    with pytest.raises(TargetError, match="cannot be restored into: Not a directory"):
        filled.plan(filled.backup(), tmp_path / "to")


def test_a_target_that_cannot_be_made(filled: Vault, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    plan = filled.plan(filled.backup(), tmp_path / "to")
    with pytest.raises(TargetError, match="cannot be"):
        run_restore(
            planning.RestorePlan(**{**_fields(plan), "to": str(tmp_path / "file/to")}),
            filled.repository,
            CLOCK,
            CountingProgress(),
        )


def _fields(plan: planning.RestorePlan) -> dict[str, Any]:
    return {name: getattr(plan, name) for name in plan.__dataclass_fields__}


def test_no_room_is_told_before_anything_is_written(vault: Vault, tmp_path: Path) -> None:
    free = os.statvfs(tmp_path).f_bavail * os.statvfs(tmp_path).f_frsize
    huge = Entry(stat_of(b"huge", EntryKind.FILE, size=2 * free), content=Content(bytes(32)))
    point = vault.forge([directory_of(b"."), huge])
    with pytest.raises(TargetError, match=r"needs [\d,]+ bytes, and .* has [\d,]+ left"):
        vault.plan(point, tmp_path / "not/yet/there")
    assert not (tmp_path / "not").exists()


# What must not lead outside


def test_a_link_planted_in_the_target_is_not_followed(filled: Vault, tmp_path: Path) -> None:
    point = filled.backup()
    (tmp_path / "outside").mkdir()
    (tmp_path / "to").mkdir()
    (tmp_path / "to/dir").symlink_to(tmp_path / "outside")
    with pytest.raises(TargetError, match="already holds dir"):
        filled.restore(point, tmp_path / "to")
    assert os.listdir(tmp_path / "outside") == []


def test_a_link_planted_after_the_plan_is_not_followed(filled: Vault, tmp_path: Path) -> None:
    plan = filled.plan(filled.backup(), tmp_path / "to")
    (tmp_path / "outside").mkdir()
    (tmp_path / "to").mkdir()
    (tmp_path / "to/dir").symlink_to(tmp_path / "outside")
    with pytest.raises(TargetError):
        filled.run(plan)
    assert os.listdir(tmp_path / "outside") == []


def test_overwriting_replaces_a_planted_link_itself(filled: Vault, tmp_path: Path) -> None:
    point = filled.backup()
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/file").write_bytes(b"safe")
    (tmp_path / "to").mkdir()
    (tmp_path / "to/dir").symlink_to(tmp_path / "outside")
    (tmp_path / "to/large").symlink_to(tmp_path / "outside/file")
    filled.restore(point, tmp_path / "to", overwrite=True)
    assert (tmp_path / "outside/file").read_bytes() == b"safe"
    assert os.listdir(tmp_path / "outside") == ["file"]
    assert_same_tree(filled.root, tmp_path / "to")


@pytest.mark.parametrize(
    "path", [b"../evil", b"/evil", b"dir/../../evil", b"..", b"", b"dir//evil", b"./evil", b"dir/.", b"a\0b"]
)
def test_paths_that_lead_outside_are_damage(vault: Vault, tmp_path: Path, path: bytes) -> None:
    evil = Entry(stat_of(path, EntryKind.FILE))
    point = vault.forge([directory_of(b"."), directory_of(b"dir"), evil])
    with pytest.raises(DamageError, match="leads outside"):
        vault.plan(point, tmp_path / "a/b/to")
    assert not (tmp_path / "a").exists()


def test_a_hard_link_to_the_outside_is_damage(vault: Vault, tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"secret")
    link = Entry(stat_of(b"link", EntryKind.FILE), hardlink=b"../secret")
    with pytest.raises(DamageError, match="leads outside"):
        vault.plan(vault.forge([directory_of(b"."), link]), tmp_path / "to")


def test_a_stored_link_does_not_become_a_way_out(vault: Vault, tmp_path: Path) -> None:
    """An inventory in which a path goes through a symbolic link of the same inventory."""
    (tmp_path / "outside").mkdir()
    link = Entry(stat_of(b"dir", EntryKind.SYMLINK), link_target=os.fsencode(tmp_path / "outside"))
    evil = Entry(stat_of(b"dir/evil", EntryKind.FILE))
    point = vault.forge([directory_of(b"."), link, evil])
    with pytest.raises(TargetError, match="is not a directory"):
        vault.restore(point, tmp_path / "to")
    assert os.listdir(tmp_path / "outside") == []


@pytest.mark.parametrize("size", [5, 7])
def test_content_of_another_size_than_the_inventory_says(vault: Vault, tmp_path: Path, size: int) -> None:
    import blake3

    data = b"123456"
    identity = blake3.blake3(data).digest()
    point = vault.forge([directory_of(b"."), file_of(b"file", identity, size)], [data])
    with pytest.raises(DamageError, match="has not the size"):
        vault.restore(point, tmp_path / "to")
    assert not (tmp_path / "to/file").exists()
    double = file_of(b"file", identity + identity, 12 + size - 6)
    with pytest.raises(DamageError, match="has not the size"):
        vault.restore(vault.forge([directory_of(b"."), double], [data]), tmp_path / "other")
    assert not (tmp_path / "other/file").exists()


# What directories hand down


def test_inherited_acls_are_taken_away(filled: Vault, tmp_path: Path) -> None:
    (tmp_path / "to").mkdir()
    os.setxattr(tmp_path / "to", "system.posix_acl_default", DEFAULT)
    summary = filled.restore(filled.backup(), tmp_path / "to")
    assert summary.warnings == ()
    assert_same_tree(filled.root, tmp_path / "to")


def test_inherited_groups_are_replaced(open_vault: Vault) -> None:
    (open_vault.root / "dir").mkdir()
    (open_vault.root / "dir/file").write_bytes(b"x")
    point, to = open_vault.backup(), open_vault.place / "to"
    to.mkdir()
    if PRIVILEGED:
        os.chown(to, 0, NOBODY)
    to.chmod(0o2775)
    open_vault.restore(point, to)
    assert_same_tree(open_vault.root, to)


# Cut off, and continued


CHILD = """
import sys
from pathlib import Path
from backup_platform_tests.actions.restore_support import Vault
vault = Vault(Path(sys.argv[1]))
vault.restore(vault.repository.manifests("tree")[-1], Path(sys.argv[2]))
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
        vault.restore(vault.repository.manifests("tree")[-1], to)
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
        def advance(self, *, files: int = 0, size: int = 0) -> None:
            super().advance(files=files, size=size)
            if self.done[0] >= after:
                raise Stop

    with pytest.raises(Stop):
        vault.run(vault.plan(vault.repository.manifests("tree")[-1], to), Stopping())


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
    inodes = {path.name: os.lstat(path).st_ino for path in to.glob("0*")}
    assert 300 <= len(inodes) < 1000
    plan = interrupted.plan(interrupted.repository.manifests("tree")[-1], to)
    assert plan.resumes
    assert plan.keeps == len(inodes) + 1
    summary = interrupted.run(plan)
    assert summary.skipped == len(inodes)
    assert {name: os.lstat(to / name).st_ino for name in inodes} == inodes
    assert_same_tree(interrupted.root, to)


def test_a_foreign_file_is_a_conflict_also_when_resuming(interrupted: Vault, tmp_path: Path) -> None:
    (tmp_path / "to/0999").unlink(missing_ok=True)
    (tmp_path / "to/0999").write_bytes(b"foreign")
    plan = interrupted.plan(interrupted.repository.manifests("tree")[-1], tmp_path / "to")
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
    with pytest.raises(TargetError, match="is not what is to be restored"):
        interrupted.restore(interrupted.repository.manifests("tree")[-1], tmp_path / "to")
    assert path.read_bytes()[:1] == b"?"


def test_another_point_does_not_continue_it(interrupted: Vault, tmp_path: Path) -> None:
    (interrupted.root / "new").touch()
    point = interrupted.backup()
    plan = interrupted.plan(point, tmp_path / "to")
    assert not plan.resumes
    assert plan.conflict_count >= 300


def test_the_marker_names_the_point_and_goes_away(interrupted: Vault, tmp_path: Path) -> None:
    point = interrupted.repository.manifests("tree")[-1]
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
    (to / "dir" / os.fsdecode(making.temporary(b"05"))).write_bytes(b"half")
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


# Small parts


def test_few_directories_stay_open(tmp_path: Path) -> None:
    for number in range(200):
        (tmp_path / f"{number}/a/b").mkdir(parents=True)
    root = os.open(tmp_path, os.O_RDONLY)
    before = len(os.listdir("/proc/self/fd"))
    directories = Directories(root)
    for number in (*range(200), *range(200)):
        path = os.fsencode(f"{number}/a/b")
        assert os.path.samestat(os.fstat(directories.get(path)), os.lstat(tmp_path / f"{number}/a/b"))
    assert len(os.listdir("/proc/self/fd")) <= before + 64
    directories.forget()
    assert len(os.listdir("/proc/self/fd")) == before
    os.close(root)


@given(st.data())
def test_pieces_land_where_the_extents_are(data: st.DataObject) -> None:
    gaps = data.draw(st.lists(st.tuples(st.integers(0, 20), st.integers(1, 20)), max_size=6))
    extents, end = [], 0
    for gap, length in gaps:
        extents.append((end + gap, length))
        end += gap + length
    content = noise(sum(length for _, length in extents), 1)
    entry = Entry(stat_of(b"f", EntryKind.FILE, size=end), extents=tuple(extents))
    expected, read = bytearray(end), 0
    for offset, length in extents:
        expected[offset : offset + length] = content[read : read + length]
        read += length
    found, start = bytearray(end), 0
    while start < len(content):
        size = data.draw(st.integers(1, len(content) - start))
        inside = start
        for position, length in spread(entry, start, size):
            found[position : position + length] = content[inside : inside + length]
            inside += length
        assert inside == start + size
        start += size
    assert found == expected
