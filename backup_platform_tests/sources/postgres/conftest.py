"""Servers of two major versions, started when a test first needs them; each test gets fresh databases.

`server15`, `server18` and `server` (both, one after the other) are `servers.Server`. `database15`, `database18` and
`database` are URLs of a new, empty database over the unix socket as the superuser, without a password. `secret_url`
names such a database of version 18 over TCP, with the password `servers.SECRET` in it.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from backup_platform_tests.sources.postgres.servers import Server, embedded_18, postgres_15, running


@pytest.fixture(scope="session")
def server15() -> Iterator[Server]:
    with running(postgres_15()) as server:
        yield server


@pytest.fixture(scope="session")
def server18() -> Iterator[Server]:
    with running(embedded_18()) as server:
        yield server


@pytest.fixture(params=[15, 18], ids=["pg15", "pg18"])
def server(request: pytest.FixtureRequest) -> Server:
    found = request.getfixturevalue(f"server{request.param}")
    assert isinstance(found, Server)
    return found


@pytest.fixture
def database15(server15: Server) -> Iterator[str]:
    with server15.database() as url:
        yield url


@pytest.fixture
def database18(server18: Server) -> Iterator[str]:
    with server18.database() as url:
        yield url


@pytest.fixture
def database(server: Server) -> Iterator[str]:
    with server.database() as url:
        yield url


@pytest.fixture
def secret_url(server18: Server) -> Iterator[str]:
    with server18.database() as url:
        yield server18.secret_url(url.split("@/")[1].split("?")[0])
