from __future__ import annotations

import logging
from datetime import UTC, datetime

import pytest

from backup_platform.orchestration.progress import INTERVAL_S, LogProgress
from backup_platform.orchestration.shown import Log


class Clock:
    seconds = 0.0

    def now(self) -> datetime:
        return datetime(2026, 1, 1, tzinfo=UTC)

    def monotonic(self) -> float:
        return self.seconds


def test_progress_is_a_line_from_time_to_time(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    clock = Clock()
    progress = LogProgress(Log(logging.getLogger("run"), {}), clock)
    progress.expect(items=600, size=3_000_000)
    for _ in range(600):
        clock.seconds += 0.25
        progress.advance(items=1, size=5_000)
    assert len(caplog.messages) == int(150 / INTERVAL_S)
    assert caplog.messages[0] == "120 files, 600.0 kB of 3.0 MB"
    progress.begin("comparing", "table")
    clock.seconds += INTERVAL_S
    progress.advance(items=1, size=5_000)
    assert caplog.messages[-1] == "comparing: 1 table, 5.0 kB"


def test_notes_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    LogProgress(Log(logging.getLogger("run"), {}), Clock()).note("waiting for a lock: \x1b[2J")
    assert caplog.messages == ["waiting for a lock: \\x1b[2J"]
