"""Where the tests write."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from backup_platform_tests import scratch


def test_a_small_memory_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scratch, "NEEDED", 1 << 60)
    assert scratch.scratch.__wrapped__() is None
    monkeypatch.setattr(scratch, "NEEDED", 0)
    monkeypatch.setattr(scratch, "MEMORY", Path("/nowhere"))
    assert scratch.scratch.__wrapped__() is None


def test_what_a_killed_session_left_goes_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scratch, "scratch", lambda: str(tmp_path))
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    left, running, other = (
        tmp_path / name
        for name in (
            f"backup-platform-tests-{ended.pid}-a",
            f"backup-platform-tests-{os.getpid()}-b",
            "other",
        )
    )
    for path in (left, running, other):
        (path / "deep").mkdir(parents=True)
    made = scratch.make_place()
    assert made is not None
    assert set(tmp_path.iterdir()) == {running, other, made}
