"""Dates and numbers at the ends of their ranges, through the whole life of a recovery point."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from backup_platform.actions.points.inventory import diff_entries
from backup_platform.domain.model import Entry, EntryKind, Stat
from backup_platform_tests.actions.restore_support import Vault
from backup_platform_tests.golden import reader
from backup_platform_tests.repository.rescuing import Rescue

SECOND = 1_000_000_000
DATES = {
    "2400": 13_569_465_600 * SECOND,
    "last-near": (1 << 63) - 1,
    "first-far": 1 << 63,
    "1500": -14_831_769_600 * SECOND + 1,
    "year-300000": 9_404_861_000_000 * SECOND + 999_999_999,
    "1969": -1,
}


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Path]:
    """In memory, where the machine has such a file system: it keeps dates that ext4 cuts."""
    if not os.path.isdir("/dev/shm"):
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(dir="/dev/shm") as path:
        yield Path(path)


@pytest.fixture
def vault(place: Path) -> Vault:
    vault = Vault(place)
    vault.root.mkdir()
    for name, mtime in DATES.items():
        (vault.root / name).write_text(name)
        (vault.root / f"dir-{name}").mkdir()
        (vault.root / f"link-{name}").symlink_to(name)
        os.mkfifo(vault.root / f"fifo-{name}")
        for kind in ("", "dir-", "link-", "fifo-"):
            os.utime(vault.root / (kind + name), ns=(mtime, mtime), follow_symlinks=False)
    return vault


def times(root: Path) -> dict[str, int]:
    return {name: os.lstat(root / name).st_mtime_ns for name in os.listdir(root)}


def test_from_the_file_system_and_back(vault: Vault) -> None:
    point = vault.backup()
    stored = {os.fsdecode(e.stat.path): e.stat.mtime_ns for e in vault.repository.reader(point).entries()}
    assert {name: stored[name] for name in times(vault.root)} == times(vault.root)
    assert vault.restore(point, vault.place / "to").warnings == ()
    assert times(vault.place / "to") == times(vault.root)
    assert vault.drill(point, vault.place / "to").differences == ()
    os.utime(vault.place / "to" / "2400", ns=(5, 5))
    assert "time of modification" in "".join(vault.drill(point, vault.place / "to").differences)


def test_what_is_unchanged_is_not_read_again(vault: Vault) -> None:
    first, second = vault.backup(), vault.backup()
    assert second.inventory == first.inventory
    unread = vault.root / "2400"
    before = os.lstat(unread)
    unread.write_text("other")
    os.utime(unread, ns=(before.st_mtime_ns + 1, before.st_mtime_ns + 1))
    old, new = (vault.repository.reader(point) for point in (first, vault.backup()))
    changes = list(diff_entries(old.entries(), new.entries()))
    assert [(str(each.path), str(each.change)) for each in changes] == [("b'2400'", "changed")]


def test_programs_without_this_project_read_it(vault: Vault) -> None:
    vault.backup()
    repository = vault.place / "repository"
    done = subprocess.run(
        [sys.executable, "-I", reader.__file__, repository], capture_output=True, text=True, check=True
    )
    (found,) = json.loads(done.stdout)["points"]
    told = {bytes.fromhex(row["path"]).decode(): row["mtime_ns"] for row in found["rows"]}
    assert {name: told[name] for name in times(vault.root)} == times(vault.root)
    Rescue.prepare(vault.place / "rescue").restore(repository, "restore", "tree@latest", vault.place / "to")
    assert times(vault.place / "to") == times(vault.root)


def test_a_drill_on_a_file_system_that_has_only_some_dates(vault: Vault, tmp_path: Path) -> None:
    """The restored tree is what can be made there: no fault of the recovery point."""
    point = vault.backup()
    to = tmp_path / "to"
    summary = vault.restore(point, to)
    kept = sum(times(to)[name] == mtime for name, mtime in times(vault.root).items())
    report = vault.drill(point, to)
    assert report.differences == ()
    lost = len(times(vault.root)) - kept
    assert summary.warning_count == lost
    assert report.compared.get("times that this file system cannot keep", 0) == lost


def test_numbers_at_their_ends(vault: Vault) -> None:
    stats = [
        Stat(b".", EntryKind.DIRECTORY, 0o755, 0, 0, 0, 0, 0, 1, 1, 1, 0),
        extreme(b"a", EntryKind.CHAR_DEVICE),
        extreme(b"b", EntryKind.SOCKET)._replace(mtime_ns=-(10**25), ctime_ns=10**25),
    ]
    point = vault.forge([Entry(each) for each in stats])
    assert [each.stat for each in vault.repository.reader(point).entries()] == stats


def extreme(path: bytes, kind: EntryKind) -> Stat:
    most32, most64 = (1 << 32) - 1, (1 << 64) - 1
    return Stat(path, kind, 0o7777, most32 - 1, most32, most64, -1, -1, most64, most64, most64, most64)


@pytest.mark.parametrize("owner", [4_294_967_294 if os.geteuid() == 0 else os.geteuid()])
def test_owners_at_their_ends(vault: Vault, owner: int) -> None:
    os.chown(vault.root / "1969", owner, -1)
    vault.restore(vault.backup(), vault.place / "to")
    assert os.lstat(vault.place / "to" / "1969").st_uid == owner
