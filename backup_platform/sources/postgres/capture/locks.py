"""The locks of a capture: who takes them, and who holds conflicting ones.

If the server's lock table has room for it, each session of a capture that reads holds all locks from the start.
Otherwise a session that asked for its first lock later could wait behind a migration, which waits for the end of this
capture. If there are too many tables for that (`crowded`), first only pg_dump takes the locks, then only the main
session, and the reading sessions lock one table at a time. So as many tables can be captured as pg_dump can handle.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from backup_platform.errors import SourceBusyError, SourceError
from backup_platform.sources.postgres.catalog.relations import RelationSelection
from backup_platform.sources.postgres.failures import sqlstate
from backup_platform.sources.postgres.options import PostgresOptions
from backup_platform.sources.postgres.quoting import identifier

if TYPE_CHECKING:
    from backup_platform.sources.postgres.connect.connections import Connection

_GONE = ("42P01", "3F000")
_SHARE = 2  # of the lock table that a capture may take, one in so many: others need locks as well

_ROOM = """
SELECT current_setting('max_locks_per_transaction')::int,
    current_setting('max_connections')::int + current_setting('max_prepared_transactions')::int
"""
_BLOCKERS = """
SELECT n.nspname::text || '.' || c.relname, l.pid, coalesce(a.application_name, ''), p.gid
FROM pg_locks l
JOIN pg_class c ON c.oid = l.relation JOIN pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN pg_stat_activity a ON a.pid = l.pid
LEFT JOIN pg_locks x ON l.pid IS NULL AND x.pid IS NULL AND x.locktype = 'transactionid'
    AND x.virtualtransaction = l.virtualtransaction
LEFT JOIN pg_prepared_xacts p ON p.transaction = x.transactionid
WHERE l.mode = 'AccessExclusiveLock' AND l.relation = ANY (%s::oid[])
    AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
ORDER BY l.granted DESC, 1 LIMIT 1
"""


def crowded(connection: Connection, selection: RelationSelection, sessions: int) -> bool:
    """Whether the server's lock table has no room for all locks in each of so many sessions."""
    row = connection.execute(_ROOM).fetchone()
    assert row is not None
    return bool(len(selection.locked) * sessions > row[0] * row[1] // _SHARE)


def lock_statement(selection: RelationSelection) -> str:
    names = ", ".join(f"ONLY {identifier(each.schema, each.name)}" for each in selection.locked)
    return f"LOCK TABLE {names} IN ACCESS SHARE MODE" if names else ""


def lock(main: Connection, selection: RelationSelection, options: PostgresOptions, server: str) -> bool:
    """False when a table is gone since it was listed. Raises `SourceError`, and the transaction is over then."""
    import psycopg

    statement = lock_statement(selection)
    if not statement:
        return True
    try:
        main.execute(statement.encode())
    except psycopg.errors.LockNotAvailable as error:
        main.execute("ROLLBACK")
        raise blocked(main, selection, options, server) from error
    except psycopg.errors.OutOfMemory as error:
        main.execute("ROLLBACK")
        raise no_room(main, selection, server) from error
    except psycopg.Error as error:
        if sqlstate(error) in _GONE:
            return False
        raise
    return True


def blocked(
    connection: Connection, selection: RelationSelection, options: PostgresOptions, server: str
) -> SourceBusyError:
    """Who holds a lock that was not given in time. The connection's transaction must not be one that failed."""
    found = connection.execute(_BLOCKERS, [[each.oid for each in selection.locked]]).fetchone()
    table, process, application, prepared = found or ("", 0, "", None)
    what = f"The table {table}" if found else "A table"
    who = f" by process {process} ({application or 'no application name'})" if found else ""
    hint = "Raise the source's lock_timeout, or choose a time when no migration runs."
    if prepared is not None:
        who = f" by the prepared transaction {prepared!r}"
        hint = f"COMMIT PREPARED or ROLLBACK PREPARED {prepared!r} in that database: whoever prepared it knows which."
    return SourceBusyError(
        f"{what} of {server} was locked{who} for longer than {options.lock_timeout:g} s.", hint=hint
    )


def no_room(connection: Connection, selection: RelationSelection, server: str) -> SourceError:
    """The lock table is full. Says what it holds, and what is needed."""
    row = connection.execute(_ROOM).fetchone()
    each, slots = row or (0, 1)
    tables = len(selection.locked)
    enough = max(each + 1, -(-2 * tables // slots))
    return SourceError(
        f"The lock table of {server} is full: {tables:,} tables need a lock each, and it has room for about "
        f"{each * slots:,} (max_locks_per_transaction is {each}), of which others use some.",
        subject=server,
        hint=f"Set max_locks_per_transaction to {enough} or more in postgresql.conf, and restart the server.",
    )
