"""Connections that take nothing from the environment of whoever runs this.

libpq fills what a url leaves open from PGPORT, PGOPTIONS, PGSERVICE and some thirty more variables, in this process
(psycopg, ADBC) and in PostgreSQL's tools. For a server that this program started they are always wrong, and a url
cannot take back a service. So they are out of the environment while such a server is used.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_PREFIX = "PG"
_lock = threading.Lock()
_users = 0
_taken: dict[str, str] = {}


@contextmanager
def without_libpq_variables() -> Iterator[None]:
    """For the whole process, until the last block has ended that any thread is in."""
    global _users
    with _lock:
        _users += 1
        if _users == 1:
            _taken.update({name: os.environ.pop(name) for name in [*os.environ] if name.startswith(_PREFIX)})
    try:
        yield
    finally:
        with _lock:
            _users -= 1
            if not _users:
                os.environ.update(_taken)
                _taken.clear()
