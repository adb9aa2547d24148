"""Many events at once, where Dagster keeps them in SQLite.

Dagster opens and closes its files three times for each event and waits for the disk each time: 8 ms on an idle
machine, 100 ms on a busy one. Within `batched` a file is opened once, and the disk is waited for at the end.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any

import dagster as dg
from dagster._core.storage.event_log import SqliteEventLogStorage

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

BUSY_S = 60  # for others who write
# Of Dagster's storage: one connection, in a transaction of its own; and whether there is a table, by a further one.
_CONNECT, _HAS_TABLE = "_connect", "has_table"


@contextmanager
def batched(instance: dg.DagsterInstance) -> Iterator[None]:
    """Everything that is written inside, or nothing where an error is raised. Others who write wait for the end."""
    storage = instance.event_log_storage
    if type(storage) is not SqliteEventLogStorage:
        yield
        return
    files = _OpenFiles(storage)
    setattr(storage, _CONNECT, files.connect)
    setattr(storage, _HAS_TABLE, cache(storage.has_table))
    try:
        yield
        files.commit()
    finally:
        for name in (_CONNECT, _HAS_TABLE):
            delattr(storage, name)  # the method of its class is in its place again
        files.close()


class _OpenFiles:
    """Takes the place of a storage's own connections."""

    def __init__(self, storage: SqliteEventLogStorage) -> None:
        self._storage = storage
        self._first: Any = getattr(storage, _CONNECT)
        self._open: dict[str, Connection] = {}

    @contextmanager
    def connect(self, shard: str) -> Iterator[Connection]:
        connection = self._open.get(shard) or self._opened(shard)
        if not connection.in_transaction():
            connection.begin()
        yield connection

    def commit(self) -> None:
        for connection in self._open.values():
            connection.commit()

    def close(self) -> None:
        """What was not committed is not written."""
        for connection in self._open.values():
            connection.close()
            connection.engine.dispose()

    def _opened(self, shard: str) -> Connection:
        from sqlalchemy import create_engine
        from sqlalchemy.pool import NullPool

        with self._first(shard):
            pass  # which makes the file, if there is none
        engine = create_engine(
            self._storage.conn_string_for_shard(shard), poolclass=NullPool, connect_args={"timeout": BUSY_S}
        )
        self._open[shard] = engine.connect()
        return self._open[shard]
