"""Connections to a server: for queries, for ADBC, and for the tools that PostgreSQL comes with.

A url is what libpq takes: `postgresql://user:password@host/database` or `host=… dbname=…`. It may hold a password,
which goes to libpq in this process, and to a tool in a file that only this user can read; never into an argument.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from backup_platform.errors import SourceError
from backup_platform.sources import children
from backup_platform.sources.postgres.connect.poolers import (
    is_unknown_setting,
    refuses_options,
    require_own_session,
    session_class,
)
from backup_platform.sources.postgres.connect.services import service_parameters
from backup_platform.sources.postgres.connect.settings import pin_statement, timeouts
from backup_platform.sources.postgres.failures import postgres_errors

if TYPE_CHECKING:
    import psycopg
    from psycopg.rows import TupleRow

    Connection = psycopg.Connection[TupleRow]

APPLICATION = "backup_platform"
# What this process learned of the servers that it met: their versions, and which of them refuse options.
_VERSIONS: dict[str, int] = {}
_OPTIONLESS: set[str] = set()
_DEFAULTS = {
    "application_name": APPLICATION,
    "connect_timeout": "15",
    # A connection that only holds locks is silent for as long as the capture takes.
    "keepalives_idle": "60",
    "keepalives_interval": "15",
    "keepalives_count": "4",
}
# From the first byte: Python has no codec for some encodings of databases.
_ENCODED = {"client_encoding": "UTF8"}
_WITHOUT_TOOLS = ("sslpassword", "oauth_client_secret", "scram_client_key", "scram_server_key")


def connect(
    url: str, *, lock_timeout: float = 0.0, own_search_path: bool = False, **parameters: str
) -> Connection:
    """A connection in autocommit mode with the pinned settings; `parameters` replace those of the url, as in
    `dbname="postgres"`. `lock_timeout` in seconds, 0 waits for ever. With `own_search_path` the default that the
    session can go back to is the database's own; without it, pg_catalog. Raises `SourceError`."""
    import psycopg

    arguments = _arguments(url, parameters) | _ENCODED
    server = describe(url, **parameters)
    open_one = partial(_opened, arguments, own_search_path=own_search_path)
    with postgres_errors(server):
        met = _place(arguments) in _VERSIONS
        try:
            return _pinned(open_one(), open_one, server, lock_timeout)
        except psycopg.Error:
            if met or _place(arguments) not in _VERSIONS:
                raise
        # Now that its version is known, all timeouts are lifted before the first query.
        return _pinned(open_one(), open_one, server, lock_timeout)


def _opened(arguments: dict[str, Any], *, own_search_path: bool) -> Connection:
    import psycopg

    open_one = partial(session_class().connect, autocommit=True, prepare_threshold=None)
    place, given = _place(arguments), partial(_with_options, arguments, own_search_path=own_search_path)
    try:
        connection = open_one(**given())
    except psycopg.OperationalError as error:
        if place not in _OPTIONLESS and refuses_options(error):
            _OPTIONLESS.add(place)
        elif _VERSIONS.pop(place, None) is None or not is_unknown_setting(error):
            raise
        connection = open_one(**given())
    _VERSIONS[place] = connection.info.server_version
    connection.pooled = place in _OPTIONLESS  # type: ignore[attr-defined]
    return connection


def _pinned(
    connection: Connection, another: Callable[[], Connection], server: str, lock_timeout: float
) -> Connection:
    """A session is left as it is until it is known to be this client's own."""
    timeout = milliseconds(lock_timeout)
    process = connection.info.backend_pid
    try:
        row = connection.execute(
            pin_statement(only_process=process, lock_timeout=timeout).encode()
        ).fetchone()
        if row is None or not row[0]:
            require_own_session(connection, another, server)
            connection.pooled = True  # type: ignore[attr-defined]
            connection.execute(pin_statement(lock_timeout=timeout).encode())
    except BaseException:
        connection.close()
        raise
    return connection


def adbc_uri(url: str, **parameters: str) -> str:
    """What `adbc_driver_postgresql.dbapi.connect` takes; it holds the password. Pin the settings after it."""
    from psycopg.conninfo import make_conninfo

    return make_conninfo(**_with_options(_arguments(url, parameters) | _ENCODED))


