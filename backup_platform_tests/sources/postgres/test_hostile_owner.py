"""The owner of a database, who is no superuser, puts operators of his own before the built-in ones: none is called."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from backup_platform.domain.restoring import DatabaseTarget
from backup_platform.errors import SourceError
from backup_platform.sources.postgres.options import PostgresOptions
from backup_platform_tests.sources.postgres.capture_support import capture, source
from backup_platform_tests.sources.postgres.connect.poolers import pooled_url, pooler
from backup_platform_tests.sources.postgres.point_bench import PointBench
from backup_platform_tests.sources.postgres.servers import SECRET_ROLE, Server, execute, fetch, fetch_value

# Whoever calls it is told of, and makes its owner a superuser where he can.
_SEIZE = """
BEGIN
  INSERT INTO a.log VALUES (current_user);
  IF (SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname OPERATOR(pg_catalog.=) current_user) THEN
    ALTER ROLE att SUPERUSER;
  END IF;
  RETURN $1 OPERATOR(pg_catalog.{0}) $2;
END
"""
_TYPES = (
    ("int", "int"),
    ("regproc", "int"),
    ("text", "text"),
    ("name", "name"),
    ("oid", "oid"),
    ('"char"', '"char"'),
)


def _operator(left: str, right: str, name: str) -> tuple[str, str]:
    function = f"a.{left.strip(chr(34))}_{'same' if name == '=' else 'other'}"
    return (
        f"CREATE FUNCTION {function}({left}, {right}) RETURNS boolean LANGUAGE plpgsql AS $f${_SEIZE.format(name)}$f$",
        f"CREATE OPERATOR a.{name} (LEFTARG = {left}, RIGHTARG = {right}, FUNCTION = {function})",
    )


@pytest.fixture
def hostile(server: Server) -> Iterator[str]:
    """The superuser's url of a database whose owner, `att`, waits in it."""
    with server.database() as url:
        name = url.split("@/")[1].split("?")[0]
        execute(server.url(), "CREATE ROLE att LOGIN", f"ALTER DATABASE {name} OWNER TO att")
        execute(
            server.url(name, "att"),
            "CREATE SCHEMA a",
            "CREATE TABLE a.log (w text)",
            "CREATE TABLE a.t AS SELECT 1 AS x",
            *(each for pair in _TYPES for sign in ("=", "<>") for each in _operator(*pair, sign)),
            f"ALTER DATABASE {name} SET search_path = a, pg_catalog",
        )
        yield url


def assert_nobody_was_caught(url: str) -> None:
    found = "pg_catalog.pg_roles WHERE rolname OPERATOR(pg_catalog.=) 'att'::pg_catalog.name"
    assert fetch(url, "SELECT * FROM a.log") == []
    assert fetch_value(url, f"SELECT rolsuper FROM {found}") is False


def test_operators_of_the_owner_wait_for_whoever_asks(hostile: str) -> None:
    """The trap works: the other tests look at something."""
    fetch(hostile, "SELECT 1 = 1")
    assert fetch(hostile, "SELECT w FROM a.log") == [("postgres",)]


def test_no_verb_calls_an_operator_of_the_owner(hostile: str, server: Server, tmp_path: Path) -> None:
    made = PointBench(tmp_path / "repository", PostgresOptions(hostile, bin_dir=server.bin_dir))
    made.source.probe()
    point = made.backup()
    assert_nobody_was_caught(hostile)
    reader = made.open().reader(point)
    assert made.source.plan_restore(
        point, reader, DatabaseTarget(hostile)
    ).conflicts  # of a dry run: it has looked
    assert_nobody_was_caught(hostile)


@pytest.mark.parametrize("settings", [{}, {"ignore_startup_parameters": "options"}])
def test_behind_a_pooler_that_passes_no_options_on(
    hostile: str, server: Server, settings: dict[str, str], request: pytest.FixtureRequest
) -> None:
    """ADBC asks with operators before anything can be pinned: a superuser needs a search path of the role."""
    with pooler(server, "session", default_pool_size="8", **settings) as port:
        url = pooled_url(port, hostile)
        source(url).probe()
        with pytest.raises(SourceError, match="read as a superuser through a connection pooler") as caught:
            capture(url)
        assert "SET search_path = pg_catalog" in caught.value.hint
        assert_nobody_was_caught(hostile)
        execute(server.url(), f"ALTER ROLE {SECRET_ROLE} SET search_path = pg_catalog")
        request.addfinalizer(lambda: execute(server.url(), f"ALTER ROLE {SECRET_ROLE} RESET search_path"))
    with pooler(server, "session", default_pool_size="8", **settings) as port:
        capture(pooled_url(port, hostile))
    assert_nobody_was_caught(hostile)
