"""What comes back is what was there: whole trees, and parts of them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from backup_platform.actions.restore.selection import PathSelection
from backup_platform.actions.restore.tally import count_entries, count_rows
from backup_platform.errors import DamageError, NotFoundError
from backup_platform.repository.points import point_reader
from backup_platform_tests.actions.restore_support import Vault, names_in
from backup_platform_tests.sources.files_support import (
    LARGE,
    NOBODY,
    PRIVILEGED,
    CountingProgress,
    as_nobody,
    assert_same_tree,
    capture,
    long_path,
    noise,
)


def test_every_oddity_comes_back(odd_vault: Vault, tmp_path: Path) -> None:
    point = odd_vault.backup()
    summary = odd_vault.restore(point, tmp_path / "to")
    assert (summary.warnings, summary.warning_count, summary.skipped) == ((), 0, 0)
    assert summary.files == point.facts["files"]
    assert_same_tree(odd_vault.root, tmp_path / "to")
    assert odd_vault.drill(point, tmp_path / "to").differences == ()


def test_unchanged_points_restore_as_well(odd_vault: Vault, tmp_path: Path) -> None:
    odd_vault.backup()
    point = odd_vault.backup()
    assert point.stats.new_bytes == 0
    odd_vault.restore(point, tmp_path / "to")
    assert_same_tree(odd_vault.root, tmp_path / "to")


def test_sparse_files_come_back_sparse(odd_vault: Vault, tmp_path: Path) -> None:
    odd_vault.restore(odd_vault.backup(), tmp_path / "to", ["sparse-large", "all-hole", "zeros"])
    for name in ("sparse-large", "all-hole"):
        assert os.lstat(tmp_path / "to" / name).st_blocks <= os.lstat(odd_vault.root / name).st_blocks
    assert os.lstat(tmp_path / "to" / "zeros").st_blocks > 0


def test_paths_longer_than_the_kernel_takes(vault: Vault, tmp_path: Path) -> None:
    path = long_path(vault.root, 40)
    point = vault.backup()
    summary = vault.restore(point, tmp_path / "to")
    assert (summary.files, summary.warnings) == (2, ())
    assert vault.drill(point, tmp_path / "to").differences == ()
    restored, recorder = capture(tmp_path / "to")
    assert recorder.bytes_of(path) == b"deep down"
    assert restored.facts["hardlinks"] == 1


def test_what_changed_between_points_differs_between_restores(vault: Vault, tmp_path: Path) -> None:
    (vault.root / "file").write_bytes(b"first")
    first = vault.backup()
    (vault.root / "file").write_bytes(b"second")
    (vault.root / "new").write_bytes(b"new")
    second = vault.backup()
    vault.restore(first, tmp_path / "1")
    vault.restore(second, tmp_path / "2")
    assert (tmp_path / "1" / "file").read_bytes() == b"first"
    assert names_in(tmp_path / "1") == {"file"}
    assert_same_tree(vault.root, tmp_path / "2")


def test_a_moved_directory_of_hard_links(vault: Vault, tmp_path: Path) -> None:
    """Names that come in another order than at the backup before must not lose the content."""
    for name in ("a", "m"):
        (vault.root / name).mkdir()
    (vault.root / "a/x").write_bytes(b"shared")
    os.link(vault.root / "a/x", vault.root / "m/y")
    vault.backup()
    os.rename(vault.root / "a", vault.root / "z")
    vault.restore(vault.backup(), tmp_path / "to")
    assert_same_tree(vault.root, tmp_path / "to")


def test_one_path(odd_vault: Vault, tmp_path: Path) -> None:
    summary = odd_vault.restore(odd_vault.backup(), tmp_path / "to", ["dir/042"])
    assert names_in(tmp_path / "to") == {"dir", "dir/042"}
    assert (tmp_path / "to/dir/042").read_bytes() == noise(42 * 7, 42)
    assert summary.files == 1
    assert os.lstat(tmp_path / "to/dir").st_mtime_ns == os.lstat(odd_vault.root / "dir").st_mtime_ns


def test_a_directory_with_all_that_is_in_it(odd_vault: Vault, tmp_path: Path) -> None:
    odd_vault.restore(odd_vault.backup(), tmp_path / "to", ["dir"])
    assert_same_tree(odd_vault.root / "dir", tmp_path / "to/dir")
    assert os.listdir(tmp_path / "to") == ["dir"]


@pytest.mark.parametrize("form", ["dir/deep", "./dir/deep/", "/dir/deep", "dir//deep", "{root}/dir/deep"])
def test_forms_of_a_path(odd_vault: Vault, tmp_path: Path, form: str) -> None:
    odd_vault.restore(odd_vault.backup(), tmp_path / "to", [form.format(root=odd_vault.root)])
    assert names_in(tmp_path / "to") == {"dir", "dir/deep", "dir/deep/er", "dir/deep/er/big-hard"}


def test_a_path_of_any_bytes(odd_vault: Vault, tmp_path: Path) -> None:
    odd_vault.restore(odd_vault.backup(), tmp_path / "to", ["dir/\udcff\udcfe"])
    assert os.listdir(os.fsencode(tmp_path / "to/dir")) == [b"\xff\xfe"]


def test_the_root_as_a_path_is_everything(vault: Vault, tmp_path: Path) -> None:
    (vault.root / "file").touch()
    vault.restore(vault.backup(), tmp_path / "to", ["."])
    assert_same_tree(vault.root, tmp_path / "to")


def test_one_path_does_not_touch_the_target_itself(odd_vault: Vault, tmp_path: Path) -> None:
    (tmp_path / "to").mkdir(mode=0o711)
    before = os.lstat(tmp_path / "to")
    odd_vault.restore(odd_vault.backup(), tmp_path / "to", ["small"])
    assert os.lstat(tmp_path / "to").st_mode == before.st_mode


def test_a_second_name_alone_gets_the_content(odd_vault: Vault, tmp_path: Path) -> None:
    summary = odd_vault.restore(odd_vault.backup(), tmp_path / "to", ["dir/b-hard", "z-hard"])
    assert (tmp_path / "to/z-hard").read_bytes() == noise(5000, 77)
    assert os.path.samefile(tmp_path / "to/dir/b-hard", tmp_path / "to/z-hard")
    assert os.lstat(tmp_path / "to/z-hard").st_mtime_ns == os.lstat(odd_vault.root / "a-hard").st_mtime_ns
    assert summary.files == 2


def test_of_a_part_only_the_entries_near_it_are_made(
    odd_vault: Vault, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(point_reader, "ENTRIES", 1)
    point, chosen = odd_vault.backup(), PathSelection([b"dir/b-hard", b"small"])
    made = [e.stat.path for e in odd_vault.repository.reader(point).entries(chosen.needed)]
    assert {b".", b"dir", b"dir/b-hard", b"small", b"a-hard"} <= set(made)
    assert b"dir/deep" not in made
    assert made == sorted(made, key=lambda path: b"" if path == b"." else path.replace(b"/", b"\0"))
    odd_vault.restore(point, tmp_path / "to", ["dir/b-hard", "small"])
    assert (tmp_path / "to/dir/b-hard").read_bytes() == noise(5000, 77)
    assert names_in(tmp_path / "to") == {"dir", "dir/b-hard", "small"}


@pytest.mark.parametrize(
    ("path", "nearest"),
    [
        ("dir/b-hrad", "dir/b-hard"),
        ("smal", "small"),
        ("dri/042", "dir/042"),
        ("deep/er/big-hard", "dir/deep/er/big-hard"),
    ],
)
def test_a_path_that_is_not_there(odd_vault: Vault, tmp_path: Path, path: str, nearest: str) -> None:
    with pytest.raises(NotFoundError, match="is not in the recovery point") as raised:
        odd_vault.plan(odd_vault.backup(), tmp_path / "to", [path])
    assert "Did you mean" in raised.value.hint
    assert nearest[:6] in raised.value.hint
    assert not (tmp_path / "to").exists()


def test_the_plan_counts_and_writes_nothing(odd_vault: Vault, tmp_path: Path) -> None:
    point = odd_vault.backup()
    plan = odd_vault.plan(point, tmp_path / "to")
    facts = point.facts
    counted = (plan.files, plan.directories, plan.symlinks, plan.other, plan.hardlinks)
    assert counted == tuple(facts[n] for n in ("files", "directories", "symlinks", "other", "hardlinks"))
    assert (plan.conflicts, plan.unavailable, plan.keeps, plan.replaces) == ((), (), 0, 0)
    assert plan.creates == sum(counted[:4])
    assert 0 < plan.bytes < (64 << 20)
    assert plan.fresh
    assert not plan.resumes
    assert not (tmp_path / "to").exists()


def test_progress_ends_at_what_was_expected(odd_vault: Vault, tmp_path: Path) -> None:
    progress = CountingProgress()
    plan = odd_vault.plan(odd_vault.backup(), tmp_path / "to")
    summary = odd_vault.run(plan, progress)
    assert progress.expected == progress.done == [plan.files, plan.bytes]
    assert (summary.files, summary.bytes) == (plan.files, plan.bytes)


def test_missing_content_is_damage_and_not_an_empty_file(vault: Vault, tmp_path: Path) -> None:
    (vault.root / "file").write_bytes(noise(LARGE, 1))
    point = vault.backup()
    packs = [path for path in (vault.place / "repository/packs").rglob("*") if path.is_file()]
    for pack in packs:
        data = bytearray(pack.read_bytes())
        data[len(data) // 2] ^= 1
        pack.write_bytes(data)
    with pytest.raises(DamageError):
        vault.restore(point, tmp_path / "to")
    assert not (tmp_path / "to/file").exists()


def test_what_the_point_does_not_hold_is_a_warning(open_vault: Vault) -> None:
    (open_vault.root / "good").write_bytes(b"good")
    (open_vault.root / "bad").write_bytes(b"bad")
    (open_vault.root / "bad").chmod(0)
    (open_vault.root / "closed").mkdir(mode=0o700 if PRIVILEGED else 0)
    open_vault.let_others_write()
    with as_nobody():
        point = open_vault.backup()
    assert point.incomplete
    plan = open_vault.plan(point, open_vault.place / "to")
    assert plan.unavailable == ("bad: unreadable, Permission denied",)
    summary = open_vault.run(plan)
    assert names_in(open_vault.place / "to") == {"good", "closed"}
    assert summary.warnings == (
        "bad: unreadable when it was backed up: Permission denied",
        "closed: unreadable when it was backed up: Permission denied",
    )


def test_devices_without_root_are_warnings(open_vault: Vault) -> None:
    (open_vault.root / "file").write_bytes(b"x")
    os.mkfifo(open_vault.root / "fifo")
    if PRIVILEGED:
        os.mknod(open_vault.root / "null", 0o020666, os.makedev(1, 3))
        os.chown(open_vault.root / "file", 1234, 1234)
    point = open_vault.backup()
    open_vault.let_others_write()
    with as_nobody():
        summary = open_vault.restore(point, open_vault.place / "to")
        report = open_vault.drill(point, open_vault.place / "to")
    assert (open_vault.place / "to/file").read_bytes() == b"x"
    assert (open_vault.place / "to/fifo").is_fifo()
    assert report.differences == ()
    if PRIVILEGED:
        assert not (open_vault.place / "to/null").exists()
        assert "null: the device could not be made: Operation not permitted" in summary.warnings
        assert "file: its owner 1234 could not be set: only root may do that" in summary.warnings
        assert summary.warning_count == len(summary.warnings) > 3


def test_directories_that_their_owner_may_not_enter(open_vault: Vault) -> None:
    root = open_vault.root
    if PRIVILEGED:
        os.chown(root, NOBODY, NOBODY)
    with as_nobody():
        (root / "a/b").mkdir(parents=True)
        (root / "a/b/file").write_bytes(b"x")
        os.link(root / "a/b/file", root / "z-second-name")
        (root / "a/b").chmod(0o500)
        (root / "a").chmod(0o300 if PRIVILEGED else 0o500)
    point = open_vault.backup()
    open_vault.let_others_write()
    with as_nobody():
        summary = open_vault.restore(point, open_vault.place / "to")
    assert summary.warnings == ()
    assert_same_tree(root, open_vault.place / "to")


def test_both_ways_of_counting_agree(odd_vault: Vault) -> None:
    point = odd_vault.repository.reader(odd_vault.backup())
    assert count_rows(point.rows()) == count_entries(point, PathSelection([]), None)
