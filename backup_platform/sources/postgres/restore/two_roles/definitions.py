"""Whose definition says whether a superuser must make it, and whether that calls no code of the database.

A constant of an array, a range or a composite over a domain runs the domain's checks where it is parsed: in the
default of an argument or a column, in a check, in the body of a function in standard SQL, as the first state of an
aggregate. `pg_dump` writes names of others than the server's own with their schema: with a dot.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from backup_platform.errors import SourceError
from backup_platform.sources.postgres.dump.pg_restore import Archive, unquoted
from backup_platform.sources.postgres.dump.toc import TocEntry

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
_HINT = "Name a drill_server in the plan, or let the definition hold no constant of a type of the database."


def for_superusers(archive: Archive, toc: Iterable[TocEntry]) -> set[int]:
    """Raises `SourceError` for what nobody may make: that needs a superuser and may call code of the database."""
    asked = [entry for entry in toc if entry.kind in _KINDS]
    scripts = archive.scripts([entry.id for entry in asked]) if asked else {}
    return {entry.id for entry in asked if by_superuser(entry, scripts.get(entry.id, ""))}


def by_superuser(entry: TocEntry, script: str) -> bool:
    """Raises as `for_superusers`."""
    script = unquoted(script)
    if entry.kind == "FOREIGN TABLE":  # some options are a superuser's
        return not _EXPRESSIONS.search(script)
    if entry.kind == "AGGREGATE":
        needed, quiet = bool(_INTERNAL.search(script)), not _OWN_STATE.search(script)
    else:
        needed, quiet = _needs_superuser(script), _calls_nothing(script)
        if quiet and _SETS.search(script):  # some settings are a superuser's
            return True
    if needed and not quiet:
        raise _refused(entry)
    return needed


def _needs_superuser(script: str) -> bool:
    found = _LANGUAGE.search(script)
    return found is not None and (found[1] not in _TRUSTED or bool(_RIGHTS.search(found[2])))


def _calls_nothing(script: str) -> bool:
    found = _ROUTINE.search(script)
    if found is None or _STANDARD_BODY.search(found[3]):
        return False
    return not any("." in text for text in _defaults(found[1]))


def _defaults(arguments: str) -> Sequence[str]:
    return [_NO_NAMES.sub("", text) for text in _DECLARED.split(arguments)[1:]]


def _refused(entry: TocEntry) -> SourceError:
    return SourceError(
        f"The drill cannot be made: only a superuser may make {entry.label}, and its definition may call code of the "
        "database, which a drill never does as a superuser.",
        subject=entry.label,
        hint=_HINT,
    )
