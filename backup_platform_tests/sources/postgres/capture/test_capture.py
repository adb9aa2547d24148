"""What a capture stores and says, on servers of two versions."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from backup_platform.actions.query.run import query
from backup_platform.actions.tables.point_tables import PointTables
from backup_platform.domain.model import EntryKind
from backup_platform.errors import SourceError
from backup_platform.repository.points.inventory import rows_of
from backup_platform.sources.postgres.capture.table_facts import TableFact, shared_table_facts, table_facts
from backup_platform.sources.postgres.catalog.large_objects import SLICE
from backup_platform.sources.postgres.connect.connections import connect
from backup_platform.sources.postgres.document import QualifiedName
from backup_platform.sources.postgres.options import PostgresOptions
from backup_platform.sources.postgres.tools import find_tools
from backup_platform_tests.sources.postgres.capture_support import (
    Captured,
    MemoryRecorder,
    Steps,
    capture,
    source,
)
from backup_platform_tests.sources.postgres.point_bench import PointBench
from backup_platform_tests.sources.postgres.servers import Server, await_value, execute, fetch
from backup_platform_tests.support import ManualClock

PARTITIONED = (
    "CREATE TABLE events (id int, at date) PARTITION BY RANGE (at)",
    "CREATE TABLE events_25 PARTITION OF events FOR VALUES FROM ('2025-01-01') TO ('2026-01-01')",
    "CREATE TABLE events_26 PARTITION OF events FOR VALUES FROM ('2026-01-01') TO ('2027-01-01') "
    "PARTITION BY HASH (id)",
    "CREATE TABLE events_26_0 PARTITION OF events_26 FOR VALUES WITH (MODULUS 2, REMAINDER 0)",
    "CREATE TABLE events_26_1 PARTITION OF events_26 FOR VALUES WITH (MODULUS 2, REMAINDER 1)",
    "INSERT INTO events SELECT x, '2025-12-30'::date + x FROM generate_series(0, 99) x",
)


def test_the_inventory_is_in_the_order_of_the_format(database: str) -> None:
    execute(
        database,
        'CREATE SCHEMA "a.b"',
        'CREATE SCHEMA "a"',
        'CREATE TABLE "a.b".c AS SELECT 1 AS x',
        'CREATE TABLE a."b/c" AS SELECT 1 AS x',
        "SELECT lo_from_bytea(0, 'x')",
    )
    found = capture(database)
    assert found.paths == [
        ".",
        "catalogue.json",
        "database.json",
        "globals.sql",
        "large_objects",
        "large_objects/00000.parquet",
        "schema.dump",
        "tables",
        "tables/a",
        "tables/a/b%2Fc",
        "tables/a/b%2Fc/00000.parquet",
        "tables/a.b",
        "tables/a.b/c",
        "tables/a.b/c/00000.parquet",
    ]
    assert found.paths[0] == "."
    assert {(e.stat.kind, e.stat.mode) for e in found.recorder.entries} == {
        (EntryKind.FILE, 0o600),
        (EntryKind.DIRECTORY, 0o700),
    }
    assert rows_of(found.recorder.entries).num_rows == len(found.paths)


def test_the_facts(server: Server, database: str) -> None:
    execute(
        database,
        'CREATE TABLE t (id serial PRIMARY KEY, s text COLLATE "C")',
        "INSERT INTO t (s) SELECT 'x' FROM generate_series(1, 42)",
        "CREATE EXTENSION citext",
        "CREATE TABLE none (a int)",
    )
    facts = capture(database).facts
    assert facts["server_version_num"] // 10000 == server.major
    assert facts["in_recovery"] is False
    assert "/" in facts["lsn"]
    assert (facts["tables"], facts["rows"]) == (2, 42)
    assert facts["row_counts"] == {"public.none": 0, "public.t": 42}
    assert facts["sequences"] == {"public.t_id_seq": [42, True]}
    assert facts["extensions"].keys() == {"citext", "plpgsql"}
    assert facts["hash_mode"] == "full"
    assert facts["encoding"] == "UTF8"
    assert facts["warnings"] == facts["left_out"] == facts["unlogged"] == []
    assert facts["database_size"] > 1 << 20
    assert isinstance(facts["clock_skew_s"], float)
    assert json.loads(json.dumps(facts)) == facts
    # The hashes are the server's: asked again, it says the same.
    tables = capture(database).catalogue.tables
    with connect(database) as connection:
        asked = table_facts(connection, tables, "full")
    assert facts["row_hashes"] == {label: fact.hash for label, fact in asked.items()}


@pytest.mark.parametrize(
    ("ahead", "word"), [(timedelta(minutes=2), "behind"), (timedelta(days=-1), "ahead of")]
)
def test_a_clock_that_is_wrong_is_a_warning(database18: str, ahead: timedelta, word: str) -> None:
    clock = ManualClock(datetime.now(UTC) + ahead)
    found = replace(source(database18), clock=clock).capture(MemoryRecorder(), Steps())
    assert found.captured_at == clock.instant
    assert found.facts["clock_skew_s"] == pytest.approx(-ahead.total_seconds(), abs=30)
    assert f"s {word} this machine" in str(found.facts["warnings"])


def test_every_kind_of_relation(database: str) -> None:
    execute(
        database,
        *PARTITIONED,
        "CREATE TABLE parent (a int)",
        "CREATE TABLE child (b int) INHERITS (parent)",
        "INSERT INTO parent VALUES (1)",
        "INSERT INTO child VALUES (2, 3), (4, 5)",
        "CREATE UNLOGGED TABLE scratch AS SELECT 1 AS x",
        "CREATE TEMP TABLE temporary AS SELECT 1 AS x",
        "CREATE TABLE bare ()",
        "INSERT INTO bare DEFAULT VALUES",
        "CREATE TABLE made (a int, b int GENERATED ALWAYS AS (a + 1) STORED, c int GENERATED ALWAYS AS IDENTITY)",
        "INSERT INTO made (a) VALUES (1)",
        "CREATE TABLE thin (a int, gone text, b int)",
        "ALTER TABLE thin DROP COLUMN gone",
        "CREATE VIEW a_view AS SELECT * FROM parent",
        "CREATE MATERIALIZED VIEW z_first AS SELECT * FROM a_view",
        "CREATE VIEW between_them AS SELECT * FROM z_first",
        "CREATE MATERIALIZED VIEW b_second AS SELECT * FROM between_them",
        "CREATE MATERIALIZED VIEW unfilled AS SELECT 1 AS x WITH NO DATA",
        "CREATE EXTENSION postgres_fdw",
        "CREATE SERVER there FOREIGN DATA WRAPPER postgres_fdw",
        "CREATE FOREIGN TABLE away (a int) SERVER there",
    )
    found = capture(database)
    rows = {table.name: table.rows for table in found.catalogue.tables}
    assert rows.pop("events_26_0") + rows.pop("events_26_1") == 98
    assert rows == {"events_25": 2, "parent": 1, "child": 2, "scratch": 1, "bare": 1, "made": 1, "thin": 0}
    columns = {t.name: [column.name for column in t.columns] for t in found.catalogue.tables}
    assert (columns["made"], columns["thin"], columns["bare"]) == (["a", "c"], ["a", "b"], [])
    assert found.facts["unlogged"] == ["public.scratch"]
    document = found.database
    assert document.refresh == (QualifiedName("public", "z_first"), QualifiedName("public", "b_second"))
    assert dict(document.load_through) == {
        "public.events_26_0": QualifiedName("public", "events"),
        "public.events_26_1": QualifiedName("public", "events"),
    }
    assert found.left_out.keys() == {"public.away"}
    assert found.left_out["public.away"].startswith("foreign table")


def test_unlogged_tables_can_be_left_out(database18: str) -> None:
    execute(
        database18, "CREATE UNLOGGED TABLE scratch AS SELECT 1 AS x", "CREATE TABLE kept AS SELECT 1 AS x"
    )
    found = capture(database18, unlogged=False)
    assert [table.name for table in found.catalogue.tables] == ["kept"]
    assert found.left_out == {"public.scratch": "unlogged table: unlogged: only its definition is stored"}
    assert found.facts["left_out"] == [
        "unlogged table public.scratch: unlogged: only its definition is stored"
    ]


def test_partitioned_tables_can_be_asked_by_their_own_names(database18: str, tmp_path: Path) -> None:
    execute(
        database18,
        *PARTITIONED,
        "TRUNCATE events",
        "ALTER TABLE events ADD PRIMARY KEY (id, at)",
        "CREATE TABLE late (at date NOT NULL, id int NOT NULL)",
        "ALTER TABLE events ATTACH PARTITION late FOR VALUES FROM ('2027-01-01') TO ('infinity')",
        "INSERT INTO events VALUES (1, '2025-05-05'), (2, '2026-05-05'), (3, '2026-06-06'), (4, '2027-07-07')",
        "CREATE TABLE empty (id int) PARTITION BY LIST (id)",
    )
    bench = PointBench(tmp_path / "repository", PostgresOptions(database18))
    tables = PointTables(bench.open().reader(bench.backup()))
    found = {each.label: (each.key, each.leaves, each.missing) for each in tables.catalogue.partitioned}
    hashed = ("public.events_26_0", "public.events_26_1")
    assert found == {
        "public.empty": ((), (), ()),
        "public.events": (("id", "at"), ("public.events_25", *hashed, "public.late"), ()),
        "public.events_26": (("id", "at"), hashed, ()),
    }
    with query(tables, 'SELECT id, "at"::VARCHAR FROM events ORDER BY id') as result:
        assert [tuple(row.values()) for row in result.objects()] == [
            (1, "2025-05-05"),
            (2, "2026-05-05"),
            (3, "2026-06-06"),
            (4, "2027-07-07"),
        ]
    with query(tables, "SELECT (SELECT count(*) FROM events_26) AS n, count(*) AS none FROM empty") as result:
        assert list(result.objects()) == [{"n": 2, "none": 0}]


def test_partitions_that_are_not_stored_are_told_of(database18: str) -> None:
    execute(database18, *PARTITIONED)
    catalogue = capture(database18, exclude=("events_25",)).catalogue
    missing = {each.label: each.missing for each in catalogue.partitioned}
    assert missing == {"public.events": ("public.events_25",), "public.events_26": ()}
    assert [table.name for table in catalogue.readable] == ["events_26", "events_26_0", "events_26_1"]


def test_what_patterns_leave_out_is_listed(database18: str) -> None:
    execute(
        database18,
        *PARTITIONED,
        "CREATE SCHEMA logs",
        "CREATE TABLE logs.a ()",
        "CREATE TABLE kept ()",
        "CREATE MATERIALIZED VIEW seen AS SELECT 1 AS x",
    )
    found = capture(database18, exclude=("logs.*", "public.events", "seen"))
    assert [table.label for table in found.catalogue.tables] == ["public.kept"]
    assert found.left_out.keys() == {
        "logs.a",
        "public.events_25",
        "public.events_26_0",
        "public.events_26_1",
        "public.seen",
    }
    assert found.database.refresh == ()
    assert "excluded by 'logs.*'" in found.left_out["logs.a"]
    assert b"logs" in found.recorder.content("schema.dump")
    included = capture(database18, include=("events_2?",))
    assert [table.name for table in included.catalogue.tables] == ["events_25", "events_26_0", "events_26_1"]


def test_configuration_of_extensions_is_stored_and_their_other_tables_are_named(
    database18: str, server18: Server
) -> None:
    """An extension in miniature, entered into the catalogue by hand: files of the server are not the test's."""
    execute(
        database18,
        "CREATE EXTENSION lo",
        "CREATE TABLE config (k text, standard bool)",
        "INSERT INTO config VALUES ('shipped', true), ('ours', false)",
        "CREATE TABLE internal (a int)",
        "ALTER EXTENSION lo ADD TABLE config",
        "ALTER EXTENSION lo ADD TABLE internal",
        "UPDATE pg_extension SET extconfig = ARRAY['config'::regclass::oid], "
        "extcondition = ARRAY['WHERE NOT standard'] WHERE extname = 'lo'",
    )
    found = capture(database18)
    assert {table.name: table.rows for table in found.catalogue.tables} == {"config": 1}
    assert found.facts["row_counts"] == {"public.config": 1}
    assert found.left_out == {"public.internal": "table: part of the extension lo, which creates it"}


