"""One snapshot of a database, and the sessions that share it.

The tables are locked before the snapshot is taken, in the same transaction, which `LOCK TABLE` allows. Some reads of
the catalogue show its current state (locks, `pg_get_indexdef` and similar functions, the columns of a query). Because
of the locks, this is the same as in the snapshot for every captured table: nobody can alter, truncate or drop one of
them until the capture ends. The list of tables is made before the locks and again in the snapshot. If the two differ,
both are done again. Objects that no lock of a table protects (names of schemas, labels of enums) are compared at the
end.

If the lock table of the server has no room for that (`locks.py`), the snapshot comes first, then pg_dump takes its own
locks, and then the main session locks the tables. After that, the rows of the catalogue that describe the tables must
be the same as in the snapshot, or everything is done again.

Isolation is REPEATABLE READ. DEFERRABLE only has a meaning with SERIALIZABLE. No standby offers that, and it may wait
for ever behind a stream of serializable writers. It would only exclude the rare state that no serial order of
transactions gives. Every other reader of the source could have seen that state as well.

The settings are pinned for the transaction as well, and checked inside it: whatever is between this machine and the
server, a transaction runs in one session.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from backup_platform.domain.ports import Clock
from backup_platform.errors import SourceBusyError, SourceError
from backup_platform.sources.postgres.capture.locks import blocked, crowded, lock, lock_statement, no_room
from backup_platform.sources.postgres.capture.sessions import (
    JOIN_S,
    Sessions,
    late_arrow,
    open_sessions,
    run_in,
)
from backup_platform.sources.postgres.catalog.relations import (
    RelationSelection,
    find,
    require_readable,
    select,
)
from backup_platform.sources.postgres.connect.connections import connect, describe, milliseconds
from backup_platform.sources.postgres.connect.poolers import refusal
from backup_platform.sources.postgres.connect.settings import local_pins, loose_pins, pin_statement
from backup_platform.sources.postgres.failures import postgres_errors
from backup_platform.sources.postgres.options import PostgresOptions
from backup_platform.sources.postgres.quoting import literal

if TYPE_CHECKING:
    from adbc_driver_manager.dbapi import Connection as ArrowConnection

    from backup_platform.sources.postgres.connect.connections import Connection

ATTEMPTS = 5
RELEASE = "ROLLBACK TO SAVEPOINT one_table"
_BEGIN = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
_SHAPE = """
SELECT c.oid::int8, n.nspname::text, c.relname::text, a.attnum::int8, a.attname::text, a.atttypid::int8
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0
WHERE c.oid = ANY (%s::oid[])
UNION ALL
SELECT e.oid::int8, e.enumlabel::text, t.typname::text, e.enumtypid::int8, n.nspname::text, 0::int8
FROM pg_enum e JOIN pg_type t ON t.oid = e.enumtypid JOIN pg_namespace n ON n.oid = t.typnamespace
"""


# The rows of the catalogue that describe tables. Whatever is altered gets another row, with another xmin; a table that
# is truncated or rewritten has another file.
_ROWS = """
SELECT 'class', c.oid::int8, c.relfilenode::int8, c.xmin::text FROM pg_class c WHERE c.oid = ANY (%(oids)s::oid[])
UNION ALL SELECT 'attribute', attrelid::int8, attnum::int8, xmin::text FROM pg_attribute
    WHERE attrelid = ANY (%(oids)s::oid[])
UNION ALL SELECT 'default', oid::int8, adrelid::int8, xmin::text FROM pg_attrdef WHERE adrelid = ANY (%(oids)s::oid[])
UNION ALL SELECT 'constraint', oid::int8, conrelid::int8, xmin::text FROM pg_constraint
    WHERE conrelid = ANY (%(oids)s::oid[])
UNION ALL SELECT 'index', indexrelid::int8, indrelid::int8, xmin::text FROM pg_index
    WHERE indrelid = ANY (%(oids)s::oid[])
UNION ALL SELECT 'trigger', oid::int8, tgrelid::int8, xmin::text FROM pg_trigger WHERE tgrelid = ANY (%(oids)s::oid[])
UNION ALL SELECT 'rule', oid::int8, ev_class::int8, xmin::text FROM pg_rewrite WHERE ev_class = ANY (%(oids)s::oid[])
UNION ALL SELECT 'policy', oid::int8, polrelid::int8, xmin::text FROM pg_policy WHERE polrelid = ANY (%(oids)s::oid[])
UNION ALL SELECT 'parent', inhrelid::int8, inhparent::int8, xmin::text FROM pg_inherits
    WHERE inhrelid = ANY (%(oids)s::oid[])
