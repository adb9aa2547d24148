"""A real PgBouncer before a server of a test, as a user without privileges."""

from __future__ import annotations

import os
import pwd
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from backup_platform_tests.sources.postgres.servers import SECRET, SECRET_ROLE, Server

PROGRAM = "/usr/sbin/pgbouncer"


@contextmanager
def pooler(server: Server, mode: str, **settings: str) -> Iterator[int]:
    """Its port on 127.0.0.1. Everybody is let in, and is SECRET_ROLE on the server."""
    if not os.path.exists(PROGRAM):
        pytest.fail(f"There is no {PROGRAM}. Tests need it and do not skip.")
    port = _free_port()
    options = {
        "listen_addr": "127.0.0.1",
        "listen_port": str(port),
        "unix_socket_dir": "",
        "auth_type": "any",
        "pool_mode": mode,
        **settings,
    }
    target = f"* = host=127.0.0.1 port={server.port} user={SECRET_ROLE} password='{SECRET}'"
    lines = ["[databases]", target, "[pgbouncer]", *(f"{name} = {value}" for name, value in options.items())]
    with TemporaryDirectory(prefix="backup-platform-test-") as home:
        config = Path(home) / "pgbouncer.ini"
        config.write_text("\n".join(lines) + "\n")
        os.chmod(home, 0o755)
        with subprocess.Popen(
            [PROGRAM, "-q", str(config)], stderr=subprocess.DEVNULL, user=_account()
        ) as process:
            try:
                _await(port, process)
                yield port
            finally:
                process.kill()


def pooled_url(port: int, server_url: str) -> str:
    """The same database through a pooler."""
    name = server_url.split("@/")[1].split("?")[0]
    return f"postgresql://anybody@127.0.0.1:{port}/{name}"


def _account() -> int | None:
    """PgBouncer does not run as root."""
    return pwd.getpwnam("nobody").pw_uid if os.geteuid() == 0 else None


def _await(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        assert process.poll() is None, "PgBouncer has ended."
        with socket.socket() as probe:
            if not probe.connect_ex(("127.0.0.1", port)):
                return
        time.sleep(0.02)
    pytest.fail("PgBouncer does not answer.")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
