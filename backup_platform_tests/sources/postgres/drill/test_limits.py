"""Code of a database that does not end keeps no drill for longer than its time limit."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from backup_platform.actions.drill import drill_in_time
from backup_platform.clock import SILENT
from backup_platform.domain.time_limit import TimeLimit
from backup_platform.errors import TimeLimitError
from backup_platform_tests.sources.postgres.drill.drill_support import captured, point_of
from backup_platform_tests.sources.postgres.servers import Server, execute
from backup_platform_tests.support import Restored

LIMIT_S = 4.0
# In the source, whose name of the database is known, it ends at once.
_ENDLESS = """
CREATE FUNCTION public.endless(i int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS $f$
BEGIN
  PERFORM pg_catalog.set_config('statement_timeout', '0', false);
  WHILE EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = 'backup_platform_runner')
     OR starts_with(current_database(), 'backup_platform_drill_') LOOP END LOOP;
  RETURN i;
END $f$
"""
_TABLE = "CREATE TABLE t (i int)"
_CASES = {
    "a check": ("CREATE TABLE t (i int CHECK (public.endless(i) = i))",),
    "an index": (_TABLE, "CREATE INDEX ON t (public.endless(i))"),
    "an assertion": (_TABLE, "CREATE VIEW v AS SELECT public.endless(i) = i FROM t"),
}


@pytest.mark.parametrize(
    ("case", "place"),
    [
        ("a check", "on a server"),
        ("an index", "on a server"),
        ("an index", "private"),
        ("an assertion", "private"),
    ],
)
def test_code_that_does_not_end_is_ended(case: str, place: str, server15: Server, open_tmp: Path) -> None:
    with server15.database() as url:
        execute(url, _ENDLESS, *_CASES[case], "INSERT INTO t VALUES (1)")
        assertions = ("TABLE v",) if case == "an assertion" else ()
        drilled = captured(url, open_tmp, assertions=assertions)
        if place == "on a server":
            drilled = drilled.with_options(drill_server=server15.url())
        began, sandbox = time.monotonic(), Restored(str(drilled.sandbox), TimeLimit(LIMIT_S))
        with pytest.raises(TimeLimitError, match="ended after 0:00:04, its time limit"):
            drill_in_time(drilled.source, point_of(drilled), drilled.streams, sandbox, SILENT)
        assert time.monotonic() - began < LIMIT_S + 30
    assert [path.name for path in open_tmp.iterdir()] == ["sandbox"]
