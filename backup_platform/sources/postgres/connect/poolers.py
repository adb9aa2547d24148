"""Connection poolers between this machine and a server.

A pooler is refused if it gives a client another session of the server for each transaction or statement: the pinned
settings would apply to other clients, and pg_dump needs several transactions. A pooler that keeps a client's session
until it disconnects is accepted. Settings are reset before the session goes back to it.

A pooler invents the process id that a client gets when it connects, so it differs from the one that the session itself
returns. If they differ, two clients are compared while both are connected: if each has its own session, their process
ids differ at every query.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import cache
from typing import TYPE_CHECKING

from backup_platform.errors import SourceError

if TYPE_CHECKING:
    from backup_platform.sources.postgres.connect.connections import Connection

# The setting of a role goes before that of a database, and a database's owner cannot alter it.
_EXPOSED = """
SELECT r.rolsuper AND NOT EXISTS (
         SELECT FROM pg_db_role_setting s
          WHERE s.setrole = r.oid AND s.setdatabase = 0 AND 'search_path=pg_catalog' = ANY (s.setconfig))
  FROM pg_roles r WHERE r.rolname = session_user
"""
# Who is asked, in this order: a pooler that goes round two or three sessions does not answer so by chance.
_ASKED = "ABBABAABAABBBABAAB"
_NO_TRANSACTIONS = "transaction blocks not allowed in statement pooling mode"
_WITHOUT_OPTIONS = ("startup parameter", "command-line options")


def refuses_options(error: Exception) -> bool:
    """Whether a pooler refused a connection because of settings that it was opened with."""
    return any(phrase in str(error) for phrase in _WITHOUT_OPTIONS)


def is_unknown_setting(error: Exception) -> bool:
    """Whether a server refused a connection because it is older than the one that was there before."""
    return "unrecognized configuration parameter" in str(error)


def require_own_session(connection: Connection, another: Callable[[], Connection], server: str) -> None:
    """Raises `SourceError` when the pooler does not keep one session of the server for each client.

    Sets nothing. `another` opens a second connection to the same place, which is closed here.
    """
    import psycopg

    try:
        with another() as other:
            mine, theirs = _process(connection), _process(other)
            asked = ((connection, mine) if who == "A" else (other, theirs) for who in _ASKED)
            own = mine != theirs and all(_process(each) == process for each, process in asked)
    except psycopg.Error as error:
        if _NO_TRANSACTIONS not in str(error):
            raise
        own = False
    if not own:
        raise refusal(server)


def require_safe_start(connection: Connection, server: str) -> None:
    """Before connections of ADBC, which asks queries with operators before anything can be pinned.

    A pooler gives them the search path of the database, whose owner could put an operator of his own there and have
    it called with a superuser's rights. Raises `SourceError` where that is possible.
    """
    if not getattr(connection, "pooled", False):
        return
    row = connection.execute(_EXPOSED.encode()).fetchone()
    if row is None or row[0]:
        raise SourceError(
            f"{server} is read as a superuser through a connection pooler that cannot be relied on to pass on "
            "search_path: the owner of the database could run code with a superuser's rights.",
            subject=server,
            hint="Use a role that is not a superuser, or connect to the server itself, or run once: "
            "ALTER ROLE … SET search_path = pg_catalog, for the role that backs up.",
        )


def refusal(server: str) -> SourceError:
    return SourceError(
        f"{server} is reached through a connection pooler in transaction or statement mode (PgBouncer's "
        "pool_mode, or its like), which gives every transaction another session of the server.",
        subject=server,
        hint="Connect to the server itself, or to an entry of the pooler with pool_mode=session.",
    )


@cache
def session_class() -> type[Connection]:
    """psycopg's connection, which takes back what it set before its session goes back to a pooler."""
    import psycopg
    from psycopg.rows import TupleRow

    class PoolerSession(psycopg.Connection[TupleRow]):
        pooled = False

        def close(self) -> None:
            if self.pooled and not self.closed:
                with suppress(psycopg.Error):  # a session that is lost goes back to nobody
                    self.rollback()
                    self.execute("RESET ALL")
            super().close()

    return PoolerSession


def _process(connection: Connection) -> int:
    """Asked in a transaction of its own, which statement pooling does not allow."""
    with connection.transaction():
        row = connection.execute("SELECT pg_catalog.pg_backend_pid()").fetchone()
    assert row is not None
    return int(row[0])
