"""Azurite, Microsoft's own imitation of Azure's blob store, installed by npm at the first use on a machine."""

from __future__ import annotations

import base64
import hashlib
import hmac
import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager
from email.utils import formatdate
from http.client import HTTPConnection
from pathlib import Path

from backup_platform_tests import npm_packages
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
    return npm_packages.installed(PINNED, "azurite") / "azurite/dist/src/blob/main.js"


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
