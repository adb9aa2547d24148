"""A part of an inventory."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator

from backup_platform.advice import command
from backup_platform.domain.model import Entry
from backup_platform.errors import NotFoundError, UsageError


def list_entries(entries: Iterable[Entry], path: str | None) -> Iterator[Entry]:
    """The entries at and below a path, all when it is None. Raises NotFoundError before the first, UsageError."""
    if path == "":
        raise UsageError("The path is empty.", hint="Write `.` or `/` for all, or leave the path out.")
    wanted = os.fsencode(path.strip("/")) if path else b""
    found = (entry for entry in entries if _below(entry.stat.path, wanted))
    first = next(found, None)
    if first is None:
        raise NotFoundError(
            f"The recovery point has no path {path!r}.",
            subject=path or "",
            hint=(command("ls", "POINT"), " lists its paths."),
        )
    return _chain(first, found)


def _chain(first: Entry, rest: Iterator[Entry]) -> Iterator[Entry]:
    yield first
    yield from rest


def _below(path: bytes, wanted: bytes) -> bool:
    return wanted in (b"", b".", path) or path.startswith(wanted + b"/")
