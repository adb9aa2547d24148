"""A restore goes on where one file or directory is refused, and says which; the dry run says it before."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from backup_platform.domain.model import RecoveryPoint
from backup_platform.errors import TargetError
from backup_platform_tests.actions.restore_support import Vault, names_in
from backup_platform_tests.sources.files_support import NOBODY, PRIVILEGED, as_nobody, assert_same_tree, noise


@pytest.fixture
def saved(open_vault: Vault) -> tuple[Vault, RecoveryPoint]:
    """A point of a user's tree, two files of which are lost since."""
    root = open_vault.root
    if PRIVILEGED:
        os.chown(root, NOBODY, NOBODY)
    with as_nobody():
        for name in ("a/1", "ro/2", "ro/deep/3", "ro/link-to", "z"):
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(name)
        (root / "ro/link").symlink_to("link-to")
        os.link(root / "ro/2", root / "second")
        (root / "ro").chmod(0o555)
    point = open_vault.backup()
    open_vault.let_others_write()
    with as_nobody():
        (root / "ro").chmod(0o755)
        for name in ("ro/2", "ro/link", "second", "z"):
            (root / name).unlink()
        (root / "ro").chmod(0o555)
    return open_vault, point


def test_a_directory_of_this_user_is_opened_for_the_restore(saved: tuple[Vault, RecoveryPoint]) -> None:
    vault, point = saved
    with as_nobody():
        plan = vault.plan(point, vault.root, overwrite=True)
        summary = vault.run(plan)
    assert (plan.refused_count, summary.failures, summary.warnings) == (0, (), ())
    assert (vault.root / "ro").stat().st_mode & 0o777 == 0o555
    vault.restore(point, vault.place / "fresh")
    assert_same_tree(vault.place / "fresh", vault.root)


def test_the_root_of_the_tree_is_opened_too(saved: tuple[Vault, RecoveryPoint]) -> None:
    vault, _ = saved
    vault.root.chmod(0o555)
    point = vault.backup()
    vault.let_others_write()
    with as_nobody():
        vault.root.chmod(0o755)
        (vault.root / "a/1").unlink()
        (vault.root / "a").rmdir()
        vault.root.chmod(0o555)
        assert vault.restore(point, vault.root, overwrite=True).failures == ()
    assert (vault.root / "a/1").read_text() == "a/1"
    assert vault.root.stat().st_mode & 0o777 == 0o555


def test_what_is_refused_is_foreseen_and_listed_and_the_rest_is_restored(
    saved: tuple[Vault, RecoveryPoint],
) -> None:
    """Only its files are asked for: the directory is not this restore's to change."""
    vault, point = saved
    with as_nobody():
        plan = vault.plan(point, vault.root, ("ro/2", "ro/link", "second", "z"))
        summary = vault.run(plan)
    assert plan.refused == (
        "ro/2: this user may not write to its directory",
        "ro/link: this user may not write to its directory",
    )
    assert summary.failures == (
        "ro/link: Permission denied",
        "ro/2: Permission denied",
        "second: what it is another name of could not be made",
    )
    assert (summary.failure_count, summary.files) == (3, 1)
    assert names_in(vault.root) == {"a", "a/1", "ro", "ro/deep", "ro/deep/3", "ro/link-to", "z"}


def test_a_directory_that_cannot_be_made_takes_its_files_along(saved: tuple[Vault, RecoveryPoint]) -> None:
    vault, point = saved
    with as_nobody():
        (vault.root / "ro").chmod(0o755)
        (vault.root / "ro/deep/3").unlink()
        (vault.root / "ro/deep").rmdir()
        (vault.root / "ro").chmod(0o555)
        plan = vault.plan(point, vault.root, ("ro/deep", "z"))
        summary = vault.run(plan)
    told = ("ro/deep: Permission denied", "ro/deep/3: its directory could not be made")
    assert (plan.refused_count, summary.failures) == (2, told)
    assert (vault.root / "z").read_text() == "z"


def test_a_file_that_cannot_be_replaced_leaves_nothing_beside_it(saved: tuple[Vault, RecoveryPoint]) -> None:
    """Root's file in a directory with the sticky bit; without root a directory that cannot be written to."""
    vault, point = saved
    other = vault.place / "other"
    (other / "a").mkdir(parents=True)
    (other / "a/1").write_text("root's")
    (other / "a").chmod(0o1777 if PRIVILEGED else 0o555)
    other.chmod(0o777)
    with as_nobody():
        summary = vault.restore(point, other, ("a/1", "z"), overwrite=True)
    assert len(summary.failures) == 1
    assert names_in(other) == {"a", "a/1", "z"}
    assert (other / "a/1").read_text() == "root's"


def test_an_unreadable_file_in_the_way_is_replaced(saved: tuple[Vault, RecoveryPoint]) -> None:
    vault, point = saved
    with as_nobody():
        (vault.root / "a/1").chmod(0)
        assert vault.restore(point, vault.root, overwrite=True).failures == ()
    assert (vault.root / "a/1").read_text() == "a/1"
    assert (vault.root / "a/1").stat().st_mode & 0o777 == 0o644


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """As on a file system that has no larger files."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("size", [300_000, 9_000_000])
def test_a_file_too_large_for_the_target(vault: Vault, tmp_path: Path, size: int) -> None:
    (vault.root / "large").write_bytes(noise(size, 1))
    (vault.root / "second").hardlink_to(vault.root / "large")
    (vault.root / "small").write_text("small")
    point = vault.backup()
    with largest_file(100_000):
        summary = vault.restore(point, tmp_path / "to")
    assert summary.failures == (
        "large: File too large",
        "second: what it is another name of could not be made",
    )
    assert names_in(tmp_path / "to") == {"small"}


def test_a_drill_that_cannot_restore_everything_gives_no_verdict(vault: Vault) -> None:
    (vault.root / "large").write_bytes(noise(300_000, 1))
    point = vault.backup()
    with largest_file(200_000), pytest.raises(TargetError, match="1 entry"):
        vault.drill_in_a_sandbox(point)
    assert vault.repository.proofs.details(point.id) == []
