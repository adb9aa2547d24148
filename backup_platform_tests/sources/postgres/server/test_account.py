"""Programs that the server's account cannot run where they are: copied whole, or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from backup_platform.errors import SourceError
from backup_platform.sources.postgres.server.account import Account, server_account, usable_binaries

PROGRAMS = ("initdb", "postgres", "pg_ctl")


@pytest.fixture(autouse=True)
def private_umask() -> Iterator[None]:
    before = os.umask(0o077)
    yield
    os.umask(before)


@pytest.fixture
def account() -> Account:
    return server_account()


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """Below a directory that only this user enters, unpacked with a private umask."""
    bin_dir = tmp_path / "closed" / "pg" / "install" / "bin"
    bin_dir.mkdir(parents=True)
    for program in PROGRAMS:
        (bin_dir / program).write_text('#!/bin/sh\ntest -r "${0%/bin/*}/lib/needed"\n')
        (bin_dir / program).chmod(0o700)
    for needed in ("lib", "share"):
        (bin_dir.parent / needed).mkdir()
        (bin_dir.parent / needed / "needed").write_text("x")
    return bin_dir


def test_the_copy_has_all_the_programs_and_others_may_run_it(
    installed: Path, open_tmp: Path, account: Account
) -> None:
    found = usable_binaries(str(installed), account, str(open_tmp), PROGRAMS)
    assert all(account.runs(os.path.join(found, program), "--version") for program in PROGRAMS)
    assert usable_binaries(str(installed), account, str(open_tmp), PROGRAMS) == found
    assert [path.name for path in open_tmp.glob("draft-*")] == []


def test_a_copy_that_lacks_a_program_is_made_anew(installed: Path, open_tmp: Path, account: Account) -> None:
    found = usable_binaries(str(installed), account, str(open_tmp), PROGRAMS[:2])
    again = usable_binaries(str(installed), account, str(open_tmp), PROGRAMS)
    assert again == found
    assert all(account.runs(os.path.join(again, program), "--version") for program in PROGRAMS)


def test_a_copy_that_failed_is_not_there(installed: Path, open_tmp: Path, account: Account) -> None:
    (installed.parent / "lib" / "needed").unlink()
    (installed.parent / "lib").rmdir()
    with pytest.raises(SourceError, match="cannot be run"):
        usable_binaries(str(installed), account, str(open_tmp), PROGRAMS)
    assert list(open_tmp.iterdir()) == []