def test_sequences_and_roles_and_locale(server: Server, database: str, tmp_path: Path) -> None:
    execute(
        database,
        "CREATE ROLE owner_of_it",
        "CREATE ROLE reader_of_it",
        "CREATE ROLE by_default",
        "CREATE ROLE in_a_policy",
        "CREATE ROLE unconcerned",
        "CREATE TABLE t (a int)",
        "ALTER TABLE t OWNER TO owner_of_it",
        "GRANT SELECT (a) ON t TO reader_of_it",
        "ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO by_default",
        "CREATE POLICY p ON t TO in_a_policy",
        "CREATE SEQUENCE untouched START 7",
        "CREATE SEQUENCE called START -9 INCREMENT -1 MAXVALUE 5 MINVALUE -100",
        "SELECT nextval('called')",
    )
    document = capture(database).database
    assert set(document.roles) >= {"owner_of_it", "reader_of_it", "by_default", "in_a_policy"}
    assert "unconcerned" not in document.roles
    values = {value.sequence.name: (value.last_value, value.is_called) for value in document.sequences}
    assert values == {"untouched": (7, False), "called": (-9, True)}
    assert document.server_version // 10000 == server.major
    assert document.dump_version == find_tools(server.major, prefer=server.major).version  # its own, or newer
    assert document.owner == "postgres"
    assert document.locale.encoding == "UTF8"
    assert document.locale.provider in ("c", "b", "i")


