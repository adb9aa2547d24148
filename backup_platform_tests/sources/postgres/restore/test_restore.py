"""A restored database is the captured one: whole, in another version, in parts."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from backup_platform.errors import NotFoundError, TargetError, UsageError
from backup_platform_tests.sources.postgres.points import Streams, capture_by_hand
from backup_platform_tests.sources.postgres.restore.restore_support import dumped, plan, restore, sample_point
from backup_platform_tests.sources.postgres.restore.sample import SAMPLE, TABLES
from backup_platform_tests.sources.postgres.servers import Server, execute, fetch, fetch_value


@pytest.fixture(scope="session")
def sample15(server15: Server) -> Iterator[Streams]:
    with sample_point(server15) as streams:
        yield streams


def relations(url: str) -> set[str]:
    query = """SELECT n.nspname || '.' || relname FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
                WHERE n.nspname !~ '^pg_|^information'"""
    return {name for (name,) in fetch(url, query)}


def test_a_whole_database_is_the_captured_one(server: Server, database: str) -> None:
    with server.database() as original:
        execute(original, SAMPLE)
        done = restore(capture_by_hand(original, server.bin_dir), database)
        assert dumped(original) == dumped(database)
        assert dumped(original, "--section=pre-data") == dumped(database, "--section=pre-data")
    assert (done.tables, done.rows) == (len(TABLES), sum(TABLES.values()))
    # npm's servers have no pg_restore of their own version.
    assert [text for text in done.warnings if "There is no pg_restore of" not in text] == []
    assert fetch_value(database, "SELECT obj_description(5000, 'pg_largeobject')") == "it's large"
    assert fetch_value(database, "SELECT lo_get(5000)") == b"\x01\x02\xff"
    assert fetch_value(database, "SELECT n FROM app.mv") == 3
    assert fetch_value(database, "SELECT nextval('app.used')") == 2
    assert fetch_value(database, "SELECT nextval('app.free')") == 7


def test_of_15_into_18(sample15: Streams, database18: str) -> None:
    restore(sample15, database18)
    assert fetch(database18, "SELECT m::text, t, g FROM app.parent ORDER BY id") == [
        ("sad", "x", 2),
        (None, "", 4),
        ("ok", None, 6),
    ]
    texts = {row[0] for row in fetch(database18, "SELECT said FROM one")}
    assert texts == {"\\.", "", None, "\\N", '"', "\r\n", " "}
    assert fetch_value(database18, "SELECT count(*) FROM nocol") == 2


def test_into_a_database_where_transactions_are_read_only_by_default(
    sample15: Streams, database15: str
) -> None:
    name = fetch_value(database15, "SELECT current_database()")
    execute(database15, f'ALTER DATABASE "{name}" SET default_transaction_read_only = on')
    done = restore(sample15, database15)
    assert (done.tables, fetch_value(database15, "SHOW default_transaction_read_only")) == (len(TABLES), "on")


def test_statistics_are_gathered(sample15: Streams, database15: str) -> None:
    restore(sample15, database15)
    query = (
        "SELECT count(*) FROM pg_class WHERE relname IN ('parent', 'part', 'part1', 'mv') AND reltuples > 0"
    )
    assert fetch_value(database15, query) == 4


def test_a_created_database_has_the_settings_of_the_captured_one(server18: Server) -> None:
    with server18.database("ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C'") as original:
        name = original.split("@/")[1].split("?")[0]
        execute(
            original,
            f"ALTER DATABASE {name} SET work_mem = '7MB'",
            f"COMMENT ON DATABASE {name} IS 'lines; and' '\n-- dashes'".replace("' '", ""),
            f"REVOKE CONNECT ON DATABASE {name} FROM PUBLIC",
            "CREATE TABLE t (a text)",
            "INSERT INTO t VALUES ('é')",
        )
        streams = capture_by_hand(original, server18.bin_dir)
    url = server18.url('new "one"')
    try:
        restore(streams, url, create=True)
        assert fetch_value(url, "SHOW work_mem") == "7MB"
        assert fetch_value(url, "SHOW server_encoding") == "LATIN1"
        query = "SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = 'new \"one\"'"
        assert fetch_value(url, query) == "lines; and\n-- dashes"
        assert (
            fetch_value(url, "SELECT has_database_privilege('pg_monitor', current_database(), 'CONNECT')")
            is False
        )
        assert fetch_value(url, "SELECT a FROM t") == "é"
    finally:
        execute(server18.url(), 'DROP DATABASE IF EXISTS "new ""one"""')


