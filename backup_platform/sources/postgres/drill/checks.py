"""Checks that need a running server: that indexes agree with their tables, and the user's assertions."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from backup_platform.errors import SourceError
from backup_platform.sources.postgres.connect.connections import (
    connect,
    describe,
    tool_environment,
    writer_conninfo,
)
from backup_platform.sources.postgres.drill.scratch import Scratch
from backup_platform.sources.postgres.failures import postgres_errors
from backup_platform.sources.postgres.restore.two_roles.division import carry_out
from backup_platform.sources.postgres.tools import find_tools, run_tool

if TYPE_CHECKING:
    from backup_platform.sources.postgres.connect.connections import Connection

AMCHECK_SINCE = 14  # the program, and the check of tables
ASSERTION_TIMEOUT_S = 600
_SCHEMA = "backup_platform_amcheck"
_NOTHING = "no relations to check"
_TO_BE_CALLED = """
SELECT format('GRANT ALL ON ROUTINE %%s TO %%I', d.objid::regprocedure, %(runner)s::text)
  FROM pg_depend d JOIN pg_extension e ON e.oid = d.refobjid AND d.refclassid = 'pg_extension'::regclass
 WHERE e.extname = 'amcheck' AND d.classid = 'pg_proc'::regclass AND d.deptype = 'e'
UNION ALL
SELECT format('GRANT USAGE ON SCHEMA %%I TO %%I', n.nspname, %(runner)s::text)
  FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace WHERE e.extname = 'amcheck'
"""
_SHOWN = 120
_LINES = 10


def assertion_differences(target: Scratch, assertions: Sequence[str]) -> Iterator[str]:
    """Each query must return one row with true. They run in transactions that cannot write."""
    if not assertions:
        return
    with (
        connect(target.url, own_search_path=True) as connection,
        postgres_errors(describe(target.url)),
    ):
        connection.execute("SET search_path = DEFAULT")  # that of the user's own queries
        connection.execute(f"SET statement_timeout = '{ASSERTION_TIMEOUT_S}s'".encode())
        for assertion in assertions:
            if problem := _problem(connection, assertion):
                yield f"assertion {assertion[:_SHOWN]!r} {problem}."


def _problem(connection: Connection, assertion: str) -> str:
    import psycopg

    try:
        connection.execute("BEGIN TRANSACTION READ ONLY")
        cursor = connection.execute(assertion.encode())
        rows = cursor.fetchmany(2) if cursor.description else []
    except psycopg.Error as error:
        if connection.closed:
            raise
        return f"failed: {str(error).splitlines()[0]}"
    finally:
        if not connection.closed:
            connection.execute("ROLLBACK")
    if len(rows) != 1 or len(rows[0]) != 1:
        return "did not return one row of one column"
    return "" if rows[0][0] is True else f"returned {str(rows[0][0])[:_SHOWN]}"


def damaged_indexes(target: Scratch, jobs: int) -> tuple[str, list[str]]:
    """ "ok", "failed" or why pg_amcheck could not be run; and what it found. Before 14 servers check indexes alone."""
    try:
        tools = find_tools(max(AMCHECK_SINCE, target.major), prefer=target.major, needs=("pg_amcheck",))
    except SourceError:
        return f"not available: no pg_amcheck for PostgreSQL {target.major}", []
    problem = _install(target)
    if problem:
        return f"not available: {problem}", []
    arguments = ["--heapallindexed", "--parent-check", f"--jobs={jobs}"]
    arguments += ["--no-strict-names", "--exclude-schema=pg_catalog", "--exclude-schema=information_schema"]
    whole = target.major >= AMCHECK_SINCE
    arguments += [] if whole else ["--index=*"]
    with tempfile.TemporaryFile() as output, tool_environment(target.url) as environment:
        try:
            run_tool(
                tools,
                "pg_amcheck",
                [*arguments, writer_conninfo(target.url)],
                environment,
                stdout=output,
            )
        except SourceError as error:
            if _NOTHING in error.said:
                return "ok", []
            output.seek(0)
            found = [line.decode("utf-8", "replace").strip() for line in output]
            found = [line for line in found if line] or [error.message]
            return "failed", [f"pg_amcheck: {line}" for line in found[:_LINES]]
    return "ok" if whole else f"ok: indexes; PostgreSQL {target.major} cannot check tables", []


def _install(target: Scratch) -> str:
    """Why the extension is not there, "" when it is."""
    import psycopg

    there = "SELECT FROM pg_extension WHERE extname = 'amcheck'"
    with connect(target.definitions) as connection:
        try:
            if not connection.execute(there).fetchone():
                _create(connection)
            if target.pair:
                carry_out(connection, _TO_BE_CALLED, runner=target.pair.user)
        except psycopg.Error as error:
            return str(error).splitlines()[0]
    return ""


def _create(connection: Connection) -> None:
    connection.execute("SET session_replication_role = replica")  # the user's event triggers stay silent
    connection.execute(f"CREATE SCHEMA {_SCHEMA}".encode())
    connection.execute(f"CREATE EXTENSION amcheck WITH SCHEMA {_SCHEMA}".encode())
