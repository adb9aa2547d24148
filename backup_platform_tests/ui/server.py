"""The demo's state behind a real Dagster webserver and daemon, as `make dev` serves it."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_S = 150
CHROMIUM = "/usr/bin/chromium"
CHROMIUM_OPTIONS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@dataclass(frozen=True)
class Served:
    url: str
    state: Path


def run_demo(directory: Path, *options: str) -> str:
    """What the demo printed. Its state is in `.demo` below the directory."""
    command = [sys.executable, str(ROOT / "demo/run.py"), *options]
    environment = {**os.environ, "HOME": str(directory / "home"), "COLUMNS": "200"}
    done = subprocess.run(
        command, cwd=directory, env=environment, check=False, capture_output=True, text=True, timeout=280
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@contextlib.contextmanager
def served(directory: Path) -> Iterator[Served]:
    """`dagster dev` on the demo's state, with schedules and sensors on; nothing of it stays behind."""
    state, port = directory / ".demo", free_port()
    environment = {
        **os.environ,
        "HOME": str(directory / "home"),
        "DAGSTER_HOME": str(state / "dagster"),
        "BACKUP_PLATFORM_PLAN": str(state / "backup.yaml"),
        "DAGSTER_DISABLE_TELEMETRY": "yes",
    }
    command = [sys.executable, "-m", "dagster", "dev", "-w", str(ROOT / "workspace.yaml"), "-p", str(port)]
    with (directory / "dev.log").open("wb") as log:
        server = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=log, stderr=log, start_new_session=True
        )
        try:
            url = f"http://127.0.0.1:{port}"
            await_server(url, server, directory / "dev.log")
            yield Served(url, state)
        finally:
            end(server)


def await_server(url: str, server: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline and server.poll() is None:
        with contextlib.suppress(OSError), urllib.request.urlopen(f"{url}/server_info", timeout=5):
            return
        time.sleep(0.5)
    raise AssertionError(f"dagster dev did not answer:\n{log.read_text()[-3000:]}")


def end(server: subprocess.Popen[bytes]) -> None:
    """First as Ctrl-C would, then for certain, with all that it started."""
    for number, patience in ((signal.SIGINT, 30), (signal.SIGKILL, 30)):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(server.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            server.wait(patience)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
