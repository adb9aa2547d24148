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
        main = stack.enter_context(connect(url, lock_timeout=options.lock_timeout))
        _require_version(main, server)
        selection, captured_at = _lock_and_look(main, options, clock, server)
        row = main.execute("SELECT pg_export_snapshot(), clock_timestamp()").fetchone()
        assert row is not None
        join = _joining(row[0], selection)

        def open_arrow() -> ArrowConnection:
            return _arrow(url, options, join, server)

        others = [stack.enter_context(_joined(url, options, join)) for _ in range(max(0, options.jobs - 1))]
        arrow: list[ArrowConnection] = []
        stack.callback(_close_all, arrow)
        # One more: the reader asks for the sizes of tables before its threads start.
        for _ in range(max(1, options.jobs) + 1):
            arrow.append(open_arrow())  # one by one: those before one that fails are closed
        yield Snapshot(url, main, others, selection, row[0], captured_at, row[1], arrow, open_arrow)


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


def _joined(url: str, options: PostgresOptions, statements: Sequence[str]) -> Connection:
    connection = connect(url, lock_timeout=options.lock_timeout)
    try:
        for statement in statements:
            connection.execute(statement.encode())
    except BaseException:
        connection.close()
        raise
    return connection


def _arrow(url: str, options: PostgresOptions, statements: Sequence[str], server: str) -> ArrowConnection:
    import adbc_driver_postgresql.dbapi

    with postgres_errors(server):
        connection: ArrowConnection = adbc_driver_postgresql.dbapi.connect(adbc_uri(url), autocommit=True)
        try:
            with connection.cursor() as cursor:
                cursor.execute(pin_statement(lock_timeout=milliseconds(options.lock_timeout)))
                cursor.fetchall()
                for statement in statements:
                    cursor.execute(statement)
        except BaseException:
            connection.close()
            raise
    return connection


def _close_all(connections: list[ArrowConnection]) -> None:
    import adbc_driver_manager

    while connections:
        with suppress(adbc_driver_manager.Error):  # the server is gone
            connections.pop().close()


def _one(connection: Connection, query: str) -> Any:
    row = connection.execute(query.encode()).fetchone()
    return row[0] if row else None
