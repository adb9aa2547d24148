"""Connections that ignore the libpq variables of this process's environment.

libpq takes values that a url does not give from PGPORT, PGOPTIONS, PGSERVICE and some thirty other variables. It does
so in this process (psycopg, ADBC) and in PostgreSQL's tools. For a server that this program started they are always
wrong, and a url cannot override a service. So they are removed from the environment while such a server is used.
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
    """Removes them for the whole process, until the last block of any thread has ended."""
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
