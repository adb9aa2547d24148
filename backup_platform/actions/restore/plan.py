"""What a restore will do, determined without writing anything."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from backup_platform.actions.restore.existing import TargetSurvey
from backup_platform.actions.restore.marker import find_marker, marker_name
from backup_platform.actions.restore.selection import PathSelection, not_found, relative_paths
from backup_platform.actions.restore.tally import count_entries, count_rows
from backup_platform.actions.restore.target import TargetDirectory
from backup_platform.domain.model import RecoveryPoint
from backup_platform.errors import TargetError

if TYPE_CHECKING:
    from backup_platform.repository.points.point_reader import RecoveryPointReader

BytePath = bytes


@dataclass(frozen=True, slots=True)
class RestorePlan:
    """What will be restored, and what is in the way. Counts are of entries; `bytes` will be written.

    `conflicts`, `refused` (what this user may not restore there, as far as can be known) and `unavailable` (what the
    recovery point does not hold) list the first hundred. `resumes`:
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
    refused: tuple[str, ...] = ()
    refused_count: int = 0


def make_plan(
    reader: RecoveryPointReader, point: RecoveryPoint, to: str, paths: Sequence[str], overwrite: bool
) -> RestorePlan:
    """Plan a restore. Raises NotFoundError for a path that is not in the point, and TargetError if there is too
    little space."""
    selection = PathSelection(relative_paths(paths, point))
    target = open_target(to)
    try:
        fresh, resumes = condition(target, point)
        survey = TargetSurvey(target, resumes, overwrite) if target and (resumes or not fresh) else None
        simple = survey is None and selection.everything
        tally = count_rows(reader.rows()) if simple else count_entries(reader, selection, survey)
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
        refused=tuple(tally.refused),
        refused_count=tally.refused_count,
    )


def open_target(to: str) -> TargetDirectory | None:
    """None if it does not exist yet. Raises TargetError if it is not a directory, or is not accessible."""
    try:
        return TargetDirectory(to)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise TargetError(
            f"{to} cannot be restored into: {error.strerror}.",
            subject=to,
            hint="Name a directory that exists or can be created.",
        ) from error


def condition(target: TargetDirectory | None, point: RecoveryPoint) -> tuple[bool, bool]:
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
