"""The schema as PostgreSQL's own programs write it, and a short description of it that stays the same while it does."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import IO

from backup_platform.domain.model import Json
from backup_platform.errors import SourceError
from backup_platform.sources.postgres.catalog.relations import Found
from backup_platform.sources.postgres.connect.connections import milliseconds, tool_conninfo, tool_environment
from backup_platform.sources.postgres.dump.bookkeeping import strip_archive
from backup_platform.sources.postgres.quoting import identifier
from backup_platform.sources.postgres.tools import Tools, read_tool, run_tool

LISTED = 5_000  # objects: every listing of recovery points reads the manifests that hold them
_DIGITS = 16
_HEADER = re.compile(rb"-- Name: (.*); Type: (.*); Schema: (.*); Owner: (.*)\n")
_PLACED = {b"TABLE", b"INDEX", b"CONSTRAINT", b"MATERIALIZED VIEW"}
_STATE = re.compile(rb"SET (default_tablespace|default_table_access_method) = (.*);\n")
_NOISE = (b"\\restrict ", b"\\unrestrict ", b"-- PostgreSQL database dump")


def dump_schema(
    tools: Tools,
    url: str,
    into: IO[bytes],
    *,
    snapshot: str,
    lock_timeout: float,
    without: Sequence[Found] = (),
    encoding: str = "UTF8",
) -> list[str]:
    """Write the custom-format dump of the whole schema, as the snapshot has it; what pg_dump warned of.

    `without` are tables that this role may not even lock. Raises `SourceError`.
    """
    arguments = [
        "--schema-only",
        "--format=custom",
        f"--encoding={encoding}",
        "--no-password",
        f"--snapshot={snapshot}",
        f"--lock-wait-timeout={milliseconds(lock_timeout)}",
        *(f"--exclude-table={identifier(table.schema, table.name)}" for table in without),
        f"--dbname={tool_conninfo(url)}",
    ]
    with tool_environment(url) as environment:
        said = run_tool(tools, "pg_dump", arguments, environment, stdout=into)
    strip_archive(into)
    return [line.strip() for line in said.splitlines() if line.strip()]


def dump_globals(tools: Tools, url: str, into: IO[bytes], *, passwords: bool) -> str:
    """Write roles and tablespaces, which are the cluster's and in no snapshot. "" or what is missing.

    Without `passwords` the role may not read them, as on most managed servers; there it may also lack access to more,
    and then nothing is written. Raises `SourceError` where nothing but a failure explains it.
    """
    arguments = ["--globals-only", "--no-password"] + ([] if passwords else ["--no-role-passwords"])
    arguments += [f"--dbname={tool_conninfo(url)}", f"--database={_database(url)}"]
    try:
        with tool_environment(url) as environment:
            run_tool(tools, "pg_dumpall", arguments, environment, stdout=into)
    except SourceError as error:
        if passwords or error.retryable:
            raise
        into.seek(0)
        into.truncate()
        return f"Roles and tablespaces are not stored: {error.message}"
    missing = "The passwords of roles are not stored: this role may not read them (pg_authid)."
    return "" if passwords else missing


def _database(url: str) -> str:
    from psycopg.conninfo import conninfo_to_dict, make_conninfo

    found = conninfo_to_dict(tool_conninfo(url))
    return make_conninfo(dbname=str(found.get("dbname") or found.get("user") or "postgres"))


def schema_facts(tools: Tools, dump: IO[bytes]) -> dict[str, Json]:
    """Each object of a dump by type, name and a digest of its SQL, and a fingerprint of them all.

    The order of the dump, the version of pg_dump and the oids of the server do not matter.
    """
    dump.seek(0)
    objects = sorted(describe_schema(read_tool(tools, "pg_restore", ["--file=-"], stdin=dump)))
    text = json.dumps(objects, separators=(",", ":"))
    listed: list[Json] = [{"type": kind, "name": name, "sql": sql} for kind, name, sql in objects[:LISTED]]
    return {
        "schema": listed,
        "schema_objects": len(objects),
        "schema_fingerprint": hashlib.sha256(text.encode("ascii")).hexdigest(),
    }


def describe_schema(script: Iterable[bytes]) -> Iterator[tuple[str, str, str]]:
    """(type, name, digest of the SQL) of each object in a plain dump, given by its lines."""
    objects: dict[tuple[str, str], list[bytes]] = {}
    body: list[bytes] = []
    state: dict[bytes, bytes] = {}
    for line in script:
        if found := _HEADER.fullmatch(line):
            name, kind, schema, owner = found.groups()
            label = name if schema == b"-" else schema + b"." + name
            body = objects.setdefault((_text(kind), _text(label)), [])
            body.append(b"owner " + owner)
            body.extend(state.values() if kind in _PLACED else ())
        elif placed := _STATE.fullmatch(line):
            state[placed[1]] = line
            # The first of a kind comes after the settings that are said before it.
        elif line.strip() and line != b"--\n" and not line.startswith(_NOISE):
            body.append(line)
    for (kind_text, label_text), lines in objects.items():
        yield kind_text, label_text, hashlib.sha256(b"\0".join(lines)).hexdigest()[:_DIGITS]


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "backslashreplace")