def test_large_objects(database: str) -> None:
    data = bytes(range(256)) * 9000  # more than two slices
    execute(
        database,
        "CREATE ROLE of_objects",
        "SELECT lo_from_bytea(11, 'small')",
        "SELECT lo_create(12)",
        f"SELECT lo_from_bytea(13, decode('{data.hex()}', 'hex'))",
        f"SELECT lo_from_bytea(14, decode(repeat('ab', {SLICE}), 'hex'))",
        "ALTER LARGE OBJECT 11 OWNER TO of_objects",
        "GRANT SELECT, UPDATE ON LARGE OBJECT 12 TO of_objects WITH GRANT OPTION",
        "GRANT SELECT ON LARGE OBJECT 12 TO PUBLIC",
        "COMMENT ON LARGE OBJECT 13 IS 'a picture'",
    )
    found = capture(database)
    by_oid = {each.oid: each for each in found.database.large_objects}
    assert list(by_oid) == [11, 12, 13, 14]
    assert (by_oid[11].owner, by_oid[11].acl, by_oid[13].comment) == ("of_objects", None, "a picture")
    assert set(by_oid[12].acl or ()) == {
        ("", "SELECT", False),
        ("of_objects", "SELECT, UPDATE", True),
        ("postgres", "SELECT, UPDATE", False),
    }
    stored = pq.read_table(io.BytesIO(found.recorder.content("large_objects/00000.parquet"))).to_pydict()
    joined: dict[int, bytes] = {}
    for oid, offset, part in zip(stored["oid"], stored["offset"], stored["data"], strict=True):
        assert offset == len(joined.get(oid, b""))
        assert len(part) <= SLICE
        joined[oid] = joined.get(oid, b"") + part
    assert joined == {11: b"small", 13: data, 14: b"\xab" * SLICE}
    assert found.facts["large_objects"] == 4
    before = found.facts["large_objects_hash"]
    execute(database, f"SELECT lo_put(13, {len(data) - 1}, 'x')")
    assert capture(database).facts["large_objects_hash"] != before


