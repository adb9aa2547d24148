"""What a restore will do, found out without writing anything."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field

from backup_platform.actions.restoring.files import content_size
from backup_platform.actions.restoring.marker import find_marker, marker_name
from backup_platform.actions.restoring.selection import (
    Selection,
    available,
    not_found,
    relative_paths,
    selected,
)
from backup_platform.actions.restoring.survey import Standing, Survey
from backup_platform.actions.restoring.target import Target
from backup_platform.domain.model import Entry, EntryKind, RecoveryPoint
from backup_platform.domain.ports import PointReader
from backup_platform.errors import TargetError
from backup_platform.sources.files.paths import printable

LISTED = 100
BytePath = bytes


@dataclass(frozen=True, slots=True)
class RestorePlan:
    """What will be restored, and what is in the way. Counts are of entries; `bytes` will be written.

    `conflicts` and `unavailable` (what the recovery point does not hold) list the first hundred. `resumes`:
    an interrupted restore of the same point is continued. `fresh`: the target was empty before the restore.
    """

    point: RecoveryPoint
    to: str
    paths: tuple[str, ...]
    overwrite: bool
    files: int
    directories: int
    symlinks: int
    other: int
    hardlinks: int
    bytes: int
    creates: int
    replaces: int
    keeps: int
    conflicts: tuple[str, ...]
    conflict_count: int
    unavailable: tuple[str, ...]
    unavailable_count: int
    free_bytes: int
    resumes: bool
    fresh: bool
    wanted: tuple[BytePath, ...] = field(repr=False)  # paths as the inventory has them


@dataclass(slots=True)
class _Tally:
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


def make_plan(
    reader: PointReader, point: RecoveryPoint, to: str, paths: Sequence[str], overwrite: bool
) -> RestorePlan:
    """Raises NotFoundError for a path that is not in the point, TargetError where there is no room for it."""
    selection = Selection(relative_paths(paths, point))
    target = open_target(to)
    try:
        fresh, resumes = condition(target, point)
        survey = Survey(target, resumes, overwrite) if target and (resumes or not fresh) else None
        tally = _survey(reader, selection, survey)
    finally:
        if target:
            target.close()
    missing = selection.paths - tally.seen
    if missing:
        raise not_found(missing, reader.entries())
    return RestorePlan(
        point=point,
        to=to,
        paths=tuple(paths),
        overwrite=overwrite,
        files=tally.files,
        directories=tally.directories,
        symlinks=tally.symlinks,
        other=tally.other,
        hardlinks=tally.hardlinks,
        bytes=tally.size,
        creates=tally.creates,
        replaces=tally.replaces,
        keeps=tally.keeps,
        conflicts=tuple(tally.conflicts),
        conflict_count=tally.conflict_count,
        unavailable=tuple(tally.unavailable),
        unavailable_count=tally.unavailable_count,
        free_bytes=require_space(to, tally.size),
        resumes=resumes,
        fresh=fresh,
        wanted=tuple(sorted(selection.paths)),
    )


def _survey(reader: PointReader, selection: Selection, survey: Survey | None) -> _Tally:
    tally, absent = _Tally(), b"\0"  # no path holds a zero byte
    for entry, _ in selected(reader.entries(), selection):
        path = entry.stat.path
        if path in selection.paths:
            tally.seen.add(path)
        if not available(entry):
            _note_unavailable(tally, entry)
            continue
        standing = Standing.NEW if survey is None or path.startswith(absent) else survey.standing(entry)
        if standing is not Standing.KEPT and entry.stat.kind is EntryKind.DIRECTORY:
            absent = path + b"/"
        _count(tally, entry, standing)
    return tally


def _note_unavailable(tally: _Tally, entry: Entry) -> None:
    tally.unavailable_count += 1
    if len(tally.unavailable) < LISTED:
        tally.unavailable.append(f"{printable(entry.stat.path)}: {entry.status}, {entry.problem}")


def _count(tally: _Tally, entry: Entry, standing: Standing) -> None:
    kind = entry.stat.kind
    tally.hardlinks += entry.hardlink is not None
    if kind is EntryKind.FILE:
        tally.files += 1
        if entry.hardlink is None and standing is not Standing.KEPT:
            tally.size += content_size(entry)
    elif kind is EntryKind.DIRECTORY:
        tally.directories += 1
    elif kind is EntryKind.SYMLINK:
        tally.symlinks += 1
    else:
        tally.other += 1
    _count_standing(tally, entry, standing)


def _count_standing(tally: _Tally, entry: Entry, standing: Standing) -> None:
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


def open_target(to: str) -> Target | None:
    """None when it does not exist yet. Raises TargetError when it is no directory, or is not accessible."""
    try:
        return Target(to)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise TargetError(
            f"{to} cannot be restored into: {error.strerror}.",
            hint="Name a directory, or one that can be made.",
        ) from error


def condition(target: Target | None, point: RecoveryPoint) -> tuple[bool, bool]:
    """Whether the target is, or was, empty; and whether a restore of this point was interrupted there."""
    if target is None:
        return True, False
    marker = find_marker(target.fd, point)
    if marker:
        return marker.fresh, True
    with os.scandir(target.fd) as listing:
        return all(entry.name == marker_name(point.id) for entry in listing), False


def require_space(to: str, size: int) -> int:
    """Free bytes where the target is. Raises TargetError when `size` does not fit."""
    place = os.path.abspath(to)
    while not os.path.exists(place):
        place = os.path.dirname(place)
    try:
        found = os.statvfs(place)
    except OSError as error:
        raise TargetError(f"{place} cannot be examined: {error.strerror}.") from error
    free = found.f_bavail * found.f_frsize
    if size > free:
        raise TargetError(
            f"The restore needs {size:,} bytes, and {place} has {free:,} left.",
            hint="Restore to another file system, or only some paths.",
        )
    return free
