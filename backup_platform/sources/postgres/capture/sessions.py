"""The sessions of one capture. All are connected before anything is locked."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from backup_platform.errors import SourceConnectionsError, SourceError, SourceFormatError
from backup_platform.sources.postgres.connect.connections import adbc_uri, connect
from backup_platform.sources.postgres.connect.poolers import require_safe_start
from backup_platform.sources.postgres.failures import postgres_errors
from backup_platform.sources.postgres.options import PostgresOptions

if TYPE_CHECKING:
    from adbc_driver_manager.dbapi import Connection as ArrowConnection

    from backup_platform.sources.postgres.connect.connections import Connection

OLDEST = 130000
JOIN_S = 1.0  # how long a session waits for its locks while the main one holds them already


@dataclass(frozen=True, slots=True)
class Sessions:
    """`main` takes the snapshot, `others` and `arrow` (ADBC) join it. They are connected before anything is locked,
    because a connection for ADBC takes a third of a second."""

    url: str
    server: str
    main: Connection
    others: list[Connection]
    arrow: list[ArrowConnection]

    @property
    def count(self) -> int:
        """How many connections the capture needs, with the one of pg_dump."""
        return len(self.others) + len(self.arrow) + 2

    def run(self, statement: str) -> None:
        """Run a statement in all sessions but the main one."""
        for connection in self.others:
            connection.execute(statement.encode())
        for arrow in self.arrow:
            run_in(arrow, statement)


def open_sessions(url: str, options: PostgresOptions, server: str, stack: ExitStack) -> Sessions:
    jobs = max(1, options.jobs)
    try:
        main = stack.enter_context(connect(url, lock_timeout=options.lock_timeout))
        _require_version(main, server)
        require_safe_start(main, server)
        others = [stack.enter_context(connect(url, lock_timeout=JOIN_S)) for _ in range(jobs - 1)]
        arrow: list[ArrowConnection] = []
        stack.callback(_close_all, arrow)
        # One more: the reader asks for the sizes of tables before its threads start.
        for _ in range(jobs + 1):
            arrow.append(_connect_arrow(url, server))  # one by one: those before one that fails are closed
    except SourceConnectionsError as error:
        raise too_few_connections(error, jobs) from error
    return Sessions(url, server, main, others, arrow)


def too_few_connections(error: SourceError, jobs: int) -> SourceError:
    """The error, with the number of connections that a capture needs."""
    less = f", or lower the source's jobs: with 1 it needs {_connections(1)}" if jobs > 1 else ""
    return SourceConnectionsError(
        f"{error.message} A capture with jobs: {jobs} needs {_connections(jobs)} connections at once.",
        hint=f"Allow the role so many (ALTER ROLE … CONNECTION LIMIT; max_connections){less}.",
        retryable=True,
    )


def _connections(jobs: int) -> int:
    """How many connections a capture needs, with the one of pg_dump."""
    return 2 * jobs + 2


def _require_version(connection: Connection, server: str) -> None:
    if connection.info.server_version < OLDEST:
        raise SourceFormatError(
            f"{server} is version {connection.info.server_version // 10000}; the oldest that is known is 13.",
            subject=server,
        )


def _connect_arrow(url: str, server: str) -> ArrowConnection:
    """Settings are pinned when it joins a snapshot."""
    import adbc_driver_postgresql.dbapi

    with postgres_errors(server):
        connection: ArrowConnection = adbc_driver_postgresql.dbapi.connect(adbc_uri(url), autocommit=True)
    return connection


def late_arrow(url: str, statements: Sequence[str], server: str) -> ArrowConnection:
    """One that joins while tables are read."""
    with postgres_errors(server):
        connection = _connect_arrow(url, server)
        try:
            for statement in statements:
                run_in(connection, statement)
        except BaseException:
            connection.close()
            raise
    return connection


def run_in(connection: ArrowConnection, statement: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement)


def _close_all(connections: list[ArrowConnection]) -> None:
    import adbc_driver_manager

    while connections:
        with suppress(adbc_driver_manager.Error):  # the server is gone
            connections.pop().close()