def test_the_schema_facts_name_what_changed_and_nothing_else(database: str) -> None:
    execute(
        database,
        "CREATE TABLE t (a int)",
        "CREATE FUNCTION f(int) RETURNS int LANGUAGE sql AS 'SELECT $1'",
        "CREATE VIEW v AS SELECT a FROM t",
        "CREATE INDEX i ON t (a)",
        "CREATE TABLE same (a int)",
    )
    first, again = capture(database).facts, capture(database).facts
    assert first["schema_fingerprint"] == again["schema_fingerprint"]
    assert first["schema"] == again["schema"]
    execute(
        database,
        "CREATE OR REPLACE FUNCTION f(int) RETURNS int LANGUAGE sql AS 'SELECT $1 + 1'",
        "DROP INDEX i",
        "GRANT SELECT ON same TO PUBLIC",
    )
    changed = capture(database).facts
    assert changed["schema_fingerprint"] != first["schema_fingerprint"]
    before = {(each["type"], each["name"]): each["sql"] for each in first["schema"]}
    after = {(each["type"], each["name"]): each["sql"] for each in changed["schema"]}
    assert before.keys() - after.keys() == {("INDEX", "public.i")}
    assert after.keys() - before.keys() == {("ACL", "public.TABLE same")}
    assert {key for key in before.keys() & after.keys() if before[key] != after[key]} == {
        ("FUNCTION", "public.f(integer)")
    }


def test_rows_that_the_reader_loses_are_an_error(database18: str, monkeypatch: pytest.MonkeyPatch) -> None:
    execute(database18, "CREATE TABLE t AS SELECT x FROM generate_series(1, 10) x")
    honest = shared_table_facts
    monkeypatch.setattr(
        "backup_platform.sources.postgres.capture.run.shared_table_facts",
        lambda *a: {k: TableFact(f.rows + 1, f.hash) for k, f in honest(*a).items()},
    )
    recorder = MemoryRecorder()
    with pytest.raises(SourceError, match=r"public\.t: 10 of 11"):
        capture(database18, recorder=recorder)
    assert recorder.entries == []


def test_all_connections_are_closed(database18: str) -> None:
    execute(database18, "CREATE TABLE t AS SELECT 1 AS x")
    capture(database18, jobs=3)
    query = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'backup_platform'"
    await_value(database18, query, 0)
    assert fetch(database18, "SELECT x FROM t") == [(1,)]


def test_progress_reaches_what_was_expected(database18: str) -> None:
    execute(database18, "CREATE TABLE t AS SELECT x FROM generate_series(1, 10000) x")
    steps = Steps()
    capture(database18, progress=steps)
    assert steps.done == steps.expected > 100_000


def test_the_url_is_in_no_repr() -> None:
    assert "hunter2" not in repr(
        source("postgresql://u:hunter2@h/d", drill_server="postgresql://u:hunter2@h/d")
    )


def test_nothing_is_left_behind(database18: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    found: Captured = capture(database18)
    assert found.files == ["catalogue.json", "database.json", "globals.sql", "schema.dump"]
    assert list(tmp_path.iterdir()) == []
