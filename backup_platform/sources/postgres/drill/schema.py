"""The schema of the restored database, as pg_dump writes it, against the one that is stored.

PostgreSQL prints a definition from its parsed form, and what it prints may be parsed into another form: a `CHECK (v IN
(…))` of a varchar is written in two ways, one after the other, and columns of inheritance trees are reordered. So a
text that is not the stored one may be right. Then pg_restore alone, without any step of this program's restore,
restores the stored schema into a second, empty database, and the same pg_dump must write the same text of both.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from typing import IO

from backup_platform.domain.model import Json
from backup_platform.domain.ports import Clock
from backup_platform.errors import SourceEncodingError, SourceError, TargetError
from backup_platform.sources.postgres.connect.connections import connect, tool_conninfo, tool_environment
from backup_platform.sources.postgres.connect.connections import parse as parse_url
from backup_platform.sources.postgres.contents import PointContents
from backup_platform.sources.postgres.document import CapturedDatabase
from backup_platform.sources.postgres.drill.schema_diff import (
    Schema,
    differences,
    of_whom_it_was,
    parse,
    unlike,
    without_roles,
)
from backup_platform.sources.postgres.drill.scratch import Scratch, second_database
from backup_platform.sources.postgres.dump.bookkeeping import without_bookkeeping
from backup_platform.sources.postgres.dump.pg_restore import Archive, ToolError
from backup_platform.sources.postgres.restore.plan import toc_of
from backup_platform.sources.postgres.restore.two_roles.division import Division, Pair
from backup_platform.sources.postgres.tools import Tools, find_tools, run_tool
from backup_platform.sources.tabular.findings import Findings

_NEEDS = ("pg_dump", "pg_restore")


def compare_schema(
    contents: PointContents, target: Scratch, bin_dir: str | None, directory: str, clock: Clock
) -> Findings:
    """Raises `SourceError`, `DamageError`."""
    document = contents.database
    dumped = document.dump_version // 10_000
    tools = _tools(max(dumped, target.major), bin_dir, dumped)
    missing_roles, options = _options(target, document)

    def comparable(schema: Schema, like: Schema | None = None) -> Schema:
        if like is not None and target.pair is not None:
            schema = of_whom_it_was(schema, parse_url(target.pair.superuser)["user"], like)
        return without_roles(schema, missing_roles) if missing_roles else schema

    with tempfile.TemporaryDirectory(dir=directory) as private:
        archive = Archive(tools, os.path.join(private, "schema.dump"))
        contents.save_schema(archive.path)
        stored = comparable(_rendered(archive, options))
        restored = comparable(_dumped(target.definitions, tools, options), stored)
        expected: Schema = {}
        errors: list[ToolError] = []
        if again := unlike(stored, restored):
            with second_database(target, document, clock) as url:
                errors = _restored_alone(archive, url, options, contents, target.pair)
                expected = comparable(_dumped(url, tools, options), stored)
    found = list(differences(stored, restored, expected))
    if found and errors:
        found.append(f"schema: pg_restore alone reports for the stored schema: {errors[0]}.")
    compared: dict[str, Json] = {"schema_objects": sum(map(len, stored.values())), "schema": "definitions"}
    return Findings(found, compared | ({"schema_restored_again": True} if again else {}))


def _tools(minimum: int, bin_dir: str | None, prefer: int) -> Tools:
    try:
        if bin_dir is not None:
            return find_tools(minimum, prefer=prefer, bin_dir=bin_dir, needs=_NEEDS)
    except SourceError:
        pass
    return find_tools(minimum, prefer=prefer, needs=_NEEDS)


def _options(target: Scratch, document: CapturedDatabase) -> tuple[frozenset[str], Sequence[str]]:
    """Roles that the server lacks, and what both dumps leave out because of them or of missing tablespaces."""
    with connect(target.url) as connection:
        roles = {row[0] for row in connection.execute("SELECT rolname FROM pg_roles")}
        spaces = {row[0] for row in connection.execute("SELECT spcname FROM pg_tablespace")}
    missing = frozenset(document.roles) - roles
    options = ["--no-owner", "--no-privileges"] if missing else []
    if set(document.tablespaces) - spaces:
        options.append("--no-tablespaces")
    return missing, options


def _rendered(archive: Archive, options: Sequence[str]) -> Schema:
    with tempfile.TemporaryFile() as output:
        run_tool(archive.tools, "pg_restore", ["--file=-", *options, archive.path], stdout=output)
        return _parsed(output)


def _restored_alone(
    archive: Archive, url: str, options: Sequence[str], contents: PointContents, pair: Pair | None
) -> list[ToolError]:
    try:
        if pair is None:
            return archive.restore_all(url, options)
        toc = toc_of(contents, archive)
        division = Division(archive, toc, pair, parse_url(url)["dbname"], options)
        first = division.before_data()
        return [*first.errors, *division.after_data(1).errors, *division.at_last()]
    except TargetError as error:
        raise SourceError(error.message, hint=error.advice, retryable=error.retryable) from error


def _dumped(url: str, tools: Tools, options: Sequence[str]) -> Schema:
    """As a capture dumps it."""
    try:
        return _dumped_as("UTF8", url, tools, options)
    except SourceEncodingError:
        return _dumped_as("SQL_ASCII", url, tools, options)


def _dumped_as(encoding: str, url: str, tools: Tools, options: Sequence[str]) -> Schema:
    arguments = ["--schema-only", f"--encoding={encoding}", *options, f"--dbname={tool_conninfo(url)}"]
    with tempfile.TemporaryFile() as output, tool_environment(url) as environment:
        run_tool(tools, "pg_dump", arguments, environment, stdout=output)
        return _parsed(output)


def _parsed(output: IO[bytes]) -> Schema:
    output.seek(0)
    return parse(without_bookkeeping(output.read()).decode("utf-8", "surrogateescape").split("\n"))
