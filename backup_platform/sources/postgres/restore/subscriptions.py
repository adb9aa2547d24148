"""Subscriptions of an older server, written by a newer pg_dump, which this server refuses in that form.

Since 16, pg_dump names parameters that older servers apply by default. Older servers do not know these parameters, and
refuse the statement. Without them it has the same meaning there.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from backup_platform.sources.postgres.dump.pg_restore import Archive, ToolError, split_statements
from backup_platform.sources.postgres.dump.toc import TocEntry

_OF_SUBSCRIPTION = re.compile(r"(?:CREATE|ALTER|COMMENT ON|SECURITY LABEL .*? ON) SUBSCRIPTION ", re.DOTALL)
_UNKNOWN = "unrecognized subscription parameter"
_ABSENT = re.compile(r'subscription ".*" does not exist', re.DOTALL)
_OPTIONS = " WITH (connect = false"  # after names and passwords
_IMPLIED = re.compile(r", (?:streaming = off|run_as_owner = true)(?=[,)])")  # before 14, and before 16


def refused(errors: Iterable[ToolError]) -> list[ToolError]:
    """The failures that were caused by parameters which the server does not know."""
    found = [error for error in errors if _OF_SUBSCRIPTION.match(error.command)]
    if not any(_UNKNOWN in error.text for error in found):
        return []
    return [error for error in found if _UNKNOWN in error.text or _ABSENT.search(error.text)]


def reduced(archive: Archive, entries: Iterable[TocEntry]) -> Iterator[str]:
    """The statements of all subscriptions, without the parameters that say nothing on an older server."""
    for statement in split_statements(archive.statements([e.id for e in entries if _is_of_subscription(e)])):
        if _OF_SUBSCRIPTION.match(statement):
            yield without_implied(statement)


def without_implied(statement: str) -> str:
    head, options, rest = statement.rpartition(_OPTIONS)
    return head + options + (_IMPLIED.sub("", rest) if options else rest)


def _is_of_subscription(entry: TocEntry) -> bool:
    named = entry.kind in ("COMMENT", "SECURITY LABEL") and entry.tag.startswith("SUBSCRIPTION ")
    return entry.kind == "SUBSCRIPTION" or named