def describe(url: str, **parameters: str) -> str:
    """The server and the database for people, without anything secret."""
    found = parse(url) | parameters
    database = found.get("dbname") or os.environ.get("PGDATABASE") or found.get("user") or ""
    place = _described_place(found)
    return f"PostgreSQL database {database!r} {place}" if database else f"PostgreSQL {place}"


def describe_server(url: str) -> str:
    """The server alone."""
    return f"PostgreSQL {_described_place(parse(url))}"


def _described_place(found: Mapping[str, str]) -> str:
    if "service" in found:
        return f"of service {found['service']}"
    host = found.get("host") or found.get("hostaddr") or os.environ.get("PGHOST", "")
    port = found.get("port") or os.environ.get("PGPORT", "5432")
    return f"at {host}:{port}" if host and not host.startswith("/") else f"on local port {port}"


def parse(url: str) -> dict[str, str]:
    """The parameters that a url names, with those of its service. Raises `SourceError`, which repeats no secret."""
    import psycopg
    from psycopg.conninfo import conninfo_to_dict

    try:
        found = {name: str(value) for name, value in conninfo_to_dict(url).items() if value is not None}
    except psycopg.ProgrammingError:
        raise SourceError(
            "The url is neither postgresql://… nor a list of key=value.",
            hint="In a url, write special characters of the password percent-encoded: / is %2F, @ is %40.",
        ) from None
    named = service_parameters(found["service"]) if "service" in found else None
    if named is None:
        return found
    del found["service"]
    return named | found


def tool_conninfo(url: str, *, writes: bool = False, **parameters: str) -> str:
    """What a tool takes as its --dbname: everything but secrets. Raises `SourceError`."""
    from psycopg.conninfo import make_conninfo

    found = _arguments(url, parameters)
    for name in _WITHOUT_TOOLS:
        if name in found:
            raise SourceError(
                f"The url holds {name}, which PostgreSQL's tools take only where others can read it.",
                subject=name,
                hint="Use a key without a passphrase, in a file that only this user can read.",
            )
    if found.pop("password", None):
        found.pop("passfile", None)
    return make_conninfo(**_with_options(found, writes=writes))


def writer_conninfo(url: str, **parameters: str) -> str:
    """Like `tool_conninfo`, for a tool that writes. It also works where transactions are read-only by default."""
    return tool_conninfo(url, writes=True, **parameters)


@contextmanager
def tool_environment(url: str) -> Iterator[dict[str, str]]:
    """The environment in which a tool finds the password, for as long as the block lasts."""
    environment = children.environment(client=True)
    password = parse(url).get("password")
    if password is None:
        yield environment
        return
    environment.pop("PGPASSWORD", None)  # it would win over the file
    with tempfile.NamedTemporaryFile("w", prefix="backup-pg-", encoding="utf-8") as file:  # mode 0600
        file.write(f"*:*:*:*:{_escaped(password)}\n")
        file.flush()
        environment["PGPASSFILE"] = file.name
        yield environment


def milliseconds(seconds: float) -> str:
    """The form of a timeout setting. A positive time is never rounded to 0."""
    return str(max(1, round(seconds * 1000)) if seconds > 0 else 0)


def _arguments(url: str, parameters: Mapping[str, str]) -> dict[str, Any]:
    return {**_DEFAULTS, **parse(url), **parameters}


def _with_options(
    arguments: dict[str, Any], *, writes: bool = False, own_search_path: bool = False
) -> dict[str, Any]:
    """The same with options that hold before the first query: the timeouts of the role and the database are lifted,
    and the search path is pg_catalog, so that no operator of a database's owner is called. A pooler that takes no
    options gets none: there the settings are the database's until they are pinned."""
    place = _place(arguments)
    if place in _OPTIONLESS:
        return arguments
    own = arguments.get("options") or os.environ.get("PGOPTIONS", "")
    lifted = [f"-c {name}=0" for name in timeouts(_VERSIONS.get(place, 0))]
    if not own_search_path:
        lifted.append("-c search_path=pg_catalog")
    if writes:
        lifted.append("-c default_transaction_read_only=off")
    return arguments | {"options": " ".join([own, *lifted]).strip()}


def _place(arguments: Mapping[str, Any]) -> str:
    return ":".join(str(arguments.get(name, "")) for name in ("service", "host", "hostaddr", "port"))


def _escaped(password: str) -> str:
    if "\n" in password:
        raise SourceError("A password with a line break cannot be given to PostgreSQL's tools.")
    return password.replace("\\", "\\\\").replace(":", "\\:")
