"""What a server notes for itself in options of columns is neither stored nor restored nor compared.

No test needs a server that does so: the options are put into archives of the servers that are there.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from backup_platform.sources.postgres.dump.archive_file import UnknownArchiveError, rewrite_definitions
from backup_platform.sources.postgres.dump.bookkeeping import strip_archive, without_bookkeeping
from backup_platform.sources.postgres.dump.pg_dump import dump_schema
from backup_platform.sources.postgres.tools import Tools
from backup_platform_tests.sources.postgres.drill.drill_support import captured
from backup_platform_tests.sources.postgres.servers import Server, execute

TABLE = """CREATE TABLE t (a int, b text DEFAULT 'SET (pg_attver=1);', "c d" int)"""
SET = "ALTER TABLE t ALTER a SET (n_distinct=5)"


def noted(kind: str, definition: bytes) -> bytes:
    """As pg_dump 18.6 writes the table of a server of 15.20."""
    if kind != "TABLE":
        return definition
    alone = b'ALTER TABLE ONLY public.t ALTER COLUMN "c d" SET (pg_attver=29701656);\n'
    return definition.replace(b"SET (n_distinct", b"SET (pg_attver=29701656, n_distinct") + alone


def archive_of(server: Server, url: str) -> bytes:
    command = [f"{server.bin_dir}/pg_dump", "--schema-only", "--format=custom", f"--dbname={url}"]
    return subprocess.run(command, check=True, capture_output=True).stdout


def script(server: Server, archive: bytes) -> bytes:
    command = [f"{server.bin_dir}/pg_restore", "--file=-"]
    return subprocess.run(command, check=True, capture_output=True, input=archive).stdout


def test_an_archive_is_the_same_without_the_notes(server: Server, database: str, tmp_path: Path) -> None:
    execute(
        database, TABLE, SET, "CREATE VIEW v AS SELECT 'SET (pg_attver=1);' AS n", "COMMENT ON TABLE t IS 'x'"
    )
    plain = archive_of(server, database)
    changed = rewrite_definitions(plain, noted)
    assert b"pg_attver=29701656, n_distinct=5" in script(server, changed)
    path = tmp_path / "schema.dump"
    path.write_bytes(changed)
    with path.open("r+b") as file:
        strip_archive(file)
    assert path.read_bytes() == plain


def test_a_capture_stores_the_schema_without_the_notes(
    server18: Server, database18: str, tmp_path: Path
) -> None:
    """A program in the place of pg_dump, that writes what pg_dump 18.6 does of a server of 15.20."""
    execute(database18, TABLE, SET)
    plain = archive_of(server18, database18)
    (tmp_path / "archive").write_bytes(rewrite_definitions(plain, noted))
    program = tmp_path / "pg_dump"
    program.write_text(f"#!/bin/sh\nexec cat {tmp_path}/archive\n")
    program.chmod(0o755)
    with (tmp_path / "stored").open("w+b") as file:
        dump_schema(Tools(str(tmp_path), 180_006), database18, file, snapshot="x", lock_timeout=1)
        file.seek(0)
        assert file.read() == plain


def test_a_file_that_is_no_archive_stays(tmp_path: Path) -> None:
    for content in (
        b"",
        b"pg_attver",
        b"PGDMP\x01\x63\0\x04\x08\x01pg_attver",
        b"PGDMP\x01\x0e\0\x04\x08\x01pg_attver",
    ):
        path = tmp_path / "file"
        path.write_bytes(content)
        with path.open("r+b") as file:
            strip_archive(file)
        assert path.read_bytes() == content


def test_an_archive_with_offsets_of_rows_is_not_rewritten(
    server: Server, database: str, tmp_path: Path
) -> None:
    execute(database, "CREATE TABLE t AS SELECT 1 AS a")
    path = tmp_path / "rows.dump"
    command = [f"{server.bin_dir}/pg_dump", "--format=custom", f"--file={path}", f"--dbname={database}"]
    subprocess.run(command, check=True)
    with pytest.raises(UnknownArchiveError):
        rewrite_definitions(path.read_bytes(), noted)


@pytest.mark.parametrize(
    ("written", "left"),
    [
        ("ALTER TABLE ONLY a.b ALTER COLUMN c SET (pg_attver=1);\n", ""),
        ('ALTER TABLE ONLY "a\nb".";" ALTER COLUMN "c\n""d" SET (pg_attver=1);\nx', "x"),
        ("ALTER FOREIGN TABLE ONLY a.b ALTER COLUMN c SET (pg_attver=1);", ""),
        (
            "ALTER TABLE ONLY t ALTER COLUMN c SET (n=1, pg_attver=2);",
            "ALTER TABLE ONLY t ALTER COLUMN c SET (n=1);",
        ),
        (
            "ALTER TABLE ONLY t ALTER COLUMN c SET (n=1, pg_attver=2, m=3);",
            "ALTER TABLE ONLY t ALTER COLUMN c SET (n=1, m=3);",
        ),
    ],
)
def test_only_the_note_goes(written: str, left: str) -> None:
    assert without_bookkeeping(written.encode()).decode() == left


@pytest.mark.parametrize(
    "kept",
    [
        "ALTER TABLE ONLY t ALTER COLUMN c SET (n_distinct=5);",
        "ALTER TABLE ONLY t ALTER COLUMN c SET (not_pg_attver=5);",
        "ALTER TABLE ONLY t ALTER COLUMN c SET DEFAULT 'SET (pg_attver=1)';",
        "    b text DEFAULT 'SET (pg_attver=1);',",
    ],
)
def test_nothing_else_goes(kept: str) -> None:
    assert without_bookkeeping(kept.encode()).decode() == kept


def test_a_point_that_was_stored_with_the_notes_is_restored_and_passes(
    database18: str, open_tmp: Path
) -> None:
    execute(database18, TABLE, SET, "INSERT INTO t VALUES (1, 'x', 2)")
    point = captured(database18, open_tmp)
    point.streams["schema.dump"] = rewrite_definitions(point.streams["schema.dump"], noted)
    assert b"pg_attver=29701656" in point.streams["schema.dump"]
    assert point.drill().differences == ()
