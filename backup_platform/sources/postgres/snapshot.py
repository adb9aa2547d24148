"""One snapshot of a database, and the sessions that share it.

The tables are locked before the snapshot is taken, in the same transaction, which `LOCK TABLE` allows. What is read
of the catalogue as it is now (locks, `pg_get_indexdef` and its like, the columns of a query) is then what the snapshot
shows, for every table that is captured: nobody can alter, truncate or drop one of them until the capture ends. The list
of tables is made before the locks and again in the snapshot; where the two differ, both are done again. What no lock
of a table protects (names of schemas, labels of enums) is compared at the end.

Isolation is REPEATABLE READ. DEFERRABLE has a meaning only with SERIALIZABLE, which no standby offers and which may
wait for ever behind a stream of serializable writers; what it would exclude is the rare state that no serial order of
transactions gives, but which every reader of the source could have seen as well.

All sessions take their locks at the start. A session that asked for its first lock in the middle would queue behind
a migration that is waiting for this capture to end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from backup_platform.domain.ports import Clock
from backup_platform.errors import SourceBusyError, SourceError, SourceFormatError
from backup_platform.sources.postgres.catalog.relations import (
    Selection,
    find,
    require_readable,
    select,
)
from backup_platform.sources.postgres.connecting import adbc_uri, connect, describe, milliseconds
from backup_platform.sources.postgres.failures import postgres_errors, sqlstate
from backup_platform.sources.postgres.options import PostgresOptions
from backup_platform.sources.postgres.settings import identifier, literal, pin_statement

if TYPE_CHECKING:
    from adbc_driver_manager.dbapi import Connection as ArrowConnection

    from backup_platform.sources.postgres.connecting import Connection

OLDEST = 130000
ATTEMPTS = 5
JOIN_S = 1.0  # how long a session waits for its locks while the main one holds them already
_BEGIN = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
_GONE = ("42P01", "3F000")

_BLOCKERS = """
SELECT n.nspname::text || '.' || c.relname, l.pid, coalesce(a.application_name, '')
FROM pg_locks l
JOIN pg_class c ON c.oid = l.relation JOIN pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN pg_stat_activity a ON a.pid = l.pid
WHERE l.mode = 'AccessExclusiveLock' AND l.relation = ANY (%s::oid[])
    AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
ORDER BY l.granted DESC, 1 LIMIT 1
"""
_SHAPE = """
SELECT c.oid::int8, n.nspname::text, c.relname::text, a.attnum::int8, a.attname::text, a.atttypid::int8
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0
WHERE c.oid = ANY (%s::oid[])
UNION ALL
SELECT e.oid::int8, e.enumlabel::text, t.typname::text, e.enumtypid::int8, n.nspname::text, 0::int8
FROM pg_enum e JOIN pg_type t ON t.oid = e.enumtypid JOIN pg_namespace n ON n.oid = t.typnamespace
"""


@dataclass
class Snapshot:
    """`connection` holds the snapshot and the locks; `others` read in it too. `captured_at` is this machine's clock
    right before, `server_clock` the server's right after. `name` is what pg_dump takes."""

    url: str
    connection: Connection
    others: list[Connection]
    selection: Selection
    name: str
    captured_at: datetime
    server_clock: datetime
    _arrow: list[ArrowConnection]
    _open_arrow: Callable[[], ArrowConnection]

    @property
    def standby(self) -> bool:
        return bool(_one(self.connection, "SELECT pg_is_in_recovery()"))

    def open_arrow(self) -> ArrowConnection:
        """A connection for ADBC inside the snapshot; the caller closes it."""
        return self._arrow.pop() if self._arrow else self._open_arrow()

    def require_unchanged(self) -> None:
        """The locks were held to the end, and what they do not protect is as it was. Raises `SourceError`."""
        oids = [each.oid for each in self.selection.locked]
        with postgres_errors(describe(self.url)):
            before = set(self.connection.execute(_SHAPE, [oids]))
            with connect(self.url) as fresh:
                now = set(fresh.execute(_SHAPE, [oids]))
            _one(self.connection, "SELECT 1")
        if not before <= now:
            changed = sorted(str(row[2]) for row in before - now)
            raise SourceError(
                f"The schema was changed while it was captured: {changed[0]} is not what it was.",
                hint="Nothing was stored. Run it again when no migration runs.",
                retryable=True,
            )


@contextmanager
def take_snapshot(url: str, options: PostgresOptions, clock: Clock) -> Iterator[Snapshot]:
    """Everything is opened and locked inside the block, and closed after it.

    Raises `SourceBusyError` when a lock is not given in time, `SourceFormatError` for a server that is too old, and
    `SourceError` for anything else, before any row is read.
    """
    server = describe(url)
    with postgres_errors(server), ExitStack() as stack:
        yield _taken(_opened(url, options, server, stack), options, clock)


@dataclass(frozen=True, slots=True)
class _Sessions:
    """Those of one capture, connected before anything is locked: a connection for ADBC takes a third of a second."""

    url: str
    server: str
    main: Connection
    others: list[Connection]
    arrow: list[ArrowConnection]

    def run(self, statement: str) -> None:
        """In all but the main one."""
        for connection in self.others:
            connection.execute(statement.encode())
        for arrow in self.arrow:
            _run(arrow, statement)


def _opened(url: str, options: PostgresOptions, server: str, stack: ExitStack) -> _Sessions:
    main = stack.enter_context(connect(url, lock_timeout=options.lock_timeout))
    _require_version(main, server)
    others = [stack.enter_context(connect(url, lock_timeout=JOIN_S)) for _ in range(max(0, options.jobs - 1))]
    arrow: list[ArrowConnection] = []
    stack.callback(_close_all, arrow)
    # One more: the reader asks for the sizes of tables before its threads start.
    for _ in range(max(1, options.jobs) + 1):
        arrow.append(_connect_arrow(url))  # one by one: those before one that fails are closed
    return _Sessions(url, server, main, others, arrow)


