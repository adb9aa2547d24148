"""Where the tests write."""

from __future__ import annotations

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


@pytest.mark.parametrize("kind", ["backup-platform-tests-{}-a", "bpt-{}"])
def test_what_a_killed_session_left_goes_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setattr(scratch, "scratch", lambda: str(tmp_path))
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    left, running, other = (tmp_path / name for name in (kind.format(ended.pid), kind.format(1), "other"))
    for path in (left, running, other):
        (path / "deep").mkdir(parents=True)
    place, room = scratch.make_place(), scratch.make_room()
    assert place
    assert room
    assert set(tmp_path.iterdir()) == {running, other, place, room}
    assert room.stat().st_mode & 0o7777 == 0o1777
