"""Objects whose definition shows whether a superuser must create them, and whether that calls code of the database.

A constant of an array, a range or a composite over a domain runs the domain's checks when it is parsed: in the default
of an argument or a column, in a check, in the body of a function in standard SQL, as the first state of an aggregate.
`pg_dump` writes names with their schema, so with a dot, unless they are the server's own.

For some types a constant calls no code of the database, whoever owns them: enums, base types, and domains over such a
type. The server is asked for the kind of a type just before the superuser reads the constant, because code that ran
since the definitions were read may have replaced the type.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING

from backup_platform.errors import SourceError
from backup_platform.sources.postgres.dump.pg_restore import Archive, unquoted
from backup_platform.sources.postgres.dump.toc import TocEntry

if TYPE_CHECKING:
    from backup_platform.sources.postgres.connect.connections import Connection

_KINDS = ("AGGREGATE", "FOREIGN TABLE", "FUNCTION", "PROCEDURE")
_TRUSTED = frozenset(("sql", "plpgsql", "plperl", "pltcl", "plv8"))
_ROUTINE = re.compile(
    r"^CREATE (?:FUNCTION|PROCEDURE) [^(]*(.*?)^    LANGUAGE (\S*)(.*?)^    AS ", re.M | re.S
)
_LANGUAGE = re.compile(r"^    LANGUAGE (\S*)(.*)", re.MULTILINE)
_RIGHTS = re.compile(r" (?:LEAKPROOF|SUPPORT)\b")
_SETS = re.compile(r"^    SET (?!search_path )", re.MULTILINE)
_DECLARED = re.compile(r"[^,()]*\bDEFAULT\b")
_NO_NAMES = re.compile(r"\bNULL::[^,()\s:]*|(?<![\w$.])\d+\.\d+")
_STANDARD_BODY = re.compile(r"^    (?:BEGIN ATOMIC|RETURN )", re.MULTILINE)
_INTERNAL = re.compile(r"^    M?STYPE = internal,?$", re.MULTILINE)
_OWN_STATE = re.compile(r"^    M?STYPE = .*\.", re.MULTILINE)
_EXPRESSIONS = re.compile(r"\b(?:DEFAULT|CHECK|GENERATED|INHERITS)\b")
_BODY = re.compile(r"^CREATE FOREIGN TABLE [^(]*\((.*?)^\)$", re.MULTILINE | re.DOTALL)
_SERVER = re.compile(r"^SERVER (\S+)$", re.MULTILINE)
_OF_FILES = re.compile(r" FOREIGN DATA WRAPPER file_fdw\b")
_CONSTANT = re.compile(r"::([a-z_][\w$]*\.[a-z_][\w$]*)(?:\([\w, ]*\))?(?![\w$.\[(])")
# Only superusers make base types. A constant of a domain is read by the type below it, and not checked yet.
_QUIET = """
WITH RECURSIVE below(name, oid) AS (
    SELECT w.name, to_regtype(w.name)::oid FROM unnest(%s::text[]) w(name)
    UNION
    SELECT b.name, t.typbasetype FROM below b JOIN pg_type t ON t.oid = b.oid AND t.typtype = 'd'
)
SELECT b.name FROM below b LEFT JOIN pg_type t ON t.oid = b.oid
 GROUP BY b.name
HAVING bool_and(coalesce(t.typtype IN ('b', 'd', 'e') AND t.typelem = 0, false))
"""
_HINT = "Name a drill_server in the plan, or let the definition hold no constant of a type of the database."


def for_superusers(archive: Archive, toc: Iterable[TocEntry]) -> dict[int, Collection[str]]:
    """By entry, the types of constants for which `quiet_types` must be asked. Raises `SourceError` for an object that
    nobody may create, because it needs a superuser and may call code of the database."""
    asked = [entry for entry in toc if entry.kind in (*_KINDS, "SERVER")]
    scripts = archive.scripts([entry.id for entry in asked]) if asked else {}
    plain = {entry.id: unquoted(scripts.get(entry.id, "")) for entry in asked}
    files = {entry.tag for entry in asked if entry.kind == "SERVER" and _OF_FILES.search(plain[entry.id])}
    found: dict[int, Collection[str]] = {}
    for entry in asked:
        if (
            entry.kind in _KINDS
            and (types := constants_for_superuser(entry, plain[entry.id], files)) is not None
        ):
            found[entry.id] = types
    return found


def constants_for_superuser(
    entry: TocEntry, script: str, file_servers: Collection[str] = ()
) -> Collection[str] | None:
    """The types of constants that a superuser reads who makes this; None where it is not a superuser's. `script` is
    without what is quoted. Raises as `for_superusers`."""
    if entry.kind == "FOREIGN TABLE":
        return _of_foreign_table(entry, script, file_servers)
    if entry.kind == "AGGREGATE":
        needed = bool(_INTERNAL.search(script))
        types: Collection[str] | None = None if _OWN_STATE.search(script) else ()
    else:
        needed, types = _needs_superuser(script), _constants(script)
        if types == () and _SETS.search(script):  # some settings are a superuser's
            return types
    if needed and types is None:
        raise refused(entry)
    return types if needed else None


def _of_foreign_table(entry: TocEntry, script: str, file_servers: Collection[str]) -> Collection[str] | None:
    """Some options are a superuser's, all those of files. What holds names of the server's own only calls nothing."""
    if not _EXPRESSIONS.search(script):
        return ()
    body = _BODY.search(script)
    if body and "." not in _NO_NAMES.sub("", body[1]) and "INHERITS" not in script:
        return ()
    if any(server in file_servers for server in _SERVER.findall(script)):
        raise refused(entry)
    return None


def quiet_types(connection: Connection, names: Collection[str]) -> set[str]:
    """The types whose constants currently call no code of the database."""
    return {row[0] for row in connection.execute(_QUIET, [sorted(names)]).fetchall()}


def _needs_superuser(script: str) -> bool:
    found = _LANGUAGE.search(script)
    return found is not None and (found[1] not in _TRUSTED or bool(_RIGHTS.search(found[2])))


def _constants(script: str) -> tuple[str, ...] | None:
    """The types of the defaults' constants that are not the server's own; None where there may be anything else."""
    found = _ROUTINE.search(script)
    if found is None or _STANDARD_BODY.search(found[3]):
        return None
    defaults = [_NO_NAMES.sub("", text) for text in _DECLARED.split(found[1])[1:]]
    if any("." in _CONSTANT.sub("", text) for text in defaults):
        return None
    return tuple(name for text in defaults for name in _CONSTANT.findall(text))


def refused(entry: TocEntry) -> SourceError:
    return SourceError(
        f"The drill cannot be made: only a superuser may make {entry.label}, and its definition may call code of the "
        "database, which a drill never does as a superuser.",
        subject=entry.label,
        hint=_HINT,
    )
