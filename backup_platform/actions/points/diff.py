"""What differs between two recovery points, by their inventories alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from backup_platform.domain.model import Entry, Stat

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
    """Both in the order of inventories; memory does not grow with them. Without `metadata` what differs in nothing else
    is equal: of a database it only tells when each was captured."""
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
