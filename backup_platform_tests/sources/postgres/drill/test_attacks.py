"""Code of a database runs in its drill, and never with the rights of a superuser."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from backup_platform.errors import SourceError
from backup_platform.sources.postgres.connect.connections import connect
from backup_platform.sources.postgres.dump.toc import TocEntry
from backup_platform.sources.postgres.restore.two_roles import definitions, roles
from backup_platform.sources.postgres.restore.two_roles.validators import Validators
from backup_platform_tests.sources.postgres.drill.drill_support import Drilled, captured
from backup_platform_tests.sources.postgres.servers import Server, execute

# In a drill it complains of rights; in the source, whose capture may be a superuser's, it is quiet.
_EVIL = """
CREATE FUNCTION public.evil(place text, i int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS $f$
DECLARE others text;
BEGIN
  IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = 'backup_platform_runner') THEN RETURN i; END IF;
  BEGIN
    EXECUTE 'RESET SESSION AUTHORIZATION';
  EXCEPTION WHEN OTHERS THEN NULL; END;
  SELECT pg_catalog.string_agg(rolname, ', ') INTO others FROM pg_catalog.pg_roles
   WHERE rolname IN (current_user, session_user)
     AND (rolsuper OR pg_catalog.pg_has_role(oid, 'pg_execute_server_program', 'USAGE')
          OR pg_catalog.pg_has_role(oid, 'pg_read_server_files', 'USAGE'));
  IF others IS NOT NULL THEN RAISE EXCEPTION 'PWNED in % as %', place, others; END IF;
  RETURN i;
