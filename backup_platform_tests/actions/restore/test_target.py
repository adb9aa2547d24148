"""Targets that are not empty, not trustworthy, or cut off while they are filled."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backup_platform.actions.restore import plan as planning
from backup_platform.actions.restore.files import spread
from backup_platform.actions.restore.run import run_restore
from backup_platform.actions.restore.target import Directories
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
    with pytest.raises(TargetError, match="was created in the target"):
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
    with pytest.raises(DamageError, match="does not have the size"):
        vault.restore(point, tmp_path / "to")
    assert not (tmp_path / "to/file").exists()
    double = file_of(b"file", identity + identity, 12 + size - 6)
    with pytest.raises(DamageError, match="does not have the size"):
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
