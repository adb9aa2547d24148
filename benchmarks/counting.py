"""A relay in front of a server that counts the HTTP requests of its clients, and changes nothing."""

from __future__ import annotations

import re
import socket
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from socketserver import BaseRequestHandler, ThreadingTCPServer

BLOCK = 1 << 18
LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


@dataclass
class Requests:
    """What one direction of one connection asks for. Bodies must have a length, which those of S3 clients have."""

    counts: Counter[str] = field(default_factory=Counter)
    _head: bytes = b""
    _body: int = 0

    def see(self, data: bytes) -> None:
        """The next bytes of the connection, cut anywhere."""
        while data:
            skipped = min(self._body, len(data))
            self._body -= skipped
            self._head += data[skipped:] if not self._body else b""
            data = b""
            if b"\r\n\r\n" in self._head:
                head, _, data = self._head.partition(b"\r\n\r\n")
                self._head = b""
                self.counts[head.split(b" ", 1)[0].decode()] += 1
                self._body = int(found[1]) if (found := LENGTH.search(head)) else 0


@dataclass
class Relay:
    """Where clients connect to, and what they asked for so far, by verb."""

    port: int
    counts: Counter[str]

    def taken(self) -> int:
        """The number of requests since the last call."""
        count = self.counts.total()
        self.counts.clear()
        return count


@contextmanager
def counting(port: int) -> Iterator[Relay]:
    """In front of a server on the loopback."""
    counts: Counter[str] = Counter()

    class Connection(BaseRequestHandler):
        def handle(self) -> None:
            with socket.create_connection(("127.0.0.1", port)) as server:
                back = threading.Thread(target=_pump, args=(server, self.request, None), daemon=True)
                back.start()
                _pump(self.request, server, Requests(counts))
                back.join()

    class Server(ThreadingTCPServer):
        daemon_threads = True

    with Server(("127.0.0.1", 0), Connection) as listening:
        threading.Thread(target=listening.serve_forever, args=(0.05,), daemon=True).start()
        try:
            yield Relay(listening.server_address[1], counts)
        finally:
            listening.shutdown()


def _pump(source: socket.socket, target: socket.socket, requests: Requests | None) -> None:
    with suppress(OSError):  # either side may go at any time
        while data := source.recv(BLOCK):
            if requests:
                requests.see(data)
            target.sendall(data)
    with suppress(OSError):
        target.shutdown(socket.SHUT_WR)
