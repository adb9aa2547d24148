"""Counting what a restore will do."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from backup_platform.actions.restore.existing import TargetSurvey, Treatment
from backup_platform.actions.restore.files import content_size
from backup_platform.actions.restore.selection import STORED, PathSelection, Role, available, selected
from backup_platform.actions.restore.target import check_path, reason_of_one
from backup_platform.domain.model import Entry, EntryKind
from backup_platform.errors import TargetError
from backup_platform.filesystem.paths import ROOT, printable, split

if TYPE_CHECKING:
    import pyarrow as pa

    from backup_platform.repository.points.point_reader import RecoveryPointReader

LISTED = 100
NO_PATH = b"\0"  # a path holds no zero byte
COUNTED = ("path", "kind", "status", "problem", "size", "hardlink", "extents")
FILE, DIRECTORY, SYMLINK = EntryKind.FILE, EntryKind.DIRECTORY, EntryKind.SYMLINK


@dataclass(slots=True)
class RestoreTally:
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
    refused: list[str] = field(default_factory=list)
    refused_count: int = 0
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

    def refuse(self, path: bytes, reason: str) -> None:
        """Note what this user cannot restore."""
        self.refused_count += 1
        if len(self.refused) < LISTED:
            self.refused.append(f"{printable(path)}: {reason}")

    def miss(self, path: bytes, status: str, problem: str) -> None:
        """Note what the recovery point does not hold."""
        self.unavailable_count += 1
        if len(self.unavailable) < LISTED:
            self.unavailable.append(f"{printable(path)}: {status}, {problem}")


def count_entries(
    reader: RecoveryPointReader, selection: PathSelection, survey: TargetSurvey | None
) -> RestoreTally:
    """The chosen entries, each looked for in the target. Raises DamageError for a path that leads outside."""
    tally, absent, closed = RestoreTally(), NO_PATH, NO_PATH
    for entry, _ in selected(reader.entries(selection.needed), selection):
        path, is_directory = entry.stat.path, entry.stat.kind is EntryKind.DIRECTORY
        if path in selection.paths:
            tally.seen.add(path)
        if not available(entry):
            tally.miss(path, entry.status, entry.problem)
            continue
        if path.startswith(closed):
            tally.refuse(path, "its directory cannot be made")
            continue
        looked = None if path.startswith(absent) else survey
        standing, reason = look(entry, selection, looked)
        if reason:
            tally.refuse(path, reason)
            closed = path + b"/" if is_directory else closed
            continue
        if standing is not Treatment.KEPT and is_directory:
            absent = path + b"/"
        _count(tally, entry, standing)
    return tally


def look(entry: Entry, selection: PathSelection, survey: TargetSurvey | None) -> tuple[Treatment, str]:
    """How an entry of the target is treated, and why this user cannot restore it there (empty if no reason is
    known)."""
    if survey is None:
        return Treatment.NEW, ""
    path = entry.stat.path
    try:
        standing = survey.standing(entry)
        owned = selection.role(split(path)[0] or ROOT) is Role.WANTED
        changes = standing in (Treatment.NEW, Treatment.REPLACED)
        closed = changes and not survey.admits(path, owned=owned)
    except TargetError as error:
        if (reason := reason_of_one(error)) is None:
            raise
        return Treatment.NEW, reason
    return standing, "this user may not write to its directory" if closed else ""


def _count(tally: RestoreTally, entry: Entry, standing: Treatment) -> None:
    kept = standing is Treatment.KEPT or entry.hardlink is not None
    tally.add(entry.stat.kind, 0 if kept else content_size(entry))
    tally.hardlinks += entry.hardlink is not None
    if standing is Treatment.NEW:
        tally.creates += 1
    elif standing is Treatment.KEPT:
        tally.keeps += 1
    elif standing is Treatment.REPLACED:
        tally.replaces += 1
    else:
        tally.conflict_count += 1
        if len(tally.conflicts) < LISTED:
            tally.conflicts.append(printable(entry.stat.path))


def count_rows(tables: Iterable[pa.Table]) -> RestoreTally:
    """Count a restore of everything into an empty target. It is many times faster, because it makes no entry
    objects."""
    tally = RestoreTally()
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
