"""Relays in front of test servers: one counts the requests, one translates them."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import quote, unquote, urlsplit


@contextmanager
def json_uploads(port: int) -> Iterator[str]:
    """In front of fake-gcs-server, which lacks uploads of the XML interface, the ones that obstore makes."""

    class Relay(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_PUT(self) -> None:
            """An upload of the XML interface, with its precondition, as one of the JSON interface."""
            data = self.rfile.read(int(self.headers["Content-Length"]))
            bucket, _, name = urlsplit(self.path).path.lstrip("/").partition("/")
            meta = json.dumps({"name": unquote(name)}).encode()
            head = b"--x\r\nContent-Type: application/json\r\n\r\n" + meta
            body = head + b"\r\n--x\r\nContent-Type: application/octet-stream\r\n\r\n" + data + b"\r\n--x--"
            target = (
                f"/upload/storage/v1/b/{bucket}/o?uploadType=multipart&name={quote(unquote(name), safe='')}"
            )
            condition = self.headers.get("x-goog-if-generation-match")
            target += f"&ifGenerationMatch={condition}" if condition else ""
            self._pass("POST", target, body, {"Content-Type": "multipart/related; boundary=x"})

        def do_GET(self) -> None:
            self._pass(self.command, self.path, None, {k: v for k, v in self.headers.items() if k == "range"})

        do_HEAD = do_DELETE = do_GET  # noqa: N815

        def _pass(self, verb: str, path: str, body: bytes | None, headers: dict[str, str]) -> None:
            with closing(HTTPConnection("127.0.0.1", port)) as line:
                line.request(verb, path, body, headers)
                answer = line.getresponse()
                data = answer.read()
            self.send_response(answer.status)
            for name, value in answer.getheaders():
                if name.lower() not in ("content-length", "transfer-encoding", "connection"):
                    self.send_header(name, value)
            size = answer.getheader("Content-Length") if verb == "HEAD" else str(len(data))
            self.send_header("Content-Length", size or "0")
            if verb == "POST":
                self.send_header("ETag", '"relayed"')
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Nobody reads it."""

    with serving(Relay) as endpoint:
        yield endpoint


@contextmanager
def serving(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    """The URL of a server in this process."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


@dataclass
class Counter:
    """Counts what passes to a server, by verb and path without the bucket."""

    endpoint: str = ""
    requests: list[str] = field(default_factory=list)

    def kinds(self) -> dict[str, int]:
        counts: dict[str, int] = {}
        for request in self.requests:
            counts[request] = counts.get(request, 0) + 1
        return counts


@contextmanager
def counting(server_endpoint: str) -> Iterator[Counter]:
    """A relay in front of an S3 server. Signatures hold only where the server does not check them: moto."""
    upstream = urlsplit(server_endpoint)
    counter = Counter()

    class Relay(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            counter.requests.append(_kind(self.command, self.path))
            with closing(HTTPConnection(str(upstream.hostname), upstream.port)) as line:
                line.request(self.command, self.path, body, dict(self.headers))
                answer = line.getresponse()
                data = answer.read()
            self.send_response(answer.status)
            for name, value in answer.getheaders():
                if name.lower() not in ("transfer-encoding", "connection", "content-length"):
                    self.send_header(name, value)
            size = answer.getheader("Content-Length") if self.command == "HEAD" else str(len(data))
            self.send_header("Content-Length", size or "0")
            self.end_headers()
            self.wfile.write(data)

        do_PUT = do_HEAD = do_DELETE = do_POST = do_GET  # noqa: N815

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Nobody reads it."""

    with serving(Relay) as endpoint:
        counter.endpoint = endpoint
        yield counter


def _kind(verb: str, path: str) -> str:
    """Without bucket and place."""
    parts = urlsplit(path)
    listed = re.search(r"prefix=([^&]*)", parts.query)
    if listed and "list-type" in parts.query:
        return f"LIST {unquote(listed[1]).split('/')[1]}"
    return f"{verb} {'/'.join(parts.path.split('/')[3:4])}"
