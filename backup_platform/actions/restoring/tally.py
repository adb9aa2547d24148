"""Counting what a restore will do."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from backup_platform.actions.restoring.files import content_size
from backup_platform.actions.restoring.selection import STORED, Selection, available, selected
from backup_platform.actions.restoring.survey import Standing, Survey
from backup_platform.actions.restoring.target import check_path
from backup_platform.domain.model import Entry, EntryKind
from backup_platform.sources.files.paths import printable

if TYPE_CHECKING:
    import pyarrow as pa

    from backup_platform.repository.reader import RecoveryPointReader

LISTED = 100
COUNTED = ("path", "kind", "status", "problem", "size", "hardlink", "extents")
FILE, DIRECTORY, SYMLINK = EntryKind.FILE, EntryKind.DIRECTORY, EntryKind.SYMLINK


@dataclass(slots=True)
class Tally:
    """Numbers of entries; `size` in bytes of content. `seen` are the chosen paths that are there."""

    files: int = 0
    directories: int = 0
    symlinks: int = 0
    other: int = 0
    hardlinks: int = 0
    size: int = 0
    creates: int = 0
    replaces: int = 0
    keeps: int = 0
    conflicts: list[str] = field(default_factory=list)
    conflict_count: int = 0
    unavailable: list[str] = field(default_factory=list)
    unavailable_count: int = 0
    seen: set[bytes] = field(default_factory=set)

    def add(self, kind: str, size: int) -> None:
        """Count an entry by its kind, and the content of a file."""
        if kind == FILE:
            self.files += 1
            self.size += size
        elif kind == DIRECTORY:
            self.directories += 1
        elif kind == SYMLINK:
            self.symlinks += 1
        else:
            self.other += 1

    def miss(self, path: bytes, status: str, problem: str) -> None:
        """Note what the recovery point does not hold."""
        self.unavailable_count += 1
        if len(self.unavailable) < LISTED:
            self.unavailable.append(f"{printable(path)}: {status}, {problem}")


def count_entries(reader: RecoveryPointReader, selection: Selection, survey: Survey | None) -> Tally:
    """The chosen entries, each looked for in the target. Raises DamageError for a path that leads outside."""
    tally, absent = Tally(), b"\0"  # no path holds a zero byte
    for entry, _ in selected(reader.entries(selection.needed), selection):
        path = entry.stat.path
        if path in selection.paths:
            tally.seen.add(path)
        if not available(entry):
            tally.miss(path, entry.status, entry.problem)
            continue
        standing = Standing.NEW if survey is None or path.startswith(absent) else survey.standing(entry)
        if standing is not Standing.KEPT and entry.stat.kind is EntryKind.DIRECTORY:
            absent = path + b"/"
        _count(tally, entry, standing)
    return tally


def _count(tally: Tally, entry: Entry, standing: Standing) -> None:
    kept = standing is Standing.KEPT or entry.hardlink is not None
    tally.add(entry.stat.kind, 0 if kept else content_size(entry))
    tally.hardlinks += entry.hardlink is not None
    if standing is Standing.NEW:
        tally.creates += 1
    elif standing is Standing.KEPT:
        tally.keeps += 1
    elif standing is Standing.REPLACED:
        tally.replaces += 1
    else:
        tally.conflict_count += 1
        if len(tally.conflicts) < LISTED:
            tally.conflicts.append(printable(entry.stat.path))


def count_rows(tables: Iterable[pa.Table]) -> Tally:
    """The same for everything into an empty target: many times faster, because no entries are made."""
    tally = Tally()
    for table in tables:
        columns = (table.column(name).to_pylist() for name in COUNTED)
        for path, kind, status, problem, size, hardlink, extents in zip(*columns, strict=True):
            check_path(path)
            if status not in STORED and kind != DIRECTORY:
                tally.miss(path, status, problem)
                continue
            if hardlink is not None:
                check_path(hardlink)
                tally.hardlinks += 1
                size = 0
            elif extents is not None:
                size = sum(extent["length"] for extent in extents)
            tally.add(kind, size)
            tally.creates += 1
    return tally
