"""Azurite, Microsoft's own imitation of Azure's blob store, installed by npm at the first use on a machine."""

from __future__ import annotations

import base64
import fcntl
import hashlib
import hmac
import os
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager
from email.utils import formatdate
from http.client import HTTPConnection
from pathlib import Path

from backup_platform_tests.stores.servers import Server, free_port, running

PINNED = Path(__file__).parent / "azurite"
# Of Azurite, and public: every installation has it.
ACCOUNT = "devstoreaccount1"
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
VERSION = "2021-08-06"  # of the protocol


@contextmanager
def azurite(folder: Path) -> Iterator[Server]:
    """It checks signatures and conditions. Everything is kept in memory."""
    port, program = free_port(), installed()
    command = [
        *("node", str(program), "--blobHost", "127.0.0.1", "--blobPort", str(port)),
        *("--inMemoryPersistence", "--silent", "--disableTelemetry", "--skipApiVersionCheck"),
    ]
    with running(command, port, folder / "azurite.log"):
        credentials = {"account_name": ACCOUNT, "account_key": KEY}
        yield Server(f"http://127.0.0.1:{port}/{ACCOUNT}", lambda: _container(port), credentials)


def installed() -> Path:
    """The program, by a lock file with a hash of every package; kept for later runs of the tests."""
    wanted = hashlib.sha256(b"".join(path.read_bytes() for path in sorted(PINNED.iterdir()))).hexdigest()
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "backup-platform-tests"
    place = cache / f"azurite-{wanted[:16]}"
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / "azurite.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not place.exists():
            _install(cache, place)
    return place / "node_modules/azurite/dist/src/blob/main.js"


def _install(cache: Path, place: Path) -> None:
    draft = Path(tempfile.mkdtemp(dir=cache))
    try:
        for path in PINNED.iterdir():
            shutil.copy(path, draft)
        command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
        done = subprocess.run(command, cwd=draft, check=False, capture_output=True, text=True)
        assert done.returncode == 0, f"npm could not install Azurite: {done.stderr[-2000:]}"
        draft.rename(place)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _container(port: int) -> str:
    """The URL of a new container; what the signature covers, Azure's documentation lists."""
    name, date = f"c{uuid.uuid4().hex}", formatdate(usegmt=True)
    headers = f"x-ms-date:{date}\nx-ms-version:{VERSION}"
    text = "PUT" + "\n" * 12 + f"{headers}\n/{ACCOUNT}/{ACCOUNT}/{name}\nrestype:container"
    signature = hmac.new(base64.b64decode(KEY), text.encode(), hashlib.sha256).digest()
    authorization = f"SharedKey {ACCOUNT}:{base64.b64encode(signature).decode()}"
    fields = {"x-ms-date": date, "x-ms-version": VERSION, "Authorization": authorization}
    with closing(HTTPConnection("127.0.0.1", port)) as line:
        line.request("PUT", f"/{ACCOUNT}/{name}?restype=container", b"", fields)
        answer = line.getresponse()
        assert answer.status == 201, answer.read()
    return f"az://{name}/some/prefix"