def test_a_table_comes_with_what_belongs_to_it(sample15: Streams, database18: str) -> None:
    planned = plan(sample15, database18, tables=("app.child",))
    assert planned.tables == ("app.child",)
    assert any("fk constraint app.child child_pid_fkey" in text for text in planned.warnings)
    restore(sample15, database18, tables=("app.child",))
    found = relations(database18)
    assert found == {"app.child", "app.child_id_seq", "app.child_pkey", "app.child_x"}
    assert fetch(database18, "SELECT id, pid, x FROM app.child ORDER BY id") == [(1, 1, 3), (2, 2, 3)]
    assert fetch_value(database18, "INSERT INTO app.child (pid) VALUES (7) RETURNING id * 1000 + x") == 4099


def test_a_partitioned_table_comes_with_its_partitions(sample15: Streams, database18: str) -> None:
    restore(sample15, database18, tables=("part",))
    assert fetch_value(database18, "SELECT count(*) FROM part") == 20
    assert {"public.part_pkey", "public.part1_pkey"} < relations(database18)


def test_a_partition_alone_is_a_table(sample15: Streams, database18: str) -> None:
    restore(sample15, database18, tables=("public.part2",))
    assert fetch_value(database18, "SELECT min(k) FROM part2") == 10
    assert relations(database18) == {"public.part2", "public.part2_pkey"}


def test_a_table_that_inherits_comes_with_its_empty_parent(sample15: Streams, database18: str) -> None:
    done = restore(sample15, database18, tables=("inh",))
    assert fetch(database18, "SELECT id, extra FROM app.child LEFT JOIN inh USING (id)") == [(3, 4)]
    assert any("app.child is restored without its rows" in text for text in done.warnings)


def test_a_schema_alone(sample15: Streams, database18: str) -> None:
    done = restore(sample15, database18, schemas=('odd "schema',))
    assert relations(database18) == {'odd "schema.a', 'odd "schema.a b'}
    assert done.rows == 1


def test_definitions_only(sample15: Streams, database18: str) -> None:
    done = restore(sample15, database18, schema_only=True)
    assert fetch_value(database18, "SELECT count(*) FROM app.parent") == 0
    assert (done.rows, done.bytes) == (0, 0)


def test_rows_only_fire_no_triggers(sample15: Streams, database18: str) -> None:
    restore(sample15, database18, schema_only=True)
    restore(sample15, database18, data_only=True, tables=("app.child",))
    assert fetch(database18, "SELECT x FROM app.child") == [(3,), (3,)]
    with pytest.raises(TargetError, match=r"app\.child is not empty"):
        restore(sample15, database18, data_only=True, tables=("app.child",))
    assert plan(sample15, database18, data_only=True, tables=("app.child",), occupied=True).conflicts == ()


def test_rows_only_need_the_tables_and_their_columns(sample15: Streams, database18: str) -> None:
    execute(database18, "CREATE TABLE one (other text)")
    assert "no column 'said'" in plan(sample15, database18, data_only=True, tables=("one",)).conflicts[0]


def test_beside_what_is_there(sample15: Streams, database18: str) -> None:
    execute(database18, "CREATE SCHEMA app", "CREATE TABLE app.mine ()", "CREATE TABLE one (a int)")
    assert "not empty" in plan(sample15, database18).conflicts[0]
    occupied = plan(sample15, database18, occupied=True)
    assert occupied.conflicts == (
        f"The table public.one exists already in {occupied.database!r}, and nothing is replaced.",
    )
    restore(sample15, database18, tables=("app.parent",), occupied=True)
    assert fetch_value(database18, "SELECT count(*) FROM app.parent") == 3


@pytest.mark.parametrize(
    "wishes",
    [
        {"data_only": True, "schema_only": True},
        {"data_only": True, "create": True},
        {"schemas": ("app",), "tables": ("one",)},
        {"jobs": 0},
    ],
)
def test_wishes_that_cannot_go_together(
    sample15: Streams, database18: str, wishes: dict[str, object]
) -> None:
    with pytest.raises(UsageError):
        plan(sample15, database18, **wishes)


@pytest.mark.parametrize("wishes", [{"tables": ("nope",)}, {"tables": ("app.v",)}, {"schemas": ("nope",)}])
def test_what_the_point_does_not_hold(sample15: Streams, database18: str, wishes: dict[str, object]) -> None:
    with pytest.raises(NotFoundError):
        plan(sample15, database18, **wishes)
