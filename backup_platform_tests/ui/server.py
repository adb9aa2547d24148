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

import psutil  # type: ignore[import-untyped]

from demo.server import homes_of

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
    done = subprocess.run(
        command,
        cwd=directory,
        env=environment(directory),
        check=False,
        capture_output=True,
        text=True,
        timeout=280,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def interrupt_demo(directory: Path, *options: str) -> None:
    """SIGTERM while its database server runs."""
    command = [sys.executable, str(ROOT / "demo/run.py"), *options]
    with subprocess.Popen(command, cwd=directory, env=environment(directory), stdout=subprocess.PIPE) as demo:
        assert demo.stdout is not None
        while b"2. An empty repository" not in (line := demo.stdout.readline()):
            assert line, "the demo ended by itself"
        demo.terminate()
        demo.communicate(timeout=60)
    assert demo.returncode == 128 + signal.SIGTERM
    assert database_servers(directory) == []


def environment(directory: Path) -> dict[str, str]:
    return {**os.environ, "HOME": str(directory / "home"), "COLUMNS": "200"}


def database_servers(directory: Path) -> list[int]:
    """Processes of the demo's PostgreSQL, wherever its data are."""
    homes = homes_of(str(directory / ".demo"))
    return [
        process.pid
        for process in psutil.process_iter(["cmdline"])
        if any(word.startswith(tuple(homes)) for word in process.info["cmdline"] or ())
    ]


@contextlib.contextmanager
def served(directory: Path) -> Iterator[Served]:
    """`make dev` on the demo's state, with schedules and sensors on; SIGTERM ends all that it started."""
    port = free_port()
    command = [sys.executable, str(ROOT / "demo/dev.py"), "-p", str(port)]
    with (directory / "dev.log").open("wb") as log:
        server = psutil.Popen(
            command, cwd=directory, env=environment(directory), stdout=log, stderr=log, start_new_session=True
        )
        try:
            url = f"http://127.0.0.1:{port}"
            await_server(url, server, directory / "dev.log")
            yield Served(url, directory / ".demo")
        finally:
            end(server)
    assert database_servers(directory) == []


def await_server(url: str, server: psutil.Popen, log: Path) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline and server.poll() is None:
        with contextlib.suppress(OSError), urllib.request.urlopen(f"{url}/server_info", timeout=5):
            return
        time.sleep(0.5)
    raise AssertionError(f"dagster dev did not answer:\n{log.read_text()[-3000:]}")


def end(server: psutil.Popen) -> None:
    """By one signal to the one process. All that it started must end with it, and does in any case."""
    started = server.children(recursive=True)
    server.terminate()
    try:
        status = server.wait(60)
        _, left = psutil.wait_procs(started, 20)
    finally:
        for process in (server, *started):
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
    assert (status, left) == (128 + signal.SIGTERM, [])


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
