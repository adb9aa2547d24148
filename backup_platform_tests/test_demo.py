"""The demo's server and its ending, in the places where a demo is run. backup_platform_tests/ui runs all of it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import psycopg
import pytest

from backup_platform_tests.sources.postgres.servers import embedded_18, fetch_value
from demo import server as demo_server
from demo.ending import ENDING

CLEAN = Path(demo_server.__file__).with_name("clean.py")
ROOT = CLEAN.parents[1]


def test_the_server_runs_where_others_may_not_enter_and_clean_removes_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A clone in a closed directory holds the programs, too; TMPDIR is closed as well."""
    closed = tmp_path / "of one's own"
    closed.mkdir(mode=0o700)
    wheel = Path(embedded_18()).parents[1]
    shutil.copytree(wheel, closed / wheel.name, symlinks=True)
    shutil.copytree(f"{wheel}.libs", closed / f"{wheel.name}.libs")
    monkeypatch.setattr(demo_server, "_embedded", lambda: str(closed / wheel.name / "pginstall/bin"))
    monkeypatch.setenv("TMPDIR", str(closed))
    state = closed / ".demo"
    server = demo_server.server_of(str(state))
    try:
        server.create()
        server.start()
        assert fetch_value(server.url("postgres"), "SELECT 1") == 1
    finally:
        subprocess.run([sys.executable, "-I", str(CLEAN)], cwd=closed, check=True)
    assert not state.exists()
    assert [path for path in (*demo_server.homes_of(str(state)), server.socket) if os.path.exists(path)] == []
    assert eventually_refused(server.url("postgres"))


def eventually_refused(url: str) -> bool:
    for _ in range(100):
        try:
            fetch_value(url, "SELECT 1")
        except psycopg.OperationalError:
            return True
        time.sleep(0.05)
    return False


def test_a_socket_directory_of_somebody_else_is_not_used(tmp_path: Path) -> None:
    server = demo_server.server_of(str(tmp_path / ".demo"))
    os.symlink(tmp_path, server.socket)
    try:
        with pytest.raises(SystemExit, match="belongs to somebody else"):
            server._make_socket_directory()
    finally:
        os.unlink(server.socket)


ENDED = """
import signal, subprocess, sys
from demo.ending import ends_by_signals, undisturbed
number = int(sys.argv[1])
with ends_by_signals():
    try:
        print(subprocess.Popen(["sleep", "60"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).pid)
        signal.raise_signal(number)
        print("was ignored")
    finally:
        with undisturbed():
            signal.raise_signal(number)
            print("cleaned")
"""


def ended(number: int, *before: str) -> tuple[int, list[str]]:
    done = subprocess.run(
        [*before, sys.executable, "-c", ENDED, str(int(number))],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL),  # which the tests may have ignored
    )
    child, *said = done.stdout.split("\n")[:-1]
    if "was ignored" in said:
        os.kill(int(child), signal.SIGKILL)
    else:
        assert not os.path.exists(f"/proc/{child}")
    return done.returncode, said


@pytest.mark.parametrize("number", ENDING)
def test_a_signal_ends_the_block_and_its_children_and_not_its_cleaning(number: signal.Signals) -> None:
    assert ended(number) == (128 + number, ["cleaned"])


def test_what_nohup_ignores_stays_ignored() -> None:
    assert ended(signal.SIGHUP, "nohup") == (0, ["was ignored", "cleaned"])
