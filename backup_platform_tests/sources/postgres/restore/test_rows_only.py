"""Rows into tables that are there come as they were captured, whatever the tables do to new rows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import psycopg
import pytest

from backup_platform.advice import written
from backup_platform.clock import SILENT, SystemClock
from backup_platform.domain.model import Json
from backup_platform.domain.restoring import DatabaseRestoreSummary, DatabaseTarget
from backup_platform.sources.postgres.capture.table_facts import RECORD_SEND, table_facts
from backup_platform.sources.postgres.contents import read_contents
from backup_platform.sources.postgres.restore.run import plan_restore, run_restore
from backup_platform.sources.postgres.restore.target import MARKER
from backup_platform_tests.sources.postgres.points import Streams, capture_by_hand, recovery_point
from backup_platform_tests.sources.postgres.restore.restore_support import plan, restore
from backup_platform_tests.sources.postgres.servers import Server, execute, fetch, fetch_value

TABLES = """
CREATE TABLE t (id int PRIMARY KEY, v text CHECK (v <> 'bad'), g int GENERATED ALWAYS AS (id * 2) STORED);
CREATE TABLE always (id int GENERATED ALWAYS AS IDENTITY, v text);
CREATE TABLE part (id int, v text) PARTITION BY RANGE (id);
CREATE TABLE part1 PARTITION OF part FOR VALUES FROM (0) TO (10);
CREATE TABLE nocol ();
"""
ROWS = """
INSERT INTO t VALUES (1, 'as captured');
INSERT INTO always (v) VALUES ('a'), ('b');
INSERT INTO part VALUES (1, 'p');
INSERT INTO nocol DEFAULT VALUES;
INSERT INTO nocol DEFAULT VALUES;
"""
TRIGGERS = """
CREATE FUNCTION changes() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN new.v := ''changed''; RETURN new; END';
CREATE FUNCTION refuses() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RAISE ''no''; END';
CREATE TRIGGER a BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION changes();
CREATE TRIGGER r BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION changes();
CREATE TRIGGER o BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION changes();
CREATE TRIGGER d BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION refuses();
CREATE TRIGGER s AFTER INSERT ON always EXECUTE FUNCTION refuses();
CREATE CONSTRAINT TRIGGER c AFTER INSERT ON always DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION refuses();
CREATE TRIGGER p BEFORE INSERT ON part FOR EACH ROW EXECUTE FUNCTION changes();
CREATE RULE nothing AS ON INSERT TO nocol DO INSTEAD NOTHING;
"""
FIRING = """
ALTER TABLE t ENABLE ALWAYS TRIGGER a, ENABLE REPLICA TRIGGER r, DISABLE TRIGGER d;
ALTER TABLE always ENABLE ALWAYS TRIGGER s, ENABLE ALWAYS TRIGGER c;
ALTER TABLE part1 ENABLE ALWAYS TRIGGER p;
ALTER TABLE nocol ENABLE ALWAYS RULE nothing;
"""
NAMES = ("t", "always", "part", "part1", "nocol")
STATES = "SELECT tgrelid::regclass::text, tgname, tgenabled::text FROM pg_trigger ORDER BY 1, 2"


@pytest.fixture(scope="module", params=[15, 18], ids=["pg15", "pg18"])
def server(request: pytest.FixtureRequest) -> Server:
    found = request.getfixturevalue(f"server{request.param}")
    assert isinstance(found, Server)
    return found


@pytest.fixture(scope="module")
def captured(server: Server) -> Iterator[Streams]:
    with server.database() as url:
        execute(url, TABLES, ROWS)
        yield capture_by_hand(url, server.bin_dir)


@pytest.fixture
def target(server: Server, captured: Streams) -> Iterator[str]:
    with server.database() as url:
        execute(url, TABLES, TRIGGERS)
        yield url


def assert_as_captured(url: str) -> None:
    assert fetch(url, "SELECT id, v, g FROM t") == [(1, "as captured", 2)]
    assert fetch(url, "SELECT id, v FROM always ORDER BY 1") == [(1, "a"), (2, "b")]
    assert fetch(url, "SELECT v FROM part") == [("p",)]
    assert fetch_value(url, "SELECT count(*) FROM nocol") == 2


def test_triggers_that_always_fire_stay_silent_and_as_they_were(captured: Streams, target: str) -> None:
    execute(target, FIRING)
    before = fetch(target, STATES)
    assert {state for _, _, state in before} == {"O", "A", "R", "D"}
    assert restore(captured, target, data_only=True).complete
    assert_as_captured(target)
    assert fetch(target, STATES) == before


def test_after_a_failure_too(captured: Streams, target: str) -> None:
    execute(target, FIRING, "ALTER TABLE t ADD CHECK (id > 1)")
    before = fetch(target, STATES)
    (failure,) = restore(captured, target, data_only=True).failures
    assert (failure.what, "violates check constraint" in failure.said) == ("rows of public.t", True)
    assert fetch(target, STATES) == before


def test_the_owner_of_the_tables_silences_them_too(captured: Streams, target: str, server: Server) -> None:
    execute(target, "CREATE ROLE owner LOGIN", *(f"ALTER TABLE {t} OWNER TO owner" for t in NAMES), FIRING)
    before = fetch(target, STATES)
    url = server.url(fetch_value(target, "SELECT current_database()"), "owner")
    planned = plan(captured, url, data_only=True)
    assert planned.warnings[0].startswith("Foreign keys are checked while data is loaded")
    assert not any("fire" in text for text in planned.warnings)
    assert restore(captured, url, data_only=True).complete
    assert_as_captured(target)
    assert fetch(target, STATES) == before


def test_rows_that_a_trigger_changed_after_all_are_named(
    captured: Streams, target: str, server: Server
) -> None:
    execute(target, "CREATE ROLE guest LOGIN", "DROP TRIGGER d ON t", "GRANT SELECT, INSERT ON t TO guest")
    url = server.url(fetch_value(target, "SELECT current_database()"), "guest")
    wishes = DatabaseTarget(url, data_only=True, tables=("t",))
    done = with_facts(captured, target, wishes)
    assert "Triggers of public.t fire: the role does not own the table." in done.warnings
    assert [(failure.what, "differ from the captured ones" in failure.said) for failure in done.failures] == [
        ("rows of public.t", True)
    ]
    execute(target, "TRUNCATE t")
    assert with_facts(captured, target, replace(wishes, url=target)).complete


def with_facts(captured: Streams, target: str, wishes: DatabaseTarget) -> DatabaseRestoreSummary:
    """The facts are of rows as they were captured, hashed by the server that is restored into."""
    tables = read_contents(captured).catalogue.tables
    with psycopg.connect(target) as connection:
        connection.execute("SET search_path = pg_catalog")
        connection.execute("SET session_replication_role = replica")
        connection.execute("ALTER TABLE public.t DISABLE TRIGGER USER")
        connection.execute("INSERT INTO public.t VALUES (1, 'as captured')")
        fact = table_facts(connection, [each for each in tables if each.name == "t"], "full", RECORD_SEND)
        connection.rollback()
    facts: dict[str, Json] = {
        "hash_mode": "full",
        "hash_algorithm": RECORD_SEND,
        "row_hashes": {"public.t": fact["public.t"].hash},
    }
    point = replace(recovery_point(), facts=facts)
    return run_restore(plan_restore(point, captured, wishes), captured, SILENT, SystemClock())


def test_what_takes_rows_elsewhere_is_in_the_way_and_other_types_are_told(
    captured: Streams, server: Server
) -> None:
    with server.database() as url:
        execute(url, "CREATE TABLE t (id bigint, v text)", "CREATE VIEW always AS SELECT 1 AS id, 'x' AS v")
        view = plan(captured, url, data_only=True, tables=("always",))
        assert view.conflicts == ("The table public.always is missing, or is not a table.",)
        (warning,) = plan(captured, url, data_only=True, tables=("t",)).warnings
        assert "column 'id' of public.t is of type bigint, captured as integer" in warning


def test_deferred_keys_hold_no_owner_up_and_one_that_refuses_rows_is_told(server: Server) -> None:
    """A table with checks pending cannot be altered, and triggers are put back by that."""
    definitions = """
        CREATE TABLE a_kind (id int PRIMARY KEY);
        CREATE TABLE b (id int REFERENCES a_kind DEFERRABLE INITIALLY DEFERRED);
        CREATE FUNCTION nothing() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN new; END';
        CREATE TRIGGER o AFTER INSERT ON b FOR EACH ROW EXECUTE FUNCTION nothing();
        """
    with server.database() as source, server.database() as target:
        execute(source, definitions, "INSERT INTO a_kind VALUES (1)", "INSERT INTO b VALUES (1)")
        execute(target, definitions, "CREATE ROLE tenant LOGIN")
        execute(target, *(f"ALTER TABLE {name} OWNER TO tenant" for name in ("a_kind", "b")))
        point = capture_by_hand(source, server.bin_dir)
        url = server.url(fetch_value(target, "SELECT current_database()"), "tenant")
        done = restore(point, url, data_only=True, tables=("b",))
        (failure,) = done.failures
        assert "violates foreign key constraint" in failure.said
        assert any("A superuser loads rows without that check" in text for text in map(written, done.advice))
        assert not any("NOT VALID" in text for text in map(written, done.advice))
        assert restore(point, url, data_only=True).complete


def test_large_objects_that_are_there_stay_and_a_restore_before_that_did_not_end_is_told(
    server: Server,
) -> None:
    with server.database() as source, server.database() as target:
        execute(source, "CREATE TABLE t (id int)", "INSERT INTO t VALUES (1)")
        execute(source, "SELECT lo_from_bytea(41, 'one'), lo_from_bytea(42, 'two')")
        execute(target, "CREATE TABLE t (id int)", "SELECT lo_from_bytea(42, 'other')")
        name = fetch_value(target, "SELECT current_database()")
        execute(target, f"COMMENT ON DATABASE {name} IS '{MARKER}x'")
        point = capture_by_hand(source, server.bin_dir)
        planned = plan(point, target, data_only=True)
        assert "restore 1 large object" in planned.steps
        assert any("holds a restore that was not finished: x" in text for text in planned.warnings)
        done = restore(point, target, data_only=True)
        assert (done.left_out, done.failures, done.rows) == (planned.left_out, (), 1)
        (said,) = done.left_out
        assert said.endswith("stay as they are there: 42.")
        assert fetch(target, "SELECT lo_get(41), lo_get(42)") == [(b"one", b"other")]
