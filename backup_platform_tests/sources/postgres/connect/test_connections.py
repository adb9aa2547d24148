"""Connections: what they pin, what they say when they fail, and where secrets go."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backup_platform.errors import SourceError, SourceMissingError
from backup_platform.sources.postgres.connect.connections import (
    adbc_uri,
    connect,
    describe,
    milliseconds,
    tool_conninfo,
    tool_environment,
)
from backup_platform.sources.postgres.connect.settings import PINNED, pin_statement
from backup_platform.sources.postgres.failures import as_source_error
from backup_platform.sources.postgres.quoting import identifier, literal
from backup_platform_tests.sources.postgres.capture_support import Steps, capture
from backup_platform_tests.sources.postgres.servers import SECRET, Server, execute

SECRET_URL = "postgresql://u:s3%3Acret@db.example:6543/shop?sslmode=require"


def test_every_setting_is_pinned(server: Server) -> None:
    with connect(server.url(), lock_timeout=1.5) as connection:
        for name, value in PINNED.items():
            row = connection.execute("SELECT current_setting(%s, true)", [name]).fetchone()
            assert row is not None
            assert row[0] in (value, None) or name == "lock_timeout"
        assert connection.execute("SHOW lock_timeout").fetchone() == ("1500ms",)


def test_pinned_settings_are_the_same_for_adbc(server: Server) -> None:
    import adbc_driver_postgresql.dbapi

    opened = adbc_driver_postgresql.dbapi.connect(adbc_uri(server.url()), autocommit=True)
    with opened, opened.cursor() as cursor:
        cursor.execute(pin_statement())
        assert cursor.fetchall()[0][0] >= len(PINNED) - 2
        cursor.execute("SELECT current_setting('row_security'), current_setting('TimeZone')")
        assert cursor.fetchall() == [("off", "UTC")]


@given(st.text(alphabet="a'\\\"é\n", max_size=8).filter(str.strip))
def test_literals_and_identifiers_hold_any_text(server18_url: str, text: str) -> None:
    with psycopg.connect(server18_url) as connection:
        row = connection.execute(f"SELECT {literal(text)} AS {identifier(text)}".encode())
        assert row.description is not None
        assert (row.fetchone(), row.description[0].name) == ((text,), text)


@pytest.fixture(scope="module")
def server18_url(request: pytest.FixtureRequest) -> str:
    url = request.getfixturevalue("server18").url()
    assert isinstance(url, str)
    return url


@pytest.mark.parametrize(
    ("change", "kind", "text", "retryable"),
    [
        ({"dbname": "nowhere"}, SourceMissingError, "no such database", False),
        ({"user": "nobody_at_all"}, SourceError, "refused the login", False),
        ({"port": "1"}, SourceError, "cannot be reached", True),
        ({"host": "no-such-host.invalid"}, SourceError, "cannot be (found|reached)", None),
        ({"host": "/nowhere"}, SourceError, "cannot be reached", True),
    ],
)
def test_connections_that_fail(
    server18: Server, change: dict[str, str], kind: type[SourceError], text: str, retryable: bool | None
) -> None:
    with pytest.raises(kind, match=text) as caught:
        connect(server18.url(), lock_timeout=0, own_search_path=False, **change)
    assert retryable is None or caught.value.retryable is retryable
    assert caught.value.hint


def test_a_wrong_password_is_permanent_and_not_repeated(secret_url: str) -> None:
    wrong = secret_url.replace("keeper:", "keeper:wr0ng-", 1)
    with pytest.raises(SourceError, match="refused the login") as caught:
        connect(wrong)
    assert not caught.value.retryable
    assert "wr0ng" not in str(caught.value)


@pytest.mark.parametrize("url", ["postgresql://u:hunter2@h:1/x?y", "hunter2", "password=hunter2 nonsense"])
def test_a_url_that_cannot_be_read_is_not_repeated(url: str) -> None:
    with pytest.raises(SourceError) as caught:
        connect(url)
    assert "hunter2" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_descriptions_hold_no_secret() -> None:
    assert describe(SECRET_URL) == "PostgreSQL database 'shop' at db.example:6543"
    assert describe("host=/tmp dbname=x password=s3cret") == "PostgreSQL database 'x' on local port 5432"
    assert describe("service=shop password=s3cret") == "PostgreSQL of service shop"


def test_tools_find_the_password_in_a_private_file() -> None:
    assert "s3" not in tool_conninfo(SECRET_URL)
    assert "sslmode=require" in tool_conninfo(SECRET_URL)
    with tool_environment(SECRET_URL) as environment:
        path = Path(environment["PGPASSFILE"])
        assert path.read_text() == "*:*:*:*:s3\\:cret\n"
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert "PGPASSWORD" not in environment
        assert not [value for value in environment.values() if "s3:cret" in value]
    assert not path.exists()


def test_a_url_without_a_password_leaves_the_users_own_file_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGPASSFILE", "/home/me/.pgpass")
    with tool_environment("host=h") as environment:
        assert environment["PGPASSFILE"] == "/home/me/.pgpass"


def test_secrets_that_tools_would_show_are_refused() -> None:
    with pytest.raises(SourceError, match="sslpassword") as caught:
        tool_conninfo("host=h sslpassword=hunter2")
    assert "hunter2" not in str(caught.value)


def test_no_process_is_started_with_the_password(secret_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Over TCP with a password of every awkward character, and every command line looked at."""
    execute(secret_url, "CREATE TABLE t AS SELECT 1 AS x")
    seen: list[list[str]] = []
    honest = subprocess.Popen

    class Watched(honest):  # type: ignore[valid-type, misc]
        def __init__(self, arguments: list[str], *rest: Any, **options: Any) -> None:
            seen.append(arguments)
            super().__init__(arguments, *rest, **options)

    monkeypatch.setattr(subprocess, "Popen", Watched)
    steps = Steps()
    found = capture(secret_url, progress=steps)
    assert found.facts["rows"] == 1
    programs = {os.path.basename(arguments[0]) for arguments in seen}
    assert programs >= {"pg_dump", "pg_dumpall", "pg_restore"}
    said = [*(text for arguments in seen for text in arguments), *steps.notes, repr(found.capture)]
    said += [found.recorder.content(path).decode("latin-1") for path in found.files]
    for secret in (SECRET, "s3cret", secret_url):
        assert not [text for text in said if secret in text]


