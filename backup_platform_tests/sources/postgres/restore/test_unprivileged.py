"""A role that only owns its database restores all that PostgreSQL lets it, and knows beforehand what that is not."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from backup_platform.clock import SystemClock
from backup_platform.domain.restoring import DatabaseTarget
from backup_platform.errors import TargetError
from backup_platform.sources.postgres.options import PostgresOptions
from backup_platform.sources.postgres.restore.target import TargetDatabase
from backup_platform.sources.postgres.source import PostgresSource
from backup_platform.sources.postgres.tools import find_tools
from backup_platform_tests.sources.postgres.points import Streams, capture_by_hand, recovery_point
from backup_platform_tests.sources.postgres.restore.restore_support import plan, restore
from backup_platform_tests.sources.postgres.servers import Server, execute, fetch, fetch_value

ROLES = ("CREATE ROLE prod", "CREATE ROLE app")
ORDINARY = """
CREATE EXTENSION pg_trgm;
CREATE SCHEMA s AUTHORIZATION prod;
CREATE TABLE s.good (id int PRIMARY KEY, t text);
CREATE INDEX ON s.good USING gin (t public.gin_trgm_ops);
ALTER TABLE s.good OWNER TO prod;
INSERT INTO s.good VALUES (1, 'a'), (2, 'b');
GRANT SELECT ON s.good TO app;
CREATE PUBLICATION orders FOR TABLE s.good;
"""
# By what the table of contents calls each.
OF_SUPERUSERS = {
    "extension amcheck": "CREATE EXTENSION amcheck;",
    "function public.on_ddl()": None,
    "event trigger on_ddl": """
        CREATE FUNCTION on_ddl() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END';
        CREATE EVENT TRIGGER on_ddl ON ddl_command_end EXECUTE FUNCTION on_ddl();""",
    "publication everything": "CREATE PUBLICATION everything FOR ALL TABLES;",
    "procedural language own": "CREATE TRUSTED LANGUAGE own HANDLER plpgsql_call_handler;",
    "foreign data wrapper fdw": "CREATE FOREIGN DATA WRAPPER fdw; COMMENT ON FOREIGN DATA WRAPPER fdw IS 'x';",
    "text search template public.tst": "CREATE TEXT SEARCH TEMPLATE tst (LEXIZE = dsimple_lexize);",
    "operator family public.fam": "CREATE OPERATOR FAMILY fam USING btree;",
    "function public.inside(text)": """
        CREATE FUNCTION inside(text) RETURNS text LANGUAGE internal IMMUTABLE AS 'upper';""",
    "function public.tight()": """
        CREATE FUNCTION tight() RETURNS int LANGUAGE sql IMMUTABLE LEAKPROOF AS 'SELECT 1';""",
    "shell type public.base": """
        CREATE TYPE base;
        CREATE FUNCTION base_in(cstring) RETURNS base LANGUAGE internal IMMUTABLE STRICT AS 'textin';
        CREATE FUNCTION base_out(base) RETURNS cstring LANGUAGE internal IMMUTABLE STRICT AS 'textout';
        CREATE TYPE base (INPUT = base_in, OUTPUT = base_out, LIKE = text);
        CREATE TABLE of_base (b base);
        INSERT INTO of_base VALUES ('x');""",
    "type public.base": None,
    "cast cast (public.base as bytea)": "CREATE CAST (base AS bytea) WITHOUT FUNCTION;",
    "subscription sub": """
        CREATE SUBSCRIPTION sub CONNECTION 'dbname=nowhere' PUBLICATION p WITH (connect = false, slot_name = NONE);""",
}


@pytest.fixture(scope="module", params=[15, 18], ids=["pg15", "pg18"])
def server(request: pytest.FixtureRequest) -> Server:
    found = request.getfixturevalue(f"server{request.param}")
    assert isinstance(found, Server)
    return found


@pytest.fixture(scope="module")
def captured(server: Server) -> Iterator[Streams]:
    with server.database() as url:
        execute(server.url(), *ROLES)
        execute(url, ORDINARY, *filter(None, OF_SUPERUSERS.values()))
        try:
            yield capture_by_hand(url, server.bin_dir)
        finally:
            execute(url, "DROP SUBSCRIPTION sub")


@pytest.fixture
def own(server: Server, captured: Streams) -> Iterator[str]:
    """A new database that the role owns, and nothing else on the server."""
    with server.database() as url:
        name = fetch_value(url, "SELECT current_database()")
        execute(url, "CREATE ROLE dev LOGIN", f"ALTER DATABASE {name} OWNER TO dev")
        yield server.url(name, "dev")


def test_what_only_a_superuser_may_make_is_left_out_by_name_and_all_else_restored(
    captured: Streams, own: str
) -> None:
    planned = plan(captured, own)
    named = {text.split(" is not restored")[0].removeprefix("The ").lower() for text in planned.left_out}
    expected = set(OF_SUPERUSERS) - {"function public.on_ddl()"}
    assert expected - named == set()
    assert named - expected == {"function public.base_in(cstring)", "function public.base_out(public.base)"}
    assert any("These need it: public.of_base" in text for text in planned.left_out)
    assert not any("extension amcheck stays" in text for text in planned.warnings)
    done = restore(captured, own)
    assert done.left_out == planned.left_out
    assert [failure for failure in done.failures if not failure.because] == []
    assert (done.tables, done.rows, done.complete) == (1, 2, False)
    assert fetch(own, "SELECT tableowner FROM pg_tables WHERE tablename = 'good'") == [("dev",)]
    assert fetch(own, "SELECT extname FROM pg_extension ORDER BY 1") == [("pg_trgm",), ("plpgsql",)]
    assert fetch_value(own, "SELECT count(*) FROM pg_event_trigger") == 0
    assert fetch_value(own, "SELECT has_table_privilege('app', 's.good', 'SELECT')") is True
    assert any("'prod': what they own will belong to 'dev'" in text for text in planned.warnings)


def test_without_owners_and_grants_nothing_is_said_of_roles(captured: Streams, own: str) -> None:
    wishes: dict[str, Any] = {"schemas": ("s",), "owner": False, "privileges": False}
    planned = plan(captured, own, **wishes)
    assert planned.warnings[0] == (
        "Left out, because it needs something that is not restored: publication table s.orders good."
    )
    major = int(fetch_value(own, "SHOW server_version_num")) // 10_000
    lacking = find_tools(major, prefer=major).major != major
    assert [text.split(":")[0] for text in planned.warnings[1:]] == (
        [f"There is no pg_restore of PostgreSQL {major}"] if lacking else []
    )
    done = restore(captured, own, **wishes)
    assert (done.failures, done.rows) == ((), 2)
    assert fetch_value(own, "SELECT has_table_privilege('app', 's.good', 'SELECT')") is False


def test_an_extension_that_is_there_is_used(captured: Streams, own: str) -> None:
    execute(own.replace("dev@", "postgres@"), "CREATE EXTENSION pg_trgm", "CREATE EXTENSION amcheck")
    planned = plan(captured, own, tables=("s.good",))
    assert planned.left_out == ()
    assert "The comment on the extension pg_trgm stays as it is there." in planned.warnings
    assert restore(captured, own, tables=("s.good",)).complete


def test_schemas_that_only_extensions_are_in_make_a_target_not_occupied(captured: Streams, own: str) -> None:
    administrator = own.replace("dev@", "postgres@")
    execute(administrator, "CREATE SCHEMA tools", "CREATE EXTENSION amcheck SCHEMA tools")
    assert plan(captured, own).conflicts == ()
    execute(administrator, "CREATE TABLE tools.own ()")
    (conflict,) = plan(captured, own).conflicts
    assert "is not empty: it holds relation tools.own, schema tools." in conflict


def test_a_role_that_may_make_nothing_is_told_before(captured: Streams, server: Server) -> None:
    with server.database() as url:
        execute(url, "CREATE ROLE dev LOGIN", "REVOKE CREATE ON SCHEMA public FROM PUBLIC")
        name = fetch_value(url, "SELECT current_database()")
        (conflict,) = plan(captured, server.url(name, "dev")).conflicts
        assert conflict.startswith(f"The role 'dev' may make nothing in the database '{name}'")


def test_grants_of_which_the_server_only_warns_are_named(server: Server) -> None:
    with server.database() as url, server.database() as target:
        execute(url, "CREATE ROLE app_of_extension", "CREATE ROLE dev LOGIN", "CREATE EXTENSION pg_trgm")
        execute(url, "GRANT EXECUTE ON FUNCTION similarity TO app_of_extension", "CREATE TABLE t ()")
        streams = capture_by_hand(url, server.bin_dir)
        name = fetch_value(target, "SELECT current_database()")
        execute(target, "CREATE EXTENSION pg_trgm", f"ALTER DATABASE {name} OWNER TO dev")
        own = server.url(name, "dev")
        (failure,) = restore(streams, own).failures
        assert failure.what == "grants of public.FUNCTION similarity(text, text)"
        assert failure.said == 'no privileges were granted for "similarity"'


def test_a_missing_role_that_is_not_wanted_is_no_matter(captured: Streams, own: str) -> None:
    database = TargetDatabase.standing
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            TargetDatabase,
            "standing",
            lambda self: replace(database(self), roles=database(self).roles - {"app", "prod"}),
        )
        assert "lacks the roles 'app', 'prod'" in plan(captured, own).warnings[0]
        assert "lacks the roles 'app':" in plan(captured, own, owner=False).warnings[0]
        wanted = plan(captured, own, owner=False, privileges=False)
    assert not any("roles" in text for text in wanted.warnings)


def test_a_superuser_leaves_nothing_out(captured: Streams, server: Server) -> None:
    with server.database() as url:
        assert plan(captured, url).left_out == ()


def test_on_request_what_cannot_be_is_in_the_way(captured: Streams, own: str) -> None:
    assert plan(captured, own, exit_on_error=True).conflicts
    with pytest.raises(TargetError, match="Nothing was written"):
        restore(captured, own, exit_on_error=True)


def test_the_plan_file_says_it_unless_the_command_does(captured: Streams, own: str) -> None:
    options = PostgresOptions(own, restore_owner=False, restore_privileges=False)
    source = PostgresSource("s", options, SystemClock())
    found = source.plan_restore(recovery_point(), captured, DatabaseTarget(own, privileges=True)).target
    assert (found.owner, found.privileges) == (False, True)


def test_what_a_role_may_do_is_found_out_without_an_error_in_the_servers_log(server: Server) -> None:
    """Whoever reads the log of a drill's server, or of their own, looks for what is wrong."""
    grant = "SET ON PARAMETER session_replication_role"
    with server.database() as url:
        execute(url, "CREATE ROLE own LOGIN", "CREATE ROLE told LOGIN", f"GRANT {grant} TO told")
        log = Path(fetch_value(url, "SHOW data_directory")).parent / "log"
        before = log.stat().st_size
        for role, may in (("own", False), ("told", True), ("postgres", True)):
            target = TargetDatabase.of(url.replace("postgres@", f"{role}@", 1), None)
            assert target.standing().privileges.silences == may, role
        assert log.read_bytes()[before:] == b""
        execute(url, f"REVOKE {grant} FROM told")


def test_it_is_found_out_where_there_is_no_language_for_blocks(database18: str) -> None:
    execute(database18, "DROP EXTENSION plpgsql", "CREATE ROLE own LOGIN")
    for role, may in (("own", False), ("postgres", True)):
        target = TargetDatabase.of(database18.replace("postgres@", f"{role}@", 1), None)
        assert target.standing().privileges.silences == may, role