def _taken(sessions: _Sessions, options: PostgresOptions, clock: Clock) -> Snapshot:
    """A migration that begins between the locks of the main session and those of the others waits for the first, and
    the others wait behind it. Then all is begun anew, so that it goes first."""
    main, server = sessions.main, sessions.server
    for _ in range(ATTEMPTS):
        selection, captured_at = _lock_and_look(main, options, clock, server)
        row = main.execute("SELECT pg_export_snapshot(), clock_timestamp()").fetchone()
        assert row is not None
        join = _joining(row[0], selection)
        if _join(sessions, join):
            open_arrow = partial(_late_arrow, sessions.url, options, join, server)
            others, arrow = sessions.others, sessions.arrow
            return Snapshot(
                sessions.url, main, others, selection, row[0], captured_at, row[1], arrow, open_arrow
            )
        main.execute("ROLLBACK")
        sessions.run("ROLLBACK")
    raise SourceBusyError(
        f"Tables of {server} are altered all the time: {ATTEMPTS} attempts to lock them met a migration.",
        hint="Choose a time when no migration runs.",
    )


def _join(sessions: _Sessions, statements: Sequence[str]) -> bool:
    """False when a lock was not given in time."""
    try:
        with postgres_errors(sessions.server):
            for statement in statements:
                sessions.run(statement)
    except SourceBusyError:
        return False
    return True


def _require_version(connection: Connection, server: str) -> None:
    if connection.info.server_version < OLDEST:
        raise SourceFormatError(
            f"{server} is version {connection.info.server_version // 10000}; the oldest that is known is 13."
        )


def _lock_and_look(
    main: Connection, options: PostgresOptions, clock: Clock, server: str
) -> tuple[Selection, datetime]:
    standby = bool(_one(main, "SELECT pg_is_in_recovery()"))
    for _ in range(ATTEMPTS):
        selection = select(find(main), options, standby=standby)
        require_readable(selection)
        main.execute(_BEGIN)
        if _lock(main, selection, options, server):
            captured_at = clock.now()
            seen = find(main)
            if [each.identity for each in seen] == [each.identity for each in selection.found]:
                return selection, captured_at
        main.execute("ROLLBACK")
    raise SourceBusyError(
        f"Tables of {server} are created or dropped all the time: {ATTEMPTS} looks at them gave {ATTEMPTS} lists.",
        hint="Choose a time when no migration runs.",
    )


def _lock(main: Connection, selection: Selection, options: PostgresOptions, server: str) -> bool:
    """False when a table is gone since it was listed."""
    import psycopg

    statement = _lock_statement(selection)
    if not statement:
        return True
    try:
        main.execute(statement.encode())
    except psycopg.errors.LockNotAvailable as error:
        main.execute("ROLLBACK")
        raise _blocked(main, selection, options, server) from error
    except psycopg.Error as error:
        if sqlstate(error) in _GONE:
            return False
        raise
    return True


def _blocked(
    main: Connection, selection: Selection, options: PostgresOptions, server: str
) -> SourceBusyError:
    blocker = main.execute(_BLOCKERS, [[each.oid for each in selection.locked]]).fetchone()
    what = f"The table {blocker[0]}" if blocker else "A table"
    who = f" by process {blocker[1]} ({blocker[2] or 'no application name'})" if blocker else ""
    return SourceBusyError(
        f"{what} of {server} was locked{who} for longer than {options.lock_timeout:g} s.",
        hint="Raise the source's lock_timeout, or choose a time when no migration runs.",
    )


def _lock_statement(selection: Selection) -> str:
    names = ", ".join(f"ONLY {identifier(each.schema, each.name)}" for each in selection.locked)
    return f"LOCK TABLE {names} IN ACCESS SHARE MODE" if names else ""


def _joining(snapshot: str, selection: Selection) -> list[str]:
    """The statements by which another session gets into the snapshot."""
    statements = [_BEGIN, f"SET TRANSACTION SNAPSHOT {literal(snapshot)}", _lock_statement(selection)]
    return [statement for statement in statements if statement]


def _connect_arrow(url: str, lock_timeout: float = JOIN_S) -> ArrowConnection:
    import adbc_driver_postgresql.dbapi

    connection: ArrowConnection = adbc_driver_postgresql.dbapi.connect(adbc_uri(url), autocommit=True)
    try:
        with connection.cursor() as cursor:
            cursor.execute(pin_statement(lock_timeout=milliseconds(lock_timeout)))
            cursor.fetchall()
    except BaseException:
        connection.close()
        raise
    return connection


def _late_arrow(
    url: str, options: PostgresOptions, statements: Sequence[str], server: str
) -> ArrowConnection:
    """One that joins while tables are read."""
    with postgres_errors(server):
        connection = _connect_arrow(url, options.lock_timeout)
        try:
            for statement in statements:
                _run(connection, statement)
        except BaseException:
            connection.close()
            raise
    return connection


def _run(connection: ArrowConnection, statement: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement)


def _close_all(connections: list[ArrowConnection]) -> None:
    import adbc_driver_manager

    while connections:
        with suppress(adbc_driver_manager.Error):  # the server is gone
            connections.pop().close()


def _one(connection: Connection, query: str) -> Any:
    row = connection.execute(query.encode()).fetchone()
    return row[0] if row else None
