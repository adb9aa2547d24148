"""Private directories of processes that were killed are removed by the next one, and no others are."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from backup_platform.temporary import SETTLED_S, PrivateDirectory, remove_leftovers
from backup_platform_tests.support import small_bench

_CHILD = """
import sys, time
from backup_platform.temporary import PrivateDirectory
with PrivateDirectory("restore", sys.argv[1]) as path:
    print(path, flush=True)
    time.sleep(120)
"""


@pytest.fixture
def child(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], Path]]:
    """A process that has a directory below `tmp_path`, made long ago, and that directory."""
    command = [sys.executable, "-c", _CHILD, str(tmp_path)]
    root = Path(__file__).parents[1]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=root) as process:
        assert process.stdout is not None
        path = Path(process.stdout.readline().strip())
        (path / "closed").mkdir()
        (path / "closed" / "schema.dump").write_text("definitions")
        (path / "closed").chmod(0)
        age(path)
        yield process, path
        process.kill()


def age(path: Path) -> None:
    before = path.stat().st_mtime - SETTLED_S - 1
    os.utime(path, (before, before))


def test_what_a_killed_process_left_is_removed_by_the_next(
    child: tuple[subprocess.Popen[str], Path], tmp_path: Path
) -> None:
    process, path = child
    with PrivateDirectory("drill", str(tmp_path)):
        assert path.is_dir(), "its process is there"
    process.send_signal(signal.SIGKILL)
    process.wait()
    with PrivateDirectory("drill", str(tmp_path)) as own:
        assert os.listdir(tmp_path) == [os.path.basename(own)]
    assert os.listdir(tmp_path) == []


def test_a_backup_removes_it_too(
    child: tuple[subprocess.Popen[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    process, path = child
    process.kill()
    process.wait()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    small_bench(tmp_path / "bench").backup()
    assert not path.exists()


def test_nothing_else_is_removed(tmp_path: Path) -> None:
    kept = [
        "backup-platform-tmp-drill-",
        "backup-platform-tmp-drill-abcdefgh-mine",
        "my-backup-platform-tmp-drill-abcdefgh",
    ]
    for name in (
        *kept,
        "backup-platform-server-abcdefgh",
        "backup-platform-drill-abcdefgh",
        "backup-platform-tmp-drill-abcdefgh",
    ):
        (tmp_path / name).mkdir()
        age(tmp_path / name)
    (tmp_path / "backup-platform-tmp-query-abcdefgh").symlink_to(tmp_path / kept[0])
    (tmp_path / "backup-platform-tmp-export-abcdefgh").mkdir()  # just now
    before = set(os.listdir(tmp_path))
    remove_leftovers(str(tmp_path))
    assert before - set(os.listdir(tmp_path)) == {"backup-platform-tmp-drill-abcdefgh"}


def test_what_belongs_to_another_user_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "backup-platform-tmp-drill-abcdefgh"
    path.mkdir()
    age(path)
    monkeypatch.setattr(os, "geteuid", lambda: path.stat().st_uid + 1)
    remove_leftovers(str(tmp_path))
    assert path.is_dir()
