"""Inventories of recovery points: what is below a path, and the differences between two of them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from backup_platform.advice import command
from backup_platform.domain.model import Entry, Stat
from backup_platform.errors import NotFoundError, UsageError

Change = Literal["added", "removed", "changed", "metadata"]


@dataclass(frozen=True, slots=True)
class Difference:
    """One path that differs. `changed`: its content or kind; `metadata`: only mode, owner, times, attributes."""

    path: bytes
    change: Change
    before: Stat | None
    after: Stat | None


def diff_entries(
    before: Iterator[Entry], after: Iterator[Entry], *, metadata: bool = True
) -> Iterator[Difference]:
    """Both inputs are in the order of inventories, and memory does not grow with them. Without `metadata`, entries that
    differ only in metadata count as equal: for a database, metadata only shows when it was captured."""
    old, new = next(before, None), next(after, None)
    while old or new:
        side = _side(old, new)
        if side < 0 and old:
            yield Difference(old.stat.path, "removed", old.stat, None)
        elif side > 0 and new:
            yield Difference(new.stat.path, "added", None, new.stat)
        elif old and new and (change := _change(old, new)) and (metadata or change != "metadata"):
            yield Difference(new.stat.path, change, old.stat, new.stat)
        old = next(before, None) if side <= 0 else old
        new = next(after, None) if side >= 0 else new


def _side(old: Entry | None, new: Entry | None) -> int:
    """-1 when the old one comes first in the walk, 1 when the new one does, 0 for the same path."""
    if old is None or new is None:
        return 1 if old is None else -1
    a, b = _order(old.stat.path), _order(new.stat.path)
    return (a > b) - (a < b)


def _order(path: bytes) -> bytes:
    return b"" if path == b"." else path.replace(b"/", b"\0")


def _change(old: Entry, new: Entry) -> Change | None:
    if _content(old) != _content(new):
        return "changed"
    return None if _metadata(old) == _metadata(new) else "metadata"


def _content(entry: Entry) -> tuple[object, ...]:
    stat = entry.stat
    is_file = entry.stat.kind == "file"
    size = stat.size if is_file else 0
    return (
        stat.kind,
        size,
        entry.status,
        entry.link_target,
        entry.hardlink,
        entry.extents,
        entry.content,
        stat.rdev,
    )


def _metadata(entry: Entry) -> tuple[object, ...]:
    stat = entry.stat
    return (stat.mode, stat.uid, stat.gid, stat.mtime_ns, entry.user, entry.group, entry.xattrs)


def list_entries(entries: Iterable[Entry], path: str | None) -> Iterator[Entry]:
    """The entries at and below a path, or all if it is None. Raises NotFoundError before the first one, UsageError."""
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
