"""A server that is restarted in the middle of an upload, and credentials that expire in the middle of a run."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from backup_platform.actions.verify.run import ReadShare, verify
from backup_platform.domain.ports import Store
from backup_platform.errors import StoreRefusedError
from backup_platform.stores.opening import open_store
from backup_platform.stores.options import StoreOptions
from backup_platform_tests.stores.relays import serving
from backup_platform_tests.stores.servers import BIN, KEYS, Server, free_port, make_bucket
from backup_platform_tests.support import Bench, QuietProgress, content_of, make_repository, noise

BIG = 9_000_000


def bench_over(store: Store, folder: Path) -> Bench:
    """A source of several large files, to be backed up into a new repository in a store."""
    bench = Bench(folder / "unused")
    make_repository(store, bench.clock, encrypted=False)
    bench.source.write(b"large", noise(BIG, 1))
    bench.source.write(b"small", b"small")
    return bench


def assert_sound(bench: Bench, store: Store) -> None:
    repository = bench.open(store)
    points = repository.points.all()
    assert content_of(repository, points[-1]) == bench.source.files
    assert verify(repository, points, ReadShare(), bench.clock, QuietProgress()).passed


# A restart


@dataclass
class Restarted:
    """rclone behind a relay of bytes: killed as soon as `fatal` bytes went to it, and started again."""

    folder: Path
    fatal: int = 1 << 62
    restarts: int = 0
    _passed: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self.port = free_port()
        self._address = ("127.0.0.1", self.port)
        (self.folder / "data").mkdir()
        self.server = self._start()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.endpoint = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _start(self) -> subprocess.Popen[bytes]:
        command = [
            *(str(BIN / "rclone"), "serve", "s3", "--config", os.devnull, "--addr", f"127.0.0.1:{self.port}"),
            *("--auth-key", f"{KEYS['access_key_id']},{KEYS['secret_access_key']}"),
            str(self.folder / "data"),
        ]
        with (self.folder / "rclone.log").open("ab") as log:
            return subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)

    def close(self) -> None:
        self._listener.close()
        self.server.kill()
        self.server.wait()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._relay, args=(client,), daemon=True).start()

    def _relay(self, client: socket.socket) -> None:
        with (
            suppress(OSError),
            closing(client),
            closing(socket.create_connection(self._address, 1)) as server,
        ):
            back = threading.Thread(target=_pump, args=(server, client, lambda size: None), daemon=True)
            back.start()
            _pump(client, server, self._count)

    def _count(self, size: int) -> None:
        with self._lock:
            self._passed += size
            if self._passed < self.fatal:
                return
            self.fatal = 1 << 62
            self.restarts += 1
            self.server.kill()
            self.server.wait()
            self.server = self._start()


def _pump(source: socket.socket, target: socket.socket, count: Callable[[int], None]) -> None:
    with suppress(OSError):
        while data := source.recv(1 << 16):
            count(len(data))
            target.sendall(data)
    for end in (source, target):
        with suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def restarted(tmp_path: Path) -> Iterator[Restarted]:
    (tmp_path / "rclone").mkdir()
    server = Restarted(tmp_path / "rclone")
    yield server
    server.close()


def test_a_server_that_is_killed_in_the_middle_of_an_upload(restarted: Restarted, tmp_path: Path) -> None:
    """What it was sent half of is sent again, and the run goes on."""
    store = open_store(
        f"{make_bucket(restarted.endpoint)}/place",
        Server(restarted.endpoint, str).options(single_writer=True),
    ).store
    bench = bench_over(store, tmp_path)
    restarted.fatal = restarted._passed + BIG // 2
    point = bench.backup(store)
    assert restarted.restarts == 1
    assert content_of(bench.open(store), point) == bench.source.files
    assert_sound(bench, store)


# Credentials


@dataclass
class Gate:
    """In front of moto: from the `closes`-th request on, keys that are not `accepted` have expired."""

    accepted: set[str]
    closes: int = 1 << 62
    passed: int = 0
    endpoint: str = ""

    def lets_in(self, authorization: str) -> bool:
        self.passed += 1
        key = re.search(r"Credential=([^/]+)/", authorization)
        return self.passed < self.closes or bool(key and key[1] in self.accepted)


EXPIRED = b"<Error><Code>ExpiredToken</Code><Message>The provided token has expired.</Message></Error>"


@contextmanager
def gate(upstream: str) -> Iterator[Gate]:
    made, target = Gate(set()), urlsplit(upstream)

    class Relay(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            if not made.lets_in(self.headers.get("Authorization") or ""):
                return self._answer(400, {}, EXPIRED)
            with closing(HTTPConnection(str(target.hostname), target.port)) as line:
                line.request(self.command, self.path, body, dict(self.headers))
                answer = line.getresponse()
                return self._answer(answer.status, dict(answer.getheaders()), answer.read())

        do_PUT = do_HEAD = do_DELETE = do_POST = do_GET  # noqa: N815

        def _answer(self, status: int, headers: dict[str, str], data: bytes) -> None:
            self.send_response(status)
            size = headers.get("Content-Length", "0") if self.command == "HEAD" else str(len(data))
            for name, value in headers.items():
                if name.lower() not in ("transfer-encoding", "connection", "content-length"):
                    self.send_header(name, value)
            self.send_header("Content-Length", size)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(data)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Nobody reads it."""

    with serving(Relay) as endpoint:
        made.endpoint = endpoint
        yield made


@pytest.mark.xdist_group("moto")
def test_credentials_that_expire_in_the_middle_of_a_backup(moto: Server, tmp_path: Path) -> None:
    """It stops at once and says why. With new ones the next run uses what was stored."""
    url = moto.place()
    bench = bench_over(open_store(url, moto.options()).store, tmp_path)
    with gate(moto.endpoint) as relay:
        store = open_store(url, moto.options(endpoint=relay.endpoint)).store
        relay.closes = 14
        with pytest.raises(StoreRefusedError, match="credentials have expired") as raised:
            bench.backup(store)
    assert "Renew them" in raised.value.hint
    assert not raised.value.retryable
    store = open_store(url, moto.options()).store
    assert not bench.open(store).points.all()
    stored = sum(pack.size for pack in bench.open(store).objects.packs().values())
    assert bench.backup(store).stats.new_bytes <= BIG + 5 - stored * 0.9
    assert_sound(bench, store)


@pytest.mark.xdist_group("moto")
def test_credentials_that_a_provider_renews_in_the_middle_of_a_backup(moto: Server, tmp_path: Path) -> None:
    """As those of an assumed role: the old ones end at the time that they tell, and nobody notices."""
    url, end = moto.place(), datetime.now(UTC) + timedelta(seconds=1)

    def provider() -> dict[str, Any]:
        keys = {"secret_access_key": "s", "token": "t"}
        if datetime.now(UTC) < end:
            return {**keys, "access_key_id": "OLD", "expires_at": end}
        return {**keys, "access_key_id": "NEW", "expires_at": end + timedelta(hours=1)}

    with gate(moto.endpoint) as relay:
        store = open_store(
            url, StoreOptions(endpoint=relay.endpoint, region="us-east-1", allow_http=True, provider=provider)
        ).store
        bench = bench_over(store, tmp_path)

        def over() -> None:
            time.sleep(max(0, (end - datetime.now(UTC)).total_seconds()) + 0.1)
            relay.accepted, relay.closes = {"NEW"}, 0

        bench.source.during = over
        bench.backup(store)
        assert_sound(bench, store)
