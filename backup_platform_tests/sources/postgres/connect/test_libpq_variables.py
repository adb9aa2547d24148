"""A drill's private server is reached whatever the environment says of PostgreSQL."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import adbc_driver_postgresql.dbapi
import pytest

from backup_platform.clock import SystemClock
from backup_platform.domain.time_limit import TimeLimit
from backup_platform.sources.postgres.connect.connections import (
    adbc_uri,
    connect,
    tool_conninfo,
    tool_environment,
)
from backup_platform.sources.postgres.connect.libpq_variables import without_libpq_variables
from backup_platform.sources.postgres.document import CapturedDatabase, Locale
from backup_platform.sources.postgres.drill.scratch import scratch
from backup_platform.sources.postgres.options import PostgresOptions
from backup_platform.sources.postgres.tools import find_tools, run_tool

HOSTILE = {
    "PGPORT": "6543",
    "PGHOST": "/nowhere",
    "PGHOSTADDR": "192.0.2.1",
    "PGDATABASE": "none",
    "PGUSER": "nobody",
    "PGPASSWORD": "wrong",
    "PGPASSFILE": "/nowhere",
    "PGSERVICE": "none",
    "PGSERVICEFILE": "/nowhere",
    "PGOPTIONS": "-c statement_timeout=1 -c default_transaction_read_only=on",
    "PGSSLMODE": "verify-full",
    "PGSSLCERT": "/nowhere",
    "PGREQUIREPEER": "nobody",
    "PGREQUIREAUTH": "none",
    "PGGSSENCMODE": "require",
    "PGCHANNELBINDING": "require",
    "PGTARGETSESSIONATTRS": "standby",
    "PGCLIENTENCODING": "LATIN1",
    "PGTZ": "Asia/Tokyo",
    "PGDATA": "/nowhere",
}
DOCUMENT = CapturedDatabase(1, "shop", "owner", 180_000, 180_000, Locale("UTF8", "C", "C"))


@pytest.fixture
def hostile(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in HOSTILE.items():
        monkeypatch.setenv(name, value)


def test_nothing_is_taken_from_the_environment(hostile: None, open_tmp: Path) -> None:
    sandbox = open_tmp / "sandbox"
    sandbox.mkdir()
    with scratch(
        PostgresOptions("dbname=shop"), DOCUMENT, str(sandbox), SystemClock(), TimeLimit()
    ) as target:
        with connect(target.url) as connection:
            assert connection.execute("SHOW statement_timeout").fetchone() == ("0",)
            connection.execute("CREATE TABLE public.t (a int)")
        with adbc_driver_postgresql.dbapi.connect(adbc_uri(target.url)) as arrow, arrow.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM public.t")
            assert cursor.fetchone() == (0,)
        with tempfile.TemporaryFile() as output, tool_environment(target.url) as environment:
            arguments = [f"--dbname={tool_conninfo(target.url)}"]
            run_tool(find_tools(18, prefer=18), "pg_dump", arguments, environment, stdout=output)
            output.seek(0)
            assert b"CREATE TABLE public.t" in output.read()
    assert os.environ["PGPORT"] == "6543"


def test_the_environment_is_back_after_the_last_block(hostile: None) -> None:
    first, second = without_libpq_variables(), without_libpq_variables()
    with first:
        second.__enter__()
        assert not HOSTILE.keys() & os.environ.keys()
    assert "PGPORT" not in os.environ
    second.__exit__(None, None, None)
    assert os.environ.items() >= HOSTILE.items()
