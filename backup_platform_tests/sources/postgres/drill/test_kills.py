"""A drill that is killed leaves no server, no directory, and nothing in the repository."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from backup_platform_tests.sources.postgres.server.test_private_server import USERS, eventually, gone
from backup_platform_tests.sources.postgres.servers import Server, execute

_CHILD = """
import json, os, sys, time
from pathlib import Path
from backup_platform.clock import Silent
from backup_platform.sources.postgres.drill import run as module
from backup_platform_tests.sources.postgres.drill.drill_support import captured, point_of
from backup_platform_tests.sources.postgres.server.test_private_server import descendants, of_postgres
from backup_platform_tests.support import Restored

url, directory, stage = sys.argv[1:]
drilled = captured(url, Path(directory))

class Progress(Silent):
    def begin(self, doing, unit):
        self.note(doing)

    def note(self, text):
        if text.startswith(stage):
            homes = [path for path in Path(directory).iterdir() if path.name != "sandbox"]
            home, = homes
            print(json.dumps({"home": str(home), "server": of_postgres(descendants(os.getpid()))}), flush=True)
            time.sleep(120)

source, restored = drilled.source, Restored(str(drilled.sandbox))
module.drill(source.options, point_of(drilled), drilled.streams, restored, source.clock, Progress())
"""


@pytest.mark.parametrize(
    ("user", "stage"),
    [("as itself", "loading tables"), *((user, "comparing with what was restored") for user in USERS)],
)
def test_a_killed_drill_leaves_nothing(user: str, stage: str, server15: Server, open_tmp: Path) -> None:
    """Of 15, which Debian installs for everybody: in a work tree of root alone nobody may run the programs of 18."""
    with server15.database() as url:
        kill_a_drill(user, stage, server15.secret_url(url.split("@/")[1].split("?")[0]), open_tmp)


def kill_a_drill(user: str, stage: str, secret_url: str, open_tmp: Path) -> None:
    execute(secret_url, "CREATE TABLE t AS SELECT i FROM generate_series(1, 1000) i")
    open_tmp.chmod(0o777)
    said = killed(USERS[user], secret_url, open_tmp, stage)
    assert said["server"]
    eventually(lambda: gone(*said["server"]))
    eventually(lambda: list(open_tmp.iterdir()) == [])


def killed(user: Sequence[str], url: str, directory: Path, stage: str) -> dict[str, Any]:
    """What a drill says of its server when it has come to that stage and is killed."""
    command = [*user, sys.executable, "-c", _CHILD, url, os.fspath(directory), stage]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=Path(__file__).parents[4]) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        process.kill()
    found: dict[str, Any] = json.loads(line)
    assert found["home"]
    return found
