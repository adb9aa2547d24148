"""One object that cannot be read: the rest is stored, and the point says what it lacks."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pyarrow as pa
import pytest

from backup_platform.domain.model import Status
from backup_platform.domain.tables import Storage
from backup_platform.errors import SourceError
from backup_platform.repository.rescue_tables import texts
from backup_platform.sources.postgres.options import PostgresOptions
from backup_platform_tests.sources.postgres.capture_support import capture
from backup_platform_tests.sources.postgres.fidelity_database import new_database
from backup_platform_tests.sources.postgres.npm_servers import npm_server
from backup_platform_tests.sources.postgres.point_bench import PointBench
from backup_platform_tests.sources.postgres.servers import Server, execute, fetch_value

NOT_UTF8 = "convert_from('\\x636166e9'::bytea, 'SQL_ASCII')"
ASCII = "ENCODING 'SQL_ASCII' LOCALE 'C'"


def test_bytes_that_are_no_text_come_back_as_they_were(server18: Server, tmp_path: Path) -> None:
    bytes_come_back(server18, tmp_path)


@pytest.mark.soak
def test_bytes_that_are_no_text_come_back_on_the_oldest_server(tmp_path: Path) -> None:
    with npm_server(13) as server:
        bytes_come_back(server, tmp_path)


def bytes_come_back(server: Server, tmp_path: Path) -> None:
    with new_database(server, ASCII) as original, new_database(server, ASCII) as restored:
        execute(
            original,
            "CREATE DOMAIN word AS text",
            "CREATE TABLE t (id int PRIMARY KEY, v varchar, c char(6), w word, a text[], plain text, number numeric)",
            f"INSERT INTO t VALUES (1, {NOT_UTF8}, {NOT_UTF8}, {NOT_UTF8}, ARRAY[{NOT_UTF8}, NULL], 'x', 1.5)",
            "INSERT INTO t VALUES (2, 'ü', '', E'\\\\ \" , \\n', '{}', NULL, NULL)",
            "INSERT INTO t (id) VALUES (3)",
            "CREATE TABLE good AS SELECT 'ü' AS v",
        )
        execute(
            original,
            f"DO $$ BEGIN EXECUTE format('COMMENT ON TABLE t IS %L', {NOT_UTF8}); END $$",
            f"DO $$ BEGIN EXECUTE format('ALTER TABLE good ADD CHECK (v <> %L)', {NOT_UTF8}); END $$",
        )
        made = PointBench(tmp_path / "repository", PostgresOptions(original, bin_dir=server.bin_dir))
        point = made.backup()
        assert not point.incomplete
        made.restore(point, restored)
        same(original, restored, "t")
        same(original, restored, "good")
        assert "not UTF-8" in str(point.facts["warnings"])
        definitions = b"""SELECT textsend(obj_description('t'::regclass)), textsend(pg_get_constraintdef(oid))
            FROM pg_constraint WHERE conrelid = 'good'::regclass"""
        with raw(original) as before, raw(restored) as after:
            assert before.execute(definitions).fetchall() == after.execute(definitions).fetchall()
        assert made.drill(point).report.differences == ()


@pytest.mark.soak
def test_a_large_value_that_is_no_text_comes_back(server15: Server, tmp_path: Path) -> None:
    with new_database(server15, ASCII) as original, new_database(server15, ASCII) as restored:
        execute(original, f"CREATE TABLE t AS SELECT repeat({NOT_UTF8}, 4200000) AS v")
        options = PostgresOptions(original, bin_dir=server15.bin_dir, facts="counts")
        made = PointBench(tmp_path / "repository", options)
        made.restore(made.backup(), restored)
        same(original, restored, "t")


def same(original: str, restored: str, table: str) -> None:
    query = f"SELECT md5(textsend({table}::text)) FROM {table} ORDER BY 1".encode()
    with raw(original) as before, raw(restored) as after:
        assert before.execute(query).fetchall() == after.execute(query).fetchall()


@contextmanager
def raw(url: str) -> Iterator[psycopg.Connection]:
    with psycopg.connect(url, client_encoding="sql_ascii", autocommit=True) as connection:
        yield connection


def test_the_rescue_writes_bytes_as_copy_reads_them() -> None:
    values = pa.array([b"caf\xe9\\", None, b""])
    assert texts(values, as_bytes=True).to_pylist() == ["\\x63\\x61\\x66\\xe9\\x5c", None, ""]


def test_only_columns_that_need_it_are_stored_as_bytes(server15: Server) -> None:
    with server15.database(ASCII) as url:
        execute(
            url,
            f"CREATE TABLE t AS SELECT 1 AS id, {NOT_UTF8} AS bad, 'ü'::text AS good, '{{1}}'::int[] AS a",
        )
        (table,) = capture(url).catalogue.tables
        assert {column.name: column.storage for column in table.columns} == {
            "id": Storage.NATIVE,
            "bad": Storage.BYTES,
            "good": Storage.NATIVE,
            "a": Storage.TEXT,
        }


@pytest.mark.parametrize("where", ["heap", "toast"])
def test_a_damaged_page_costs_its_table_and_no_other(server18: Server, database18: str, where: str) -> None:
    value = "(SELECT string_agg(md5(y::text), '') FROM generate_series(x, x + 90) y)"
    execute(
        database18,
        f"CREATE TABLE bad AS SELECT x, {value} AS v FROM generate_series(1, 500) x",
        "CREATE TABLE good AS SELECT 1 AS x",
    )
    with damaged_copy(server18, database18, "reltoastrelid" if where == "toast" else "oid") as url:
        found = capture(url)
        assert found.facts["row_counts"] == {"public.good": 1}
        assert found.capture.incomplete
        (problem,) = found.capture.problems
        assert (problem.path, problem.status) == ("public.bad", Status.UNREADABLE)
        assert "invalid page in block 2 " in problem.detail
        assert "exclude it in the plan" in problem.detail
        assert "damaged" in found.left_out["public.bad"]
        assert not capture(url, exclude=("bad",)).capture.incomplete


@contextmanager
def damaged_copy(server: Server, url: str, relation: str) -> Iterator[str]:
    """A copy of a database, of which the server has no page in memory; the third page of a table `bad` is garbage."""
    name = url.split("@/")[1].split("?")[0]
    copy = f"{name}_copy"
    execute(server.url(), f"CREATE DATABASE {copy} TEMPLATE {name} STRATEGY file_copy")
    try:
        query = f"SELECT pg_relation_filepath({relation}::regclass) FROM pg_class WHERE relname = 'bad'"
        place = fetch_value(server.url(copy), query)
        with open(f"{fetch_value(url, 'SHOW data_directory')}/{place}", "r+b") as file:
            file.seek(2 * 8192)
            file.write(os.urandom(8192))
        yield server.url(copy)
    finally:
        execute(server.url(), f"DROP DATABASE {copy} WITH (FORCE)")


def test_a_large_object_that_cannot_be_read_costs_the_large_objects(database18: str) -> None:
    execute(database18, "CREATE TABLE t AS SELECT 1 AS x", "SELECT lo_from_bytea(77, 'x')")
    execute(
        database18,
        "SET allow_system_table_mods = on; UPDATE pg_largeobject SET data = data || decode(repeat('00', 8000), 'hex')",
    )
    found = capture(database18)
    (problem,) = found.capture.problems
    assert found.capture.incomplete
    assert problem.path == "pg_largeobject"
    assert "large_objects: false" in problem.detail
    assert found.facts["row_counts"] == {"public.t": 1}
    assert found.facts["large_objects"] == 0
    assert found.database.large_objects == ()


def test_the_plan_leaves_large_objects_out(database18: str) -> None:
    execute(database18, "SELECT lo_from_bytea(77, 'x')", "CREATE TABLE t ()")
    found = capture(database18, large_objects=False)
    assert not found.capture.incomplete
    assert found.facts["large_objects"] == 0
    assert "large_objects: false in the plan leaves 1 out" in found.left_out["pg_largeobject"]
    assert capture(database18).facts["large_objects"] == 1


def test_a_database_of_which_nothing_may_be_read_is_an_error(database18: str) -> None:
    execute(database18, "CREATE ROLE plain LOGIN", "CREATE TABLE t ()")
    with pytest.raises(SourceError, match=r"may not read public\.t"):
        capture(database18.replace("postgres@", "plain@", 1))
