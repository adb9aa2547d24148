"""A real Redis: its dump as the output of a program, proven by its own check, and loaded into another server."""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from backup_platform.app import App
from backup_platform.errors import SourceError

PASSWORD = "of-the-test"
PROGRAM = (
    "/usr/bin/redis-check-rdb"  # the server is the same program by another name; its package would start one
)


@dataclass(frozen=True)
class Redis:
    folder: Path

    @property
    def socket(self) -> str:
        return os.fspath(self.folder / "socket")

    def ask(self, *words: str, given: str | None = None) -> str:
        environment = {**os.environ, "REDISCLI_AUTH": PASSWORD}
        command = ["redis-cli", "-s", self.socket, *words]
        done = subprocess.run(
            command, env=environment, input=given, capture_output=True, text=True, timeout=60, check=False
        )
        return done.stdout.strip()


@contextmanager
def redis(folder: Path, dump: str = "unused.rdb") -> Iterator[Redis]:
    """A server of its own on a socket; it begins with the dump in its folder, if there is one."""
    server = Redis(folder)
    command = ["redis-server", "--port", "0", "--unixsocket", server.socket, "--requirepass", PASSWORD]
    command += ["--dir", os.fspath(folder), "--dbfilename", dump, "--save", "", "--appendonly", "no"]
    command += ["--repl-diskless-sync-delay", "0"]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            command, executable=PROGRAM, stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )
    try:
        end = time.monotonic() + 60
        while server.ask("ping") != "PONG":
            assert process.poll() is None, (folder / "log").read_text()
            assert time.monotonic() < end
            time.sleep(0.02)
        yield server
    finally:
        process.terminate()
        process.wait(60)


@contextmanager
def short_folder() -> Iterator[Path]:
    """A socket's path has a hundred characters at most."""
    with tempfile.TemporaryDirectory(prefix="redis-", dir="/tmp") as name:
        yield Path(name)


@pytest.fixture(scope="module")
def cache() -> Iterator[Redis]:
    with short_folder() as folder, redis(folder) as server:
        sets = [f"SET key:{n} value-{n * n}-{'x' * (n % 97)}\n" for n in range(5_000)]
        server.ask(given="".join([*sets, "HSET user name Ada city London\n", "RPUSH queue a b c\n"]))
        yield server


@pytest.fixture
def app(cache: Redis, tmp_path: Path) -> App:
    (tmp_path / "password").write_text(f"{PASSWORD}\n")
    plan = tmp_path / "backup.yaml"
    plan.write_text(
        f"repository: {{path: {tmp_path}/repository}}\n"
        f"sources:\n  cache:\n    command: [redis-cli, -s, {cache.socket}, --rdb, '-']\n"
        "    env: {REDISCLI_AUTH: '${file:password}'}\n"
        "    filename: dump.rdb\n    min_size: 1kB\n    timeout: 1min\n    every: day\n"
        "    check: [redis-check-rdb, '{file}']\n"
    )
    made = App.load(os.fspath(plan))
    made.setup.init()
    return made


def contents(server: Redis) -> list[str]:
    keys = sorted(server.ask("keys", "key:*").split())
    values = server.ask(given="".join(f"GET {key}\n" for key in keys)).splitlines()
    pairs = map("=".join, zip(keys, values, strict=True))
    return [*pairs, server.ask("hgetall", "user"), server.ask("lrange", "queue", "0", "-1")]


def test_from_one_server_to_another(app: App, cache: Redis) -> None:
    point = app.backups.run("cache").point
    assert point.stats.source_bytes > 50_000
    result = app.proofs.drill(point.id)
    assert result.report.differences == ()
    assert result.report.compared["check"] == "passed"
    expected = contents(cache)
    assert len(expected) == 5_002
    with short_folder() as folder:
        app.restores.run(app.restores.plan(point.id, to=os.fspath(folder), paths=["dump.rdb"]))
        with redis(folder, "dump.rdb") as other:
            assert contents(other) == expected
    with short_folder() as folder:
        with (folder / "piped.rdb").open("wb") as file:
            file.writelines(app.restores.content(point.id))
        with redis(folder, "piped.rdb") as other:
            assert other.ask("hget", "user", "city") == "London"


def test_a_dump_that_is_none_fails_the_drill(app: App, tmp_path: Path) -> None:
    """What a program writes with exit status 0 may still be worth nothing."""
    app.backups.run("cache")
    plan = tmp_path / "backup.yaml"
    text = plan.read_text()
    command = next(line for line in text.splitlines() if "command:" in line)
    cut = "    command: [bash, -c, 'set -o pipefail; echo REDIS; head -c 5000 /dev/zero']"
    plan.write_text(text.replace(command, cut))
    broken = App.load(os.fspath(plan))
    result = broken.proofs.drill(broken.backups.run("cache", force=True).point.id)
    assert not result.proof.passed
    assert "The check redis-check-rdb ended with exit status 1" in result.report.differences[0]


def test_a_wrong_password_is_a_failure(app: App, tmp_path: Path) -> None:
    (tmp_path / "password").write_text("another-one\n")
    with pytest.raises(SourceError, match="redis-cli ended with exit status 1") as caught:
        app.backups.run("cache")
    assert "another-one" not in repr(caught.value) + caught.value.said
    assert app.points.all() == []
