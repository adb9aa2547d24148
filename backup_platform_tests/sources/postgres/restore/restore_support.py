"""Restores of the sample, and what is compared of them."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from backup_platform.clock import SILENT, SystemClock
from backup_platform.domain.ports import Progress
from backup_platform.domain.restoring import DatabaseRestorePlan, DatabaseRestoreSummary, DatabaseTarget
from backup_platform.sources.postgres.restore.run import plan_restore, run_restore
from backup_platform_tests.sources.postgres.normalise import without_own_options
from backup_platform_tests.sources.postgres.points import Streams, capture_by_hand, recovery_point
from backup_platform_tests.sources.postgres.restore.sample import SAMPLE
from backup_platform_tests.sources.postgres.servers import Server, embedded_18, execute


@contextmanager
def sample_point(server: Server, more: str = "") -> Iterator[Streams]:
    with server.database() as url:
        execute(url, SAMPLE, *filter(None, [more]))
        yield capture_by_hand(url, server.bin_dir)


def plan(streams: Streams, url: str, **wishes: Any) -> DatabaseRestorePlan:
    return plan_restore(recovery_point(), streams, DatabaseTarget(url, **wishes))


def restore(streams: Streams, url: str, progress: Progress = SILENT, **wishes: Any) -> DatabaseRestoreSummary:
    return run_restore(plan(streams, url, **wishes), streams, progress, SystemClock())


def dumped(url: str, *options: str) -> list[str]:
    """Statements and rows of a database, sorted rows apart, without what names the dump itself."""
    command = [f"{embedded_18()}/pg_dump", f"--dbname={url}", *options]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    lines = [
        line
        for line in without_own_options(text).splitlines()
        if not line.startswith(("--", "\\restrict", "\\unrestrict"))
    ]
    return sorted(line for line in lines if line)
