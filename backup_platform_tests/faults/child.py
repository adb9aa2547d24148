"""Forks a process for every prune and copy that it is asked for, which ends itself at a store call with SIGKILL.

Reads one JSON object a line: `verb`, `root` of the repository, `copy` of it, and `kill_at`, the number of a call or
null. Answers with the exit status.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import traceback
from collections.abc import Callable
from datetime import timedelta

from backup_platform.actions.copy.run import Copying
from backup_platform.actions.prune.plan import PruneSettings
from backup_platform.actions.prune.run import Pruning
from backup_platform.clock import SILENT, SystemClock
from backup_platform.repository.encryption.key_files import Keys
from backup_platform.repository.objects.info import read_info
from backup_platform.repository.packs import blob_reader, blob_writer, indexes, packs
from backup_platform.repository.points import inventory, point_reader, previous
from backup_platform.repository.repository import Repository
from backup_platform.stores.object_store import DirectoryStore
from backup_platform_tests.faults.store import Call, ScriptedStore
from backup_platform_tests.support import all_keys

LOADED = (blob_reader, blob_writer, indexes, inventory, packs, point_reader, previous)
CLOCK = SystemClock()


def main() -> None:
    for line in sys.stdin:
        request = json.loads(line)
        child = os.fork()
        if not child:
            run(VERBS[request["verb"]], request["root"], request["copy"], request["kill_at"])
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


def run(verb: Callable[[str, str, int | None], None], root: str, copy: str, kill_at: int | None) -> None:
    try:
        verb(root, copy, kill_at)
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    os._exit(0)


def opened(root: str, kill_at: int | None = None) -> Repository:
    def script(call: Call) -> None:
        if call.number == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)

    store = DirectoryStore(root)
    keys = all_keys() if read_info(store).encryption != "none" else Keys()
    return Repository(ScriptedStore(store, script), CLOCK, keys=keys)


def prune(root: str, copy: str, kill_at: int | None) -> None:
    pruning = Pruning(opened(root, kill_at), PruneSettings(timedelta(0), 0), CLOCK)
    pruning.run(pruning.plan(), SILENT)


def copy(root: str, copy: str, kill_at: int | None) -> None:
    copying = Copying(opened(root), opened(copy, kill_at), CLOCK)
    copying.run(copying.plan(copying.origin.points.all())).require()


VERBS = {"prune": prune, "copy": copy}

if __name__ == "__main__":
    main()
