"""The Dagster UI on the demo's state, with the demo's database server beside it: `make dev`."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import suppress

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from demo.ending import ends_by_signals, undisturbed
from demo.run import environment
from demo.run import main as run_demo
from demo.server import STATE, server_of

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
PATIENCE_S = 130  # Dagster gives each of its two servers 60


def main() -> int:
    if not os.path.exists(os.path.join(STATE, "backup.yaml")):
        run_demo([])
    server = server_of(STATE)
    if not os.path.isdir(server.data):
        sys.exit(f"{server.data} is gone, and with it the demo's database. `make demo` makes it anew.")
    command = [
        os.path.join(os.path.dirname(sys.executable), "dagster"),
        "dev",
        "-w",
        f"{ROOT}/workspace.yaml",
    ]
    with ends_by_signals():
        dagster = None
        try:
            server.start()
            # In a session of its own: Ctrl-C in a terminal reaches it once, from here.
            dagster = subprocess.Popen(
                [*command, *sys.argv[1:]], env=os.environ | environment(), start_new_session=True
            )
            return dagster.wait()
        finally:
            with undisturbed():
                if dagster:
                    end(dagster)
                server.stop()


def end(dagster: subprocess.Popen[bytes]) -> None:
    """As Ctrl-C does, then whatever is left of it."""
    if dagster.poll() is None:
        dagster.send_signal(signal.SIGINT)
        with suppress(subprocess.TimeoutExpired):
            dagster.wait(PATIENCE_S)
    with suppress(ProcessLookupError):
        os.killpg(dagster.pid, signal.SIGKILL)
    dagster.wait()


if __name__ == "__main__":
    sys.exit(main())
