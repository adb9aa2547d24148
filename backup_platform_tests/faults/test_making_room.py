"""On a full disk, the work that makes room finds the room that the repository kept for it."""

from __future__ import annotations

import errno
import os
import stat
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from backup_platform.app import App
from backup_platform.errors import StoreFullError
from backup_platform.stores import object_store, reserve
from backup_platform_tests.support import QuietProgress, noise

RESERVE = "repository/reserve#0"


@dataclass
class Disk:
    """Of the repository alone: a file system of so many bytes."""

    root: Path
    size: int = 1 << 40

    @property
    def used(self) -> int:
        return sum(_size(path) for path in self.root.rglob("*"))

    def take(self, path: str, data: bytes) -> None:
        fits = data[: max(0, self.size - self.used)]
        with open(path, "ab") as file:
            file.write(fits)
        if len(fits) < len(data):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def fill_up(self) -> None:
        self.size = self.used


def _size(path: Path) -> int:
    """Of a regular file, in bytes; 0 for what another thread has just removed."""
    with suppress(FileNotFoundError):
        status = path.stat()
        return status.st_size if stat.S_ISREG(status.st_mode) else 0
    return 0


@pytest.fixture
def disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Disk:
    disk = Disk(tmp_path / "repository")
    monkeypatch.setattr(object_store, "_write", lambda path, data: disk.take(path, bytes(data)))

    def fill(path: str) -> None:
        there = os.path.getsize(path) if os.path.exists(path) else 0
        disk.take(path, bytes(reserve.SIZE - there))

    monkeypatch.setattr(reserve, "fill", fill)
    return disk


@pytest.fixture
def app(tmp_path: Path, disk: Disk) -> App:
    """Two points, of which the rules keep one, and no room for more."""
    (tmp_path / "tree").mkdir()
    plan = tmp_path / "backup.yaml"
    plan.write_text(
        "repository: {path: repository, prune: {every: day, grace: 0s}}\nstate: state\n"
        "sources: {tree: {files: tree, every: day, keep: {last: 1}}}\n"
    )
    App.load(str(plan)).setup.init()
    for seed in (1, 2):
        (tmp_path / "tree/file").write_bytes(noise(3_000_000, seed))
        (tmp_path / "tree" / f"shared-{seed}").write_bytes(noise(300_000, 10 + seed))
        App.load(str(plan)).backups.run("tree", force=True)
    disk.fill_up()
    return App.load(str(plan))


def fresh(app: App) -> App:
    return App.load(app.plan_path)


def free(app: App) -> None:
    """As the command line does it; a pack goes with the second prune."""
    retention = fresh(app).maintenance.retention
    assert len(retention.run_forget(retention.plan_forget()).forgotten) == 1
    for _ in range(2):
        pruning = fresh(app).maintenance.pruning("0s")
        pruning.run(pruning.plan(), QuietProgress())


def test_a_backup_finds_no_room_and_leaves_what_is_kept(app: App, tmp_path: Path) -> None:
    (tmp_path / "tree/file").write_bytes(noise(3_000_000, 3))
    with pytest.raises(StoreFullError, match="No space left"):
        app.backups.run("tree", force=True)
    assert (tmp_path / RESERVE).stat().st_size == reserve.SIZE


def test_forget_and_prune_make_room_and_keep_some_again(app: App, disk: Disk, tmp_path: Path) -> None:
    free(app)
    assert disk.size - disk.used > 2_500_000
    assert (tmp_path / RESERVE).stat().st_size == reserve.SIZE
    (tmp_path / "tree/file").write_bytes(noise(2_000_000, 3))
    fresh(app).backups.run("tree", force=True)
    assert fresh(app).proofs.verify().passed


def test_what_is_left_of_the_reserve_is_kept_while_the_disk_is_full(
    app: App, disk: Disk, tmp_path: Path
) -> None:
    retention = fresh(app).maintenance.retention
    retention.run_forget(retention.plan_forget())
    assert disk.used <= disk.size
    assert (tmp_path / RESERVE).stat().st_size > 0


def test_a_repository_that_kept_no_room_says_so_and_keeps_some_later(
    app: App, disk: Disk, tmp_path: Path
) -> None:
    (tmp_path / RESERVE).unlink()
    disk.fill_up()
    retention = fresh(app).maintenance.retention
    with pytest.raises(StoreFullError) as caught:
        retention.run_forget(retention.plan_forget())
    assert "Make room" in caught.value.hint
    disk.size += 3_000_000
    free(app)
    assert (tmp_path / RESERVE).stat().st_size == reserve.SIZE


def test_the_reserve_is_no_object_and_no_draft(app: App, tmp_path: Path) -> None:
    store = object_store.DirectoryStore(str(tmp_path / "repository"))
    assert "reserve#0" not in {found.key for found in store.list("")}
    assert list(store.drafts()) == []


def test_it_is_as_large_as_it_says(tmp_path: Path) -> None:
    kept = reserve.Reserve(str(tmp_path))
    assert not kept.give()
    kept.fill()
    with kept.lent():
        assert kept.give()
        assert not kept.give()
        assert os.listdir(tmp_path) == []
    assert (tmp_path / reserve.NAME).stat().st_blocks * 512 >= reserve.SIZE
    assert not kept.give()
