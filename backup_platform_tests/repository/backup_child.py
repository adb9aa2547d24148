"""Forks a process for every backup that it is asked for, so that a test can kill it.

Reads one JSON object a line: `root` of the repository, `tree` to back up, and when to kill it: `kill_at` (number of a
store call), `kill_after` (seconds), or null. Answers with the exit status, -9 when it was killed. The modules are
loaded before the fork: what is killed is a backup, not an interpreter that starts.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial

from backup_platform.actions.backup.run import BackupJob
from backup_platform.clock import SILENT, SystemClock
from backup_platform.domain.windows.schedule import CADENCES, WindowSchedule
from backup_platform.repository import session
from backup_platform.repository.objects.info import read_info
from backup_platform.repository.packs import blob_reader, indexes, packs
from backup_platform.repository.points import inventory, point_reader, previous
from backup_platform.repository.repository import Repository
from backup_platform.sources.files import capture
from backup_platform.sources.files.source import FileTreeSource
from backup_platform.stores.object_store import DirectoryStore
from backup_platform_tests.support import Call, ScriptedStore, all_keys

LOADED = (blob_reader, indexes, inventory, point_reader, previous, session, capture)
SINCE = datetime(2020, 1, 1, tzinfo=UTC)


def main() -> None:
    packs.PACK_TARGET = 1 << 20  # many packs, so that there are many moments between them
    for line in sys.stdin:
        request = json.loads(line)
        child = os.fork()
        if not child:
            _exit_with(partial(backup, request["root"], request["tree"], request["kill_at"]))
        print(_status(child, request["kill_after"]), flush=True)


def _status(child: int, kill_after: float | None) -> int:
    deadline = time.monotonic() + (kill_after if kill_after is not None else 3600)
    while True:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() >= deadline:
            os.kill(child, signal.SIGKILL)
        time.sleep(0.001)


def _exit_with(work: Callable[[], None]) -> None:
    try:
        work()
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    os._exit(0)


def backup(root: str, tree: str, kill_at: int | None) -> None:
    def script(call: Call) -> None:
        if call.number == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)

    clock = SystemClock()
    store = DirectoryStore(root)
    keys = all_keys() if read_info(store).encryption != "none" else None
    repository = Repository(ScriptedStore(store, script), clock, keys=keys)
    schedule = WindowSchedule(CADENCES["day"], since=SINCE)
    BackupJob(FileTreeSource("tree", tree, clock), schedule, repository, clock).run(
        None, force=True, progress=SILENT
    )


if __name__ == "__main__":
    main()