def test_errors_of_tools_do_not_hold_the_password(secret_url: str) -> None:
    execute(secret_url, "CREATE TABLE t ()")

    def lock() -> None:
        with psycopg.connect(secret_url) as connection:
            connection.execute("LOCK TABLE pg_catalog.pg_class IN ACCESS EXCLUSIVE MODE")
            time.sleep(1.5)

    thread = threading.Thread(target=lock)
    impatient = f"{secret_url}?connect_timeout=2"  # pg_dump cannot connect without pg_class
    with pytest.raises(SourceError) as caught:
        capture(impatient, lock_timeout=0.3, progress=Steps(on_note=lambda text: _started(thread)))
    thread.join()
    assert "s3cret" not in repr(caught.value) + str(caught.value)
    assert caught.value.retryable


def _started(thread: threading.Thread) -> None:
    if not thread.is_alive() and thread.ident is None:
        thread.start()
        time.sleep(0.3)


@pytest.mark.parametrize(
    ("state", "text", "retryable"),
    [
        (psycopg.errors.AdminShutdown, "closed the connection", True),
        (psycopg.errors.CrashShutdown, "closed the connection", True),
        (psycopg.errors.SerializationFailure, "concurrent work", True),
        (psycopg.errors.UndefinedTable, "changed while", True),
        (psycopg.errors.TooManyConnections, "short of a resource", True),
        (psycopg.errors.DataCorrupted, "damaged", False),
        (psycopg.errors.InsufficientPrivilege, "denied access", False),
        (psycopg.errors.LockNotAvailable, "lock in time", True),
        (psycopg.errors.UntranslatableCharacter, "encoding", False),
        (psycopg.errors.SyntaxError, "reported an error", False),
        (psycopg.errors.ProgramLimitExceeded, "one of its limits", False),
    ],
)
def test_what_a_server_reports_says_whether_to_try_again(
    state: type[psycopg.Error], text: str, retryable: bool
) -> None:
    error = as_source_error(state("said"), "The server")
    assert text in error.message
    assert error.retryable is retryable


def test_a_positive_timeout_is_never_none() -> None:
    assert [milliseconds(seconds) for seconds in (0, 0.0001, 2.5)] == ["0", "1", "2500"]


def test_the_source_is_described_without_its_drivers() -> None:
    script = (
        "import sys; from backup_platform.sources.postgres.source import PostgresSource; "
        "from backup_platform.sources.postgres.options import PostgresOptions; "
        "PostgresSource('n', PostgresOptions('host=h'), None); "
        "print([m for m in ('psycopg', 'pyarrow', 'adbc_driver_manager', 'pandas') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True, text=True)
    assert done.stdout.strip() == "[]"