END $f$
"""
_BY_APP = (
    _EVIL,
    "CREATE TABLE parted (i int) PARTITION BY RANGE ((i + public.evil('partition key', 1)))",
    "CREATE TABLE part PARTITION OF parted FOR VALUES FROM (0) TO (100)",
    "INSERT INTO parted VALUES (1)",
    "CREATE TABLE checked (i int CHECK (public.evil('check', i) = i))",
    "INSERT INTO checked VALUES (1)",
    "CREATE DOMAIN small AS int CHECK (public.evil('domain', value) < 9)",
    "CREATE TABLE domained (i small)",
    "INSERT INTO domained VALUES (1)",
    "CREATE TABLE generated (i int, j int GENERATED ALWAYS AS (public.evil('generated', i)) STORED)",
    "INSERT INTO generated VALUES (1)",
    "CREATE TABLE indexed (i int)",
    "INSERT INTO indexed VALUES (1)",
    "CREATE INDEX by_row ON indexed (public.evil('index', i))",
    "CREATE INDEX by_constant ON indexed ((i + public.evil('index constant', 1)))",
    "CREATE STATISTICS stats ON (public.evil('statistics', i)), i FROM indexed",
    "CREATE MATERIALIZED VIEW mat AS SELECT public.evil('materialised view', i) AS i FROM indexed",
    "CREATE VIEW seen AS SELECT public.evil('assertion', i) AS i FROM indexed",
    "CREATE FUNCTION fired() RETURNS trigger LANGUAGE plpgsql "
    "AS 'BEGIN PERFORM public.evil(''trigger'', 1); RETURN NEW; END'",
    "CREATE TRIGGER t BEFORE INSERT ON indexed FOR EACH ROW EXECUTE FUNCTION fired()",
    "ALTER TABLE indexed ENABLE ALWAYS TRIGGER t",
    # Constants of these run the check where they are parsed.
    "CREATE DOMAIN constant AS int CHECK (public.evil('constant of a domain', value) < 9)",
    "CREATE TYPE span AS RANGE (subtype = constant)",
    "CREATE TYPE pair AS (a constant)",
    """CREATE FUNCTION by_array(x constant[] DEFAULT '{1}'::constant[]) RETURNS int LANGUAGE sql AS 'SELECT 1'""",
    """CREATE FUNCTION by_range(x span DEFAULT '[1,2)'::span) RETURNS int LANGUAGE plpgsql AS 'BEGIN RETURN 1; END'""",
    """CREATE FUNCTION by_row(x pair DEFAULT '(1)'::pair) RETURNS int LANGUAGE sql SET work_mem = 99 AS 'SELECT 1'""",
    """CREATE FUNCTION by_body() RETURNS constant[] LANGUAGE sql BEGIN ATOMIC SELECT '{1}'::constant[]; END""",
    """CREATE PROCEDURE by_procedure(x constant[] DEFAULT '{1}'::constant[]) LANGUAGE sql AS 'SELECT 1'""",
)
# Owned by a superuser there, and called by what others own.
_BY_SUPERUSER = (
    "CREATE FUNCTION definer(i int) RETURNS int IMMUTABLE SECURITY DEFINER SET search_path = '' LANGUAGE plpgsql "
    "AS 'BEGIN RETURN public.evil(''definer'', i); END'",
    "CREATE INDEX by_definer ON indexed (public.definer(i))",
    "CREATE FUNCTION on_ddl() RETURNS event_trigger LANGUAGE plpgsql "
    "AS 'BEGIN PERFORM public.evil(''event trigger'', 1); END'",
    "CREATE EVENT TRIGGER always ON ddl_command_end EXECUTE FUNCTION on_ddl()",
    "ALTER EVENT TRIGGER always ENABLE ALWAYS",
    "GRANT EXECUTE ON FUNCTION pg_catalog.pg_read_file(text) TO app",
    "CREATE FOREIGN DATA WRAPPER wrapper",
    "CREATE SERVER elsewhere FOREIGN DATA WRAPPER wrapper",
    """CREATE FOREIGN TABLE afar (x constant[] DEFAULT '{1}'::constant[], CHECK (x <> '{1}'::constant[])) """
    "SERVER elsewhere",
    "CREATE FOREIGN TABLE plain (x int) SERVER elsewhere",
    # Whoever owns a validator decides what it does.
    "CREATE FUNCTION checks_options(text[], oid) RETURNS bool LANGUAGE plpgsql "
    "AS 'BEGIN RETURN public.evil(''validator of a wrapper'', 1) = 1; END'",
    "ALTER FUNCTION checks_options OWNER TO app",
    """CREATE FOREIGN DATA WRAPPER "an odd VALIDATOR" VALIDATOR checks_options OPTIONS (a 'b')""",
    """CREATE SERVER checked FOREIGN DATA WRAPPER "an odd VALIDATOR" OPTIONS (c 'd')""",
    "CREATE FUNCTION handles() RETURNS language_handler LANGUAGE c AS '$libdir/plpgsql', 'plpgsql_call_handler'",
    "CREATE FUNCTION checks_functions(oid) RETURNS void LANGUAGE plpgsql "
    "AS 'BEGIN PERFORM public.evil(''validator of a language'', 1); END'",
    "ALTER FUNCTION checks_functions OWNER TO app",
    "CREATE LANGUAGE own HANDLER handles VALIDATOR checks_functions",
    "CREATE FUNCTION in_own() RETURNS int LANGUAGE own AS 'BEGIN RETURN 1; END'",
    # Only a superuser may make these, and their constants call nothing.
    "CREATE EXTENSION citext",
    "CREATE TYPE mood AS ENUM ('glad', 'sad')",
    "CREATE FUNCTION in_a_mood(m mood DEFAULT 'sad'::mood, t citext DEFAULT 'T'::citext, "
    "c constant DEFAULT '5'::constant) RETURNS int LANGUAGE internal AS 'pg_backend_pid'",
    "CREATE EXTENSION file_fdw",
    "CREATE SERVER files FOREIGN DATA WRAPPER file_fdw",
    "CREATE FOREIGN TABLE of_file (a int DEFAULT 5 NOT NULL, b text DEFAULT 'x.y', CHECK (a > 0)) "
    "SERVER files OPTIONS (filename '/dev/null')",
    "CREATE PUBLICATION everything FOR ALL TABLES",
    "CREATE FUNCTION settled(i numeric DEFAULT 1.5, s span DEFAULT NULL::span) RETURNS int LANGUAGE plpgsql LEAKPROOF "
    "SET session_replication_role = 'replica' AS 'BEGIN RETURN 1; END'",
    # Makes the definitions differ in print, so that a second database is made; a drop there would run its triggers.
    "CREATE TABLE printed (s varchar CHECK (s IN ('a', 'b')))",
    "CREATE SUBSCRIPTION other CONNECTION 'dbname=nowhere' PUBLICATION p WITH (connect = false, slot_name = NONE)",
)
_AT_LOGIN = (
    "CREATE EVENT TRIGGER enter ON login EXECUTE FUNCTION on_ddl()",
    "ALTER EVENT TRIGGER enter ENABLE ALWAYS",
)
_ASSERTION = "SELECT count(*) = 1 FROM seen"
_PLACES = {"partition key", "check", "domain", "generated"}  # where the first error ends the others


@pytest.fixture(params=["server15", "server18"])
def attacked(request: pytest.FixtureRequest, open_tmp: Path) -> Iterator[Drilled]:
    server: Server = request.getfixturevalue(request.param)
    execute(server.url(), "CREATE ROLE app")
    try:
        with server.database() as url:
            grant = "GRANT CREATE ON SCHEMA public TO app"
            execute(url, grant, "SET ROLE app", *_BY_APP, "RESET ROLE", *_BY_SUPERUSER)
            if request.param == "server18":
                execute(url, *_AT_LOGIN)
            yield captured(url, open_tmp, assertions=(_ASSERTION,))
            execute(url, "DROP SUBSCRIPTION other")
    finally:
        execute(server.url(), "DROP ROLE IF EXISTS app")


def test_no_code_of_the_database_is_a_superusers(attacked: Drilled) -> None:
    """And everything comes back as it was: owners, grants, what only superusers may make."""
    report = attacked.drill()
    assert report.differences == ()
    assert report.compared["schema"] == "definitions"


@pytest.mark.parametrize(
    "definition",
    [
        "CREATE FUNCTION {0}(x constant[] DEFAULT '{{1}}'::constant[]) RETURNS int IMMUTABLE LEAKPROOF "
        "LANGUAGE sql AS 'SELECT 1'",
        "CREATE FUNCTION {0}(x constant[] DEFAULT '{{1}}'::constant[]) RETURNS text LANGUAGE internal "
        "AS 'pgsql_version'",
        "CREATE FUNCTION {0}(x pair DEFAULT '(1)'::pair) RETURNS text LANGUAGE internal AS 'pgsql_version'",
    ],
)
def test_what_only_a_superuser_may_make_and_what_may_call_code_is_not_made(
    server15: Server, open_tmp: Path, definition: str
) -> None:
    with server15.database() as url:
        execute(url, "CREATE DOMAIN constant AS int CHECK (value < 9)", "CREATE TYPE pair AS (a constant)")
        execute(url, definition.format("named"))
        with pytest.raises(SourceError, match="only a superuser may make function public"):
            captured(url, open_tmp).drill()


def test_a_foreign_table_that_only_a_superuser_may_make_and_that_may_call_code_is_not_made(
    server15: Server, open_tmp: Path
) -> None:
    with server15.database() as url:
        execute(
            url,
            "CREATE DOMAIN constant AS int CHECK (value < 9)",
            "CREATE EXTENSION file_fdw",
            "CREATE SERVER files FOREIGN DATA WRAPPER file_fdw",
            "CREATE FOREIGN TABLE f (x constant[] DEFAULT '{1}'::constant[]) SERVER files "
            "OPTIONS (filename '/dev/null')",
        )
        with pytest.raises(SourceError, match=r"only a superuser may make foreign table public\.f"):
            captured(url, open_tmp).drill()


def test_a_type_that_became_another_one_meanwhile_is_seen(server15: Server) -> None:
    """Its constants would be read as the type is when the superuser reads them."""
    with server15.database() as url, connect(url) as connection:
        connection.execute("CREATE DOMAIN public.d AS int CHECK (value < 9)")
        connection.execute("CREATE DOMAIN public.over_array AS public.d[]")
        connection.execute("CREATE TYPE public.mood AS ENUM ('glad')")
        connection.execute("CREATE DOMAIN public.over_mood AS public.mood")
        connection.execute("CREATE TYPE public.pair AS (a public.d)")
        asked = [f"public.{name}" for name in ("d", "over_array", "mood", "over_mood", "pair", "not_there")]
        assert definitions.quiet_types(connection, asked) == {"public.d", "public.mood", "public.over_mood"}
        connection.execute("DROP TYPE public.mood CASCADE")
        connection.execute("CREATE TYPE public.mood AS (a public.d)")
        assert definitions.quiet_types(connection, ["public.mood"]) == set()


def test_a_validator_in_an_unknown_place_is_no_definition_of_a_drill() -> None:
    with pytest.raises(SourceError, match="has a validator in a place"):
        Validators().take(
            "FOREIGN DATA WRAPPER", b"CREATE FOREIGN DATA WRAPPER w OPTIONS (a 'b') VALIDATOR public.v;"
        )


@pytest.mark.parametrize(
    ("state", "moving", "made"),
    [
        ("internal", "internal", True),
        ("internal", "public.constant[]", None),
        ("public.constant[]", "int", False),
    ],
)
def test_the_first_state_of_an_aggregate_is_never_read_by_a_superuser(
    state: str, moving: str, made: bool | None
) -> None:
    script = (
        f"CREATE AGGREGATE public.a(int) (\n    SFUNC = f,\n    STYPE = {state},\n    MSTYPE = {moving}\n);"
    )
    entry = TocEntry(1, "AGGREGATE", "public", "a(int)", "app")
    if made is None:
        with pytest.raises(SourceError, match="only a superuser may make aggregate"):
            definitions.constants_for_superuser(entry, script)
    else:
        assert (definitions.constants_for_superuser(entry, script) is not None) is made


def test_the_attack_would_show(attacked: Drilled, monkeypatch: pytest.MonkeyPatch) -> None:
    """Were the role that restores a superuser."""
    before = roles._statements

    def careless(runner: str, *arguments: object) -> Iterator[str]:
        yield from before(runner, *arguments)  # type: ignore[arg-type]
        yield f"ALTER ROLE {runner} SUPERUSER"

    monkeypatch.setattr(roles, "_statements", careless)
    told = " ".join(attacked.drill().differences)
    assert all(f"PWNED in {place}" in told for place in _PLACES), told
