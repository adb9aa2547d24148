"""The schema of the restored database, as pg_dump writes it, against the one that is stored."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from typing import IO

from backup_platform.errors import SourceError
from backup_platform.sources.postgres.bookkeeping import without_bookkeeping
from backup_platform.sources.postgres.connecting import connect, tool_conninfo, tool_environment
from backup_platform.sources.postgres.contents import PointContents
from backup_platform.sources.postgres.document import Database
from backup_platform.sources.postgres.findings import Findings
from backup_platform.sources.postgres.schema_diff import Schema, differences, names_only, parse, without_roles
from backup_platform.sources.postgres.scratch import Scratch
from backup_platform.sources.postgres.tools import Tools, find_tools, run_tool

_NEEDS = ("pg_dump", "pg_restore")


def compare_schema(contents: PointContents, target: Scratch, bin_dir: str | None, directory: str) -> Findings:
    """Definitions are compared where a pg_dump of the version that wrote the stored ones can read the server;
    otherwise names and owners, and `compared` says so. Raises `SourceError`, `DamageError`."""
    document = contents.database
    dumped = document.dump_version // 10_000
    tools = _tools(max(dumped, target.major), bin_dir, dumped)
    missing_roles, options = _options(target, document)
    stored = _rendered(contents, tools, options, directory)
    restored = _dumped(target, tools, options)
    if missing_roles:
        stored, restored = without_roles(stored, missing_roles), without_roles(restored, missing_roles)
    compared = "definitions"
    if tools.major != dumped:
        stored, restored = names_only(stored), names_only(restored)
        compared = f"names: pg_dump {dumped} is not there or cannot read PostgreSQL {target.major}"
    same = target.major == document.server_version // 10_000
    found = list(differences(stored, restored, same_major=same))
    return Findings(found, {"schema_objects": sum(map(len, stored.values())), "schema": compared})


def _tools(minimum: int, bin_dir: str | None, prefer: int) -> Tools:
    try:
        if bin_dir is not None:
            return find_tools(minimum, prefer=prefer, bin_dir=bin_dir, needs=_NEEDS)
    except SourceError:
        pass
    return find_tools(minimum, prefer=prefer, needs=_NEEDS)


def _options(target: Scratch, document: Database) -> tuple[frozenset[str], Sequence[str]]:
    """Roles that the server lacks, and what both dumps leave out because of them or of missing tablespaces."""
    with connect(target.url) as connection:
        roles = {row[0] for row in connection.execute("SELECT rolname FROM pg_roles")}
        spaces = {row[0] for row in connection.execute("SELECT spcname FROM pg_tablespace")}
    missing = frozenset(document.roles) - roles
    options = ["--no-owner", "--no-privileges"] if missing else []
    if set(document.tablespaces) - spaces:
        options.append("--no-tablespaces")
    return missing, options


def _rendered(contents: PointContents, tools: Tools, options: Sequence[str], directory: str) -> Schema:
    with tempfile.TemporaryDirectory(dir=directory) as private, tempfile.TemporaryFile(dir=private) as output:
        path = os.path.join(private, "schema.dump")
        contents.save_schema(path)
        run_tool(tools, "pg_restore", ["--file=-", *options, path], stdout=output)
        return _parsed(output)


def _dumped(target: Scratch, tools: Tools, options: Sequence[str]) -> Schema:
    arguments = ["--schema-only", "--encoding=UTF8", *options, f"--dbname={tool_conninfo(target.url)}"]
    with tempfile.TemporaryFile() as output, tool_environment(target.url) as environment:
        run_tool(tools, "pg_dump", arguments, environment, stdout=output)
        return _parsed(output)


def _parsed(output: IO[bytes]) -> Schema:
    output.seek(0)
    return parse(without_bookkeeping(output.read()).decode("utf-8", "surrogateescape").split("\n"))