"""


class OvertakenError(Exception):
    """Another session waits for this capture, which waits for that session; or the schema was changed before it was
    locked. The capture must be started again."""

    def __init__(self, reason: SourceError) -> None:
        super().__init__(reason.message)
        self.reason = reason


@dataclass
class Snapshot:
    """`connection` holds the snapshot and the locks; `others` read in it too. `captured_at` is this machine's clock
    right before, `server_clock` the server's right after. `name` is what pg_dump takes. `crowded`: nothing is locked
    until `lock_tables`, and the others take their locks for one table at a time."""

    url: str
    connection: Connection
    others: list[Connection]
    selection: RelationSelection
    name: str
    captured_at: datetime
    server_clock: datetime
    crowded: bool
    options: PostgresOptions
    _process: int
    _arrow: list[ArrowConnection]
    _open_arrow: Callable[[], ArrowConnection]

    @property
    def standby(self) -> bool:
        return bool(_one(self.connection, "SELECT pg_is_in_recovery()"))

    def open_arrow(self) -> ArrowConnection:
        """A connection for ADBC inside the snapshot; the caller closes it."""
        return self._arrow.pop() if self._arrow else self._open_arrow()

    def release(self, arrow: ArrowConnection) -> None:
        """The locks that a connection of `open_arrow` took for what it read since. Those of all tables stay."""
        with postgres_errors(describe(self.url)):
            run_in(arrow, RELEASE)

    def lock_tables(self) -> None:
        """When pg_dump is done. Raises `SourceError`, `OvertakenError`."""
        if not self.crowded:
            return
        server, oids = describe(self.url), {"oids": [each.oid for each in self.selection.locked]}
        changed = SourceError(
            f"Tables of {server} were altered while the schema was read.",
            subject=server,
            hint="Nothing was stored. Run it again when no migration runs.",
            retryable=True,
        )
        with postgres_errors(server):
            if not lock(self.connection, self.selection, self.options, server):
                raise OvertakenError(changed)
            before = set(self.connection.execute(_ROWS, oids))
            with connect(self.url) as fresh:
                now = set(fresh.execute(_ROWS, oids))
        if not before <= now:
            raise OvertakenError(changed)

    def blocked(self) -> SourceBusyError:
        """Who is in the way of a lock that pg_dump did not get."""
        with postgres_errors(describe(self.url)):
            return blocked(self.connection, self.selection, self.options, describe(self.url))

    def no_room(self) -> SourceError:
        with postgres_errors(describe(self.url)):
            return no_room(self.connection, self.selection, describe(self.url))

    def require_unchanged(self) -> None:
        """The locks were held to the end, and what they do not protect is as it was. Raises `SourceError`."""
        oids = [each.oid for each in self.selection.locked]
        with postgres_errors(describe(self.url)):
            before = set(self.connection.execute(_SHAPE, [oids]))
            with connect(self.url) as fresh:
                now = set(fresh.execute(_SHAPE, [oids]))
            _require_pins(self.connection, describe(self.url), self._process)
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
        yield _taken(open_sessions(url, options, server, stack), options, clock)


def _taken(sessions: Sessions, options: PostgresOptions, clock: Clock) -> Snapshot:
    """A migration that begins between the locks of the main session and those of the others waits for the first, and
    the others wait behind it. Then all is begun anew, so that it goes first."""
    main, server = sessions.main, sessions.server
    for _ in range(ATTEMPTS):
        selection, captured_at, sparing = _lock_and_look(sessions, options, clock)
        row = main.execute("SELECT pg_export_snapshot(), clock_timestamp()").fetchone()
        assert row is not None
        process = _require_pins(main, server)
        join = _joining(row[0], "" if sparing else lock_statement(selection))
        if _join(sessions, join):
            return Snapshot(
                sessions.url,
                main,
                sessions.others,
                selection,
                row[0],
                captured_at,
                row[1],
                sparing,
                options,
                process,
                sessions.arrow,
                partial(late_arrow, sessions.url, join, server),
            )
        main.execute("ROLLBACK")
        sessions.run("ROLLBACK")
    raise SourceBusyError(
        f"Tables of {server} are altered all the time: {ATTEMPTS} attempts to lock them met a migration.",
        subject=server,
        hint="Choose a time when no migration runs.",
    )


def _require_pins(main: Connection, server: str, process: int | None = None) -> int:
    """The session's process. Raises `SourceError` when a setting is not as it was pinned, or the process is another
    than it was."""
    row = main.execute(loose_pins(main.info.server_version).encode()).fetchone()
    assert row is not None
    if row[1] or process not in (None, row[0]):
        raise refusal(server)
    return int(row[0])


def _join(sessions: Sessions, statements: Sequence[str]) -> bool:
    """False when a lock was not given in time."""
    try:
        with postgres_errors(sessions.server):
            for statement in statements:
                sessions.run(statement)
    except SourceBusyError:
        return False
    return True


def _lock_and_look(
    sessions: Sessions, options: PostgresOptions, clock: Clock
) -> tuple[RelationSelection, datetime, bool]:
    """In the snapshot: what is selected, when it was taken, and whether the locks are still to be taken."""
    main, server = sessions.main, sessions.server
    standby = bool(_one(main, "SELECT pg_is_in_recovery()"))
    begin = (
        f"{_BEGIN}; {local_pins(main.info.server_version, lock_timeout=milliseconds(options.lock_timeout))}"
    )
    for _ in range(ATTEMPTS):
        selection = select(find(main), options, standby=standby)
        require_readable(selection)
        sparing = crowded(main, selection, sessions.count)
        main.execute(begin.encode())
        if sparing or lock(main, selection, options, server):
            captured_at = clock.now()
            seen = find(main)
            if [each.identity for each in seen] == [each.identity for each in selection.found]:
                return selection, captured_at, sparing
        main.execute("ROLLBACK")
    raise SourceBusyError(
        f"Tables of {server} are created or dropped all the time: {ATTEMPTS} looks at them gave {ATTEMPTS} lists.",
        subject=server,
        hint="Choose a time when no migration runs.",
    )


def _joining(snapshot: str, lock_tables: str) -> list[str]:
    """The statements by which another session gets into the snapshot. What it locks after them, it may release."""
    statements = [
        _BEGIN,
        f"SET TRANSACTION SNAPSHOT {literal(snapshot)}",
        pin_statement(local=True, lock_timeout=milliseconds(JOIN_S)),
        "SET LOCAL max_parallel_workers_per_gather = 0",
        lock_tables,
        "SAVEPOINT one_table",
    ]
    return [statement for statement in statements if statement]


def _one(connection: Connection, query: str) -> Any:
    row = connection.execute(query.encode()).fetchone()
    return row[0] if row else None
