"""What the server does not take is named, and everything else is restored."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from backup_platform.advice import written
from backup_platform.domain.restoring import DatabaseRestoreSummary
from backup_platform.errors import TargetError
from backup_platform.sources.postgres.contents import read_contents
from backup_platform.sources.postgres.dump.pg_restore import Archive, ToolError, without_second_tries
from backup_platform.sources.postgres.dump.toc import parse_toc
from backup_platform.sources.postgres.restore.target import MARKER
from backup_platform.sources.postgres.tools import Tools
from backup_platform_tests.sources.postgres.points import Streams, capture_by_hand
from backup_platform_tests.sources.postgres.restore.restore_support import restore
from backup_platform_tests.sources.postgres.servers import Server, execute, fetch, fetch_value

# Each table, key and view of these is right in the source, and is refused where nothing but itself is there.
BROKEN = """
CREATE FUNCTION hexed(v bytea) RETURNS text LANGUAGE sql IMMUTABLE AS 'SELECT encode(v, ''hex'')';
CREATE FUNCTION hexed(v uuid) RETURNS text LANGUAGE sql IMMUTABLE AS 'SELECT hexed(uuid_send(v))';
CREATE TABLE generated (n serial, id uuid, e text GENERATED ALWAYS AS (hexed(id)) STORED, UNIQUE (id));
CREATE MATERIALIZED VIEW of_generated AS SELECT id FROM generated;
CREATE TABLE parent (id int PRIMARY KEY);
CREATE TABLE child (pid int CONSTRAINT lost REFERENCES parent);
INSERT INTO parent VALUES (1);
INSERT INTO child VALUES (1);
CREATE MATERIALIZED VIEW fine AS SELECT count(*) FROM child;
CREATE TABLE z_kind (code int PRIMARY KEY);
CREATE FUNCTION known(c int) RETURNS boolean LANGUAGE sql STABLE
    AS 'SELECT EXISTS (SELECT FROM public.z_kind WHERE code = c)';
INSERT INTO z_kind VALUES (1);
CREATE TABLE a_item (code int CHECK (known(code)), pad text);
INSERT INTO a_item SELECT 1, repeat('p', 200) FROM generate_series(1, 500);
CREATE FUNCTION allowed(c int) RETURNS boolean LANGUAGE sql AS 'SELECT true';
CREATE TABLE unknown (code int CHECK (allowed(code)));
INSERT INTO unknown VALUES (2);
CREATE OR REPLACE FUNCTION allowed(c int) RETURNS boolean LANGUAGE sql AS 'SELECT c <> 2';
CREATE MATERIALIZED VIEW counted AS SELECT 1 / count(*) FROM unknown;
SET session_replication_role = replica;
DELETE FROM parent;
"""
COMMENT = "SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = current_database()"


@pytest.fixture(scope="module", params=[15, 18], ids=["pg15", "pg18"])
def server(request: pytest.FixtureRequest) -> Server:
    found = request.getfixturevalue(f"server{request.param}")
    assert isinstance(found, Server)
    return found


@pytest.fixture(scope="module")
def broken(server: Server) -> Iterator[Streams]:
    with server.database() as url:
        execute(url, BROKEN)
        yield capture_by_hand(url, server.bin_dir)


@pytest.fixture(scope="module")
def restored(server: Server, broken: Streams) -> Iterator[tuple[str, DatabaseRestoreSummary]]:
    with server.database() as url:
        yield url, restore(broken, url)


def test_each_thing_is_named_once_and_what_needs_it_after_it(
    restored: tuple[str, DatabaseRestoreSummary],
) -> None:
    _, done = restored
    assert [failure.what for failure in done.failures if not failure.because] == [
        "table public.generated",
        "rows of public.unknown",
        "fk constraint public.child lost",
        "rows of materialized view public.counted",
    ]
    because = {failure.what: failure.because for failure in done.failures if failure.because}
    assert because.pop("rows of public.generated") == "table public.generated"
    assert set(because.values()) <= {"table public.generated", "materialized view public.of_generated"}
    assert "constraint public.generated generated_id_key" in because


def test_the_servers_words_and_the_entry_are_given(restored: tuple[str, DatabaseRestoreSummary]) -> None:
    _, done = restored
    found = {failure.what: failure for failure in done.failures}
    assert found["table public.generated"].said == "function hexed(bytea) does not exist"
    key = found["fk constraint public.child lost"]
    assert key.said.endswith('violates foreign key constraint "lost"')
    assert "; FK CONSTRAINT public child lost postgres" in key.entry
    assert "(pid)=(1)" not in str(done), "rows are nobody's business in a log"
    assert "--data-only --table public.generated" in written(done.advice[-1])
    assert "add the key with NOT VALID" in written(done.advice[-2])


def test_all_else_is_there(restored: tuple[str, DatabaseRestoreSummary]) -> None:
    url, done = restored
    assert (done.complete, done.tables, done.rows) == (False, 4, 502)
    assert fetch(url, "SELECT (SELECT count(*) FROM child), (SELECT count FROM fine)") == [(1, 1)]
    assert fetch_value(url, "SELECT reltuples FROM pg_class WHERE relname = 'a_item'") == 500
    assert fetch_value(url, COMMENT) is None, "a restore that went to its end is no unfinished one"


def test_on_request_it_stops_where_the_first_failed(broken: Streams, server: Server) -> None:
    with server.database() as url:
        with pytest.raises(
            TargetError, match=r"Table public\.generated was not restored: function"
        ) as caught:
            restore(broken, url, exit_on_error=True)
        assert "0 of 6 tables were loaded. Drop the database" in caught.value.hint
        assert fetch_value(url, "SELECT count(*) FROM z_kind") == 0
        assert fetch_value(url, COMMENT).startswith(MARKER)


# Of several processes that write at once, the first words of a report may come twice and its end elsewhere.
TORN = """#!/bin/sh
case "$*" in
*--jobs=4*) {0} "$@" 2>&1 >/dev/null | sed 's/^pg_restore: error/pg_restore: pg_restore: error/' >&2; exit 1 ;;
esac
exec {0} "$@"
"""


def test_reports_of_processes_that_run_into_each_other_lose_no_name(
    server: Server, broken: Streams, tmp_path: Path
) -> None:
    program = tmp_path / "pg_restore"
    program.write_text(TORN.format(f"{server.bin_dir}/pg_restore"))
    program.chmod(0o755)
    contents = read_contents(broken)
    archive = Archive(Tools(str(tmp_path), contents.database.dump_version), str(tmp_path / "schema.dump"))
    contents.save_schema(archive.path)
    with server.database() as url:
        name = fetch_value(url, "SELECT current_database()")
        execute(url, "CREATE TABLE child ()", "CREATE TABLE parent (id int)", "CREATE SEQUENCE parent_pkey")
        alone, torn = (
            archive.restore(url, name, "post-data", entries=None, jobs=jobs, options=[]).errors
            for jobs in (1, 4)
        )
    labels = {entry.id: entry.label for entry in parse_toc(archive.listing(), {"public"}, ())}
    named = {labels[error.entry] for error in torn}
    assert {"constraint public.parent parent_pkey", "fk constraint public.child lost"} <= named
    assert set(torn) == set(alone)


def test_of_what_a_second_try_finds_made_only_the_rest_is_an_error() -> None:
    there = ToolError('ERROR:  relation "x" already exists', "CREATE INDEX x ON t (a);", 1)
    owner = ToolError("ERROR:  must be able to SET ROLE", "ALTER INDEX x OWNER TO y;", 1)
    other = replace(there, entry=2)
    assert without_second_tries([there, owner, other]) == [owner, other]
