"""What stands against a restore, what breaks one, and what it says then."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from backup_platform.clock import SILENT, SystemClock
from backup_platform.domain.restoring import DatabaseTarget
from backup_platform.domain.tables import CATALOGUE_PATH
from backup_platform.errors import BackupError, TargetError
from backup_platform.sources.postgres.document import DATABASE_PATH, decode, encode
from backup_platform.sources.postgres.restore.run import plan_restore, run_restore
from backup_platform.sources.postgres.restore.target import MARKER, TargetDatabase
from backup_platform_tests.sources.postgres.points import Streams, recovery_point
from backup_platform_tests.sources.postgres.restore.restore_support import plan, restore, sample_point
from backup_platform_tests.sources.postgres.servers import (
    SECRET,
    Server,
    embedded_18,
    execute,
    fetch,
    fetch_value,
)

COMMENT = "SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = current_database()"


@pytest.fixture(scope="session")
def sample(server18: Server) -> Iterator[Streams]:
    with sample_point(server18) as streams:
        yield streams


class Notes:
    """A Progress that does something when it is told of a step."""

    def __init__(self, step: str, action: Any) -> None:
        self.step, self.action = step, action

    def begin(self, doing: str, unit: str = "file") -> None: ...

    def expect(self, *, items: int = 0, size: int = 0) -> None: ...

    def advance(self, *, items: int = 0, size: int = 0) -> None:
        if self.step == "advance":
            self.action()

    def note(self, text: str) -> None:
        if self.step in text:
            self.action()


def test_never_into_an_older_server(sample: Streams, database15: str) -> None:
    assert "is of PostgreSQL 18 and the server is older, 15" in plan(sample, database15).conflicts[0]
    with pytest.raises(TargetError, match="Nothing was written"):
        restore(sample, database15)
    assert fetch_value(database15, "SELECT count(*) FROM pg_namespace WHERE nspname = 'app'") == 0


def test_tools_older_than_the_dump_are_refused(sample: Streams, database18: str) -> None:
    with pytest.raises(TargetError, match=r"18 or newer"):
        plan_restore(
            recovery_point(), sample, DatabaseTarget(database18), bin_dir="/usr/lib/postgresql/15/bin"
        )


def test_newer_tools_on_an_older_server(server15: Server, database15: str) -> None:
    target = DatabaseTarget(database15, jobs=3)
    with sample_point(server15) as streams:
        planned = plan_restore(recovery_point(), streams, target, bin_dir=embedded_18())
        done = run_restore(planned, streams, SILENT, SystemClock(), bin_dir=embedded_18())
    assert ["postgresql-client-15" in text for text in done.warnings] == [True]
    assert (
        fetch_value(database15, "SELECT count(*) FROM pg_index WHERE indexrelid = 'app.child_x'::regclass")
        == 1
    )


def test_a_database_that_is_not_there_or_is_there_already(sample: Streams, server18: Server) -> None:
    assert "does not exist" in plan(sample, server18.url("nowhere")).conflicts[0]
    assert "exists already" in plan(sample, server18.url("postgres"), create=True).conflicts[0]


def test_an_extension_that_the_server_lacks(
    sample: Streams, database18: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    standing = TargetDatabase.standing
    monkeypatch.setattr(
        TargetDatabase, "standing", lambda self: replace(standing(self), extensions=frozenset({"plpgsql"}))
    )
    planned = plan(sample, database18)
    assert planned.left_out == (
        "The extension pg_trgm is not restored: the server lacks it; install it there.",
    )
    assert planned.conflicts == ()
    assert plan(sample, database18, tables=("one",)).left_out == ()


def test_a_missing_role_loses_only_what_names_it(server18: Server, server15: Server) -> None:
    execute(server15.url(), "CREATE ROLE stays", "CREATE ROLE goes")
    more = """GRANT SELECT ON app.parent TO goes; GRANT SELECT ON app.parent TO stays;
              ALTER TABLE one OWNER TO goes; CREATE POLICY lost ON app.parent TO goes USING (true);"""
    with sample_point(server15, more) as streams:
        execute(server18.url(), "CREATE ROLE stays")
        with server18.database() as url:
            done = restore(streams, url)
            assert fetch_value(url, "SELECT has_table_privilege('stays', 'app.parent', 'SELECT')")
            assert fetch(url, "SELECT polname FROM pg_policy") == [("p",)]
            assert fetch_value(url, "SELECT tableowner FROM pg_tables WHERE tablename = 'one'") == "postgres"
    assert "lacks the roles 'goes'" in done.warnings[0]
    assert "policy lost ON app.parent" in done.warnings[1]


def test_a_row_that_is_not_stored_is_missed(sample: Streams, database18: str) -> None:
    other = Streams()
    other.data = dict(sample.data)
    catalogue = json.loads(other.data[CATALOGUE_PATH])
    next(table for table in catalogue["tables"] if table["name"] == "one")["rows"] += 1
    other.data[CATALOGUE_PATH] = json.dumps(catalogue).encode()
    (failure,) = restore(other, database18).failures
    assert failure.what == "rows of public.one"
    assert "public.one has 8 rows, and holds 7. (7 of 8 rows are there)" in failure.said


def test_a_row_that_the_target_keeps_out_is_missed(
    sample: Streams, server18: Server, database18: str
) -> None:
    execute(server18.url(), "CREATE ROLE plain LOGIN")
    execute(
        database18,
        "CREATE TABLE one (said text)",
        "CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'",
        "CREATE TRIGGER no BEFORE INSERT ON one FOR EACH ROW WHEN (new.said = '') EXECUTE FUNCTION no()",
        "GRANT SELECT, INSERT ON one TO plain",
    )
    url = database18.replace("postgres@", "plain@")
    planned = plan(sample, url, data_only=True, tables=("one",))
    assert "Triggers of public.one fire" in planned.warnings[1]
    (failure,) = restore(sample, url, data_only=True, tables=("one",)).failures
    assert failure.what == "rows of public.one"
    assert "the server took 3 of 4 rows: a trigger rejected some (3 of 7 rows" in failure.said


def test_a_lost_connection_says_what_is_done_and_how_to_go_on(sample: Streams, database18: str) -> None:
    def kill() -> None:
        query = """SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                    WHERE datname = current_database() AND pid <> pg_backend_pid()"""
        fetch(database18, query)

    with pytest.raises(TargetError, match="closed the connection") as caught:
        restore(sample, database18, Notes("advance", kill))
    assert "of 9 tables were loaded" in caught.value.hint
    assert "Drop the database" in caught.value.hint
    assert (
        "holds a restore that was not finished: shop, window 2026-11-22"
        in plan(sample, database18).conflicts[0]
    )


KILLED = """
import os, pickle, sys
from backup_platform_tests.sources.postgres.restore.restore_support import restore
from backup_platform_tests.sources.postgres.restore.test_failures import Notes
streams = pickle.load(open(sys.argv[1], "rb"))
restore(streams, sys.argv[2], Notes("loading", lambda: os.kill(os.getpid(), 9)), create=True)
"""


def test_what_a_killed_restore_leaves_is_recognised(
    sample: Streams, server18: Server, tmp_path: Path
) -> None:
    (tmp_path / "point").write_bytes(pickle.dumps(sample))
    url, other = server18.url("half"), server18.url("whole")
    try:
        command = [sys.executable, "-c", KILLED, str(tmp_path / "point"), url]
        assert subprocess.run(command, check=False).returncode == -9
        assert fetch_value(url, COMMENT).startswith(f"{MARKER}shop, window 2026-11-22")
        assert "Drop it (DROP DATABASE)" in plan(sample, url, create=True).conflicts[0]
        restore(sample, other, create=True)
        assert fetch_value(other, COMMENT) is None
    finally:
        execute(server18.url(), "DROP DATABASE IF EXISTS half", "DROP DATABASE IF EXISTS whole")


def test_the_comment_of_the_target_is_kept(sample: Streams, database18: str) -> None:
    name = database18.split("@/")[1].split("?")[0]
    execute(database18, f"COMMENT ON DATABASE {name} IS 'mine\nand yours'")
    seen: list[str] = []
    restore(sample, database18, Notes("loading", lambda: seen.append(fetch_value(database18, COMMENT))))
    assert seen[0].startswith(MARKER)
    assert fetch_value(database18, COMMENT) == "mine\nand yours"


def test_a_password_is_used_and_never_told(sample: Streams, secret_url: str) -> None:
    planned = plan(sample, secret_url)
    assert SECRET not in repr(planned)
    assert restore(sample, secret_url).rows == planned.rows
    wrong = secret_url.replace("s3cret", "wr0ng")
    with pytest.raises(TargetError, match="refused the login") as caught:
        plan(sample, wrong)
    assert "wr0ng" not in f"{caught.value!r} {caught.value.hint}"


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("postgresql://postgres@127.0.0.1:1/x", "cannot be reached"),
        ("postgresql://us:se/cr et@host/x y", "url is neither"),
    ],
)
def test_a_target_that_cannot_be_reached(sample: Streams, url: str, said: str) -> None:
    with pytest.raises(BackupError, match=said) as caught:
        plan(sample, url)
    assert isinstance(caught.value, TargetError)
    assert "se/cr" not in str(caught.value)


def test_a_locale_that_the_server_lacks(sample: Streams, server18: Server) -> None:
    other = Streams()
    document = decode(sample.data[DATABASE_PATH])
    other.data = sample.data | {
        DATABASE_PATH: encode(replace(document, locale=replace(document.locale, collate="xx_XX")))
    }
    with pytest.raises(TargetError, match="locale") as caught:
        restore(other, server18.url("never"), create=True)
    assert "without --create" in caught.value.hint
    assert plan(sample, server18.url("never"), create=True).conflicts == ()


def test_on_request_the_first_failure_is_told_and_not_what_follows_from_it(
    sample: Streams, database18: str
) -> None:
    """One table fails while another is loaded for longer."""
    execute(
        database18, "CREATE TABLE one (said int)", "CREATE TABLE part (id int, k int) PARTITION BY RANGE (k)"
    )
    execute(database18, "CREATE TABLE part1 PARTITION OF part FOR VALUES FROM (0) TO (5)")
    with pytest.raises(TargetError, match=r"table public\.(one|part1), refused") as caught:
        restore(sample, database18, data_only=True, tables=("one", "part1"), exit_on_error=True)
    assert "0 of 2 tables were loaded" in caught.value.hint


def test_a_url_without_a_database(sample: Streams, server18: Server) -> None:
    url = server18.url("").replace("@/?", "@?")
    with pytest.raises(TargetError, match="names no database"):
        plan(sample, url)
