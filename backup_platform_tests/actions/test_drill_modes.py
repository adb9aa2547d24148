"""A drill by a user who is not root, of everything whose mode keeps its owner out."""

from __future__ import annotations

import os
import subprocess

import pytest

from backup_platform.domain.model import Entry, Status
from backup_platform.domain.ports import DrillReport
from backup_platform_tests.actions.restore_support import Vault
from backup_platform_tests.sources.files_support import ACCESS, NOBODY, PRIVILEGED, as_nobody

MODES = (0o000, 0o100, 0o200, 0o300, 0o400, 0o500, 0o600, 0o2755, 0o2050, 0o1777, 0o4711, 0o7000)


@pytest.fixture
def vault(open_vault: Vault) -> Vault:
    for mode in MODES:
        directory = open_vault.root / f"{mode:04o}"
        directory.mkdir()
        (directory / "file").write_text(f"in {mode:o}")
        os.setxattr(directory / "file", "user.note", b"seen")
        os.setxattr(directory / "file", "system.posix_acl_access", ACCESS)
        (directory / "below").mkdir()
        (directory / "below" / "link").symlink_to("nowhere")
    return open_vault


def with_mode(entry: Entry) -> Entry:
    """As root finds it where every file and directory has the mode that its name says."""
    first, _, rest = entry.stat.path.partition(b"/")
    if rest not in (b"", b"file") or first == b".":
        return entry
    mode, xattrs = int(first, 8), entry.xattrs
    if rest:
        mode = (mode & 0o7700) | 0o060  # the others as the ACL says
        owner = bytes([mode >> 6 & 7])
        xattrs = tuple((n, v[:6] + owner + v[7:] if b"acl" in n else v) for n, v in xattrs)
    return entry._replace(stat=entry.stat._replace(mode=mode), xattrs=xattrs)


def drilled(vault: Vault, *, root_mode: int = 0o755) -> DrillReport:
    genuine = vault.repository.reader(vault.backup())
    entries = [with_mode(entry) for entry in genuine.entries()]
    entries[0] = entries[0]._replace(stat=entries[0].stat._replace(mode=root_mode))
    point = vault.forge(entries)
    vault.let_others_write()
    with as_nobody():
        vault.restore(point, vault.place / "to")
        return vault.drill(point, vault.place / "to")


@pytest.mark.parametrize("root_mode", [0o755, 0o000, 0o300])
def test_a_faithful_restore_passes(vault: Vault, root_mode: int) -> None:
    report = drilled(vault, root_mode=root_mode)
    assert report.differences == ()
    assert report.compared["files"] == len(MODES)


def test_a_difference_behind_a_closed_door_is_seen(vault: Vault) -> None:
    genuine = vault.repository.reader(vault.backup())
    point = vault.forge([with_mode(entry) for entry in genuine.entries()])
    vault.let_others_write()
    with as_nobody():
        vault.restore(point, vault.place / "to")
        for name, text in (("0000", b"in 7"), ("0200", b"in 201")):
            os.chmod(vault.place / "to" / name, 0o700)
            os.chmod(vault.place / "to" / name / "file", 0o600)
            (vault.place / "to" / name / "file").write_bytes(text)
        report = vault.drill(point, vault.place / "to")
    told = "\n".join(report.differences)
    for path in ("0000: mode is '0700'", "0000/file: content differs", "0200/file: content differs"):
        assert path in told


def test_an_incomplete_point_of_a_user(vault: Vault) -> None:
    """What could not be listed or read is there with its mode, and no fault of the restore."""
    if PRIVILEGED:
        subprocess.run(["chown", "-R", str(NOBODY), vault.root], check=True)
    os.chmod(vault.root / "1777" / "file", 0o200)
    for mode in MODES:
        os.chmod(vault.root / f"{mode:04o}", mode)
    vault.let_others_write()
    with as_nobody():
        point = vault.backup()
        vault.restore(point, vault.place / "to")
        report = vault.drill(point, vault.place / "to")
    assert report.differences == ()
    entries = vault.repository.reader(point).entries()
    lost = {entry.stat.path for entry in entries if entry.status is Status.UNREADABLE}
    assert lost >= {b"0000", b"0300", b"0400/file", b"1777/file"}
