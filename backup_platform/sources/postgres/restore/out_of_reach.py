"""Requested objects that a restore cannot create on this server or as this role. This is known beforehand, and they are
left out and listed.

PostgreSQL lets only a superuser create some kinds of objects. The owner of a database on a managed server is not a
superuser. The administrator of such a server may do more than PostgreSQL reports, so for this role only an attempt
shows it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from backup_platform.domain.words import first_of
from backup_platform.sources.postgres.dump.pg_restore import split_statements
from backup_platform.sources.postgres.dump.toc import TocEntry

if TYPE_CHECKING:
    from backup_platform.sources.postgres.dump.pg_restore import Archive
    from backup_platform.sources.postgres.restore.preparation import Preparation

_SUPERUSER = "only a superuser may make it"
_OF_SUPERUSERS = frozenset(
    (
        "ACCESS METHOD",
        "EVENT TRIGGER",
        "FOREIGN DATA WRAPPER",
        "OPERATOR CLASS",
        "OPERATOR FAMILY",
        "PROCEDURAL LANGUAGE",
        "PUBLICATION TABLES IN SCHEMA",
        "SHELL TYPE",
        "TEXT SEARCH PARSER",
        "TEXT SEARCH TEMPLATE",
    )
)
_ABOUT = frozenset(("COMMENT", "ACL", "SECURITY LABEL", "PUBLICATION TABLE", "PUBLICATION TABLES IN SCHEMA"))
_ROUTINES = ("FUNCTION", "PROCEDURE", "AGGREGATE")
_READ = (*_ROUTINES, "ACL", "CAST", "PUBLICATION", "SERVER")
# What every database before PostgreSQL 15 has, and newer tools write out.
_PUBLIC_AS_EVER = {"REVOKE USAGE ON SCHEMA public FROM PUBLIC", "GRANT ALL ON SCHEMA public TO PUBLIC"}
_LANGUAGE = re.compile(r"^    LANGUAGE (\S+)(.*)$", re.MULTILINE)
_NAMED = 3


def out_of_reach(prepared: Preparation) -> dict[int, str]:
    """Why an entry is left out, by entry. "" for an entry that only belongs to such an entry, and for comments on
    extensions."""
    if prepared.target.data_only:
        return {}
    entries = chosen(prepared)
    found = dict(_extensions(prepared, entries))
    if prepared.standing.privileges.limited and prepared.pair is None:
        read = [e.id for e in entries if e.kind in _READ and e.id not in found and _is_read(e)]
        scripts = _scripts(prepared.archive, read)
        for entry in entries:
            reason = _reason(prepared, entry, scripts.get(entry.id, ""), entries)
            if reason is not None:
                found.setdefault(entry.id, reason)
    for entry in entries:
        if entry.kind in _ABOUT and any(need in found for need in entry.needs):
            found.setdefault(entry.id, "")
    return found


def chosen(prepared: Preparation) -> Sequence[TocEntry]:
    return prepared.toc if prepared.scope.entries is None else prepared.scope.entries


def left_out(prepared: Preparation) -> Iterator[str]:
    """In sentences."""
    by_id = {entry.id: entry for entry in prepared.toc}
    for number, reason in prepared.beyond.items():
        if reason:
            yield f"The {by_id[number].label} is not restored: {reason}{_with(prepared, number)}."
    if there := sorted(prepared.large_objects_there):
        yield (
            f"Large objects of these numbers are in the target already, and stay as they are there: "
            f"{first_of([*map(str, there)], _NAMED)}."
        )


def _with(prepared: Preparation, number: int) -> str:
    """What fails with it: tables are what people look for."""
    lost = {number}
    for entry in prepared.toc:  # in an order in which what is needed comes first
        if lost & set(entry.needs):
            lost.add(entry.id)
    tables = [
        f"{each.schema}.{each.tag}" for each in prepared.toc if each.id in lost and each.kind == "TABLE"
    ]
    if not tables:
        return ""
    return f". These need it: {first_of(tables, _NAMED)}"


def _scripts(archive: Archive, entries: Sequence[int]) -> Mapping[int, str]:
    return archive.scripts(entries) if entries else {}


def _extensions(prepared: Preparation, entries: Iterable[TocEntry]) -> Iterator[tuple[int, str]]:
    rights, there = prepared.standing.privileges, prepared.standing.extensions
    for entry in entries:
        if entry.kind != "EXTENSION" or entry.tag in rights.extensions:
            continue
        if entry.tag not in there:
            yield entry.id, "the server lacks it; install it there"
        elif rights.limited and prepared.pair is None and entry.tag not in rights.creatable:
            yield entry.id, f'only a superuser may make it; have CREATE EXTENSION "{entry.tag}" run by one'


def _reason(prepared: Preparation, entry: TocEntry, script: str, entries: Sequence[TocEntry]) -> str | None:
    rights = prepared.standing.privileges
    if entry.kind in _OF_SUPERUSERS:
        return _SUPERUSER
    if entry.kind in ("COMMENT", "SECURITY LABEL") and entry.tag.startswith("EXTENSION "):
        return None if rights.extensions.get(entry.tag.removeprefix("EXTENSION "), True) else ""
    if entry.tag == "SCHEMA public" and not rights.owns_public:
        return _of_public(prepared, entry, script)
    if entry.kind == "SUBSCRIPTION" and not rights.subscribes:
        return "the role may not create subscriptions"
    if entry.kind == "TYPE" and _is_base(entry, entries):
        return _SUPERUSER
    return _of_script(prepared, entry, script)


def _is_read(entry: TocEntry) -> bool:
    return entry.kind != "ACL" or entry.tag == "SCHEMA public"


def _of_public(prepared: Preparation, entry: TocEntry, script: str) -> str | None:
    if entry.kind == "ACL":
        if prepared.target.privileges is False:
            return None
        if set(split_statements(script)) <= _PUBLIC_AS_EVER:
            return ""
    return "the role does not own the schema public"


def _is_base(entry: TocEntry, entries: Iterable[TocEntry]) -> bool:
    return any(e.kind == "SHELL TYPE" and (e.schema, e.tag) == (entry.schema, entry.tag) for e in entries)


def _of_script(prepared: Preparation, entry: TocEntry, script: str) -> str | None:
    rights = prepared.standing.privileges
    if entry.kind == "CAST" and " WITHOUT FUNCTION" in script:
        return _SUPERUSER
    if entry.kind == "PUBLICATION" and " FOR ALL TABLES" in script:
        return "only a superuser may publish all tables"
    if entry.kind == "SERVER":
        wrapper = next((name for name in rights.barred if f" FOREIGN DATA WRAPPER {name}" in script), None)
        return f"the role may not use the foreign-data wrapper {wrapper!r}" if wrapper else None
    if entry.kind in _ROUTINES and (match := _LANGUAGE.search(script)):
        language = match[1].strip('"')
        if language in rights.untrusted:
            return f"only a superuser may make functions in the language {language}"
        if " LEAKPROOF" in match[2] or " SUPPORT " in match[2]:
            return "only a superuser may make functions that are LEAKPROOF or have a SUPPORT function"
    return None
