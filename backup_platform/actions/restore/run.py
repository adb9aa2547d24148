"""Restore: write a recovery point, or a part of it, into a directory. Plan, then run."""

from __future__ import annotations

import os
import stat as modes
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from backup_platform.actions.restore.entries import Restorer
from backup_platform.actions.restore.existing import TargetSurvey
from backup_platform.actions.restore.files import FileWriter
from backup_platform.actions.restore.marker import Marker, remove_marker
from backup_platform.actions.restore.metadata import Metadata, probe
from backup_platform.actions.restore.plan import RestorePlan, make_plan, open_target
from backup_platform.actions.restore.selection import PathSelection, selected
from backup_platform.actions.restore.target import TargetDirectory, can_open
from backup_platform.actions.restore.warnings import Warnings
from backup_platform.domain.model import RecoveryPoint
from backup_platform.domain.ports import Clock, Progress
from backup_platform.domain.words import first_of
from backup_platform.errors import TargetError

if TYPE_CHECKING:
    from backup_platform.repository.points.point_reader import RecoveryPointReader
    from backup_platform.repository.repository import Repository

__all__ = ["RestorePlan", "RestoreSummary", "plan_restore", "run_restore"]

NAMED_CONFLICTS = 5


@dataclass(frozen=True, slots=True)
class RestoreSummary:
    """What a restore did. `files` were made, with `bytes` of content. `skipped` existed already and were equal.
    `warnings` are the first hundred of `warning_count` things that could not be applied or were not stored. `failures`
    are the first of `failure_count` entries that could not be restored."""

    files: int
    bytes: int
    skipped: int
    warnings: tuple[str, ...]
    warning_count: int
    duration_s: float
    failures: tuple[str, ...] = ()
    failure_count: int = 0


def plan_restore(
    reader: RecoveryPointReader,
    point: RecoveryPoint,
    *,
    to: str,
    paths: Sequence[str] = (),
    overwrite: bool = False,
) -> RestorePlan:
    """What a restore into the directory `to` will do; writes nothing.

    `paths` are relative to the source's root. Each one includes everything below it, and no paths mean everything. The
    plan lists existing entries that are in the way. Raises NotFoundError for a path that is not in the point, and
    TargetError if `to` is not a directory or has no space.
    """
    return make_plan(reader, point, to, paths, overwrite)


def run_restore(
    plan: RestorePlan, repository: Repository, clock: Clock, progress: Progress
) -> RestoreSummary:
    """Carry out a plan.

    A name in the target only shows a complete file, and written data is read back. An entry that cannot be restored is
    listed, and the rest is restored. An interrupted restore continues when it is run again. Raises TargetError and
    KeyMissingError, before anything is written if the plan has conflicts, and DamageError for content that cannot be
    read.
    """
    refuse_conflicts(plan)
    repository.cipher.require_contents()
    started = clock.monotonic()
    target = make_target(plan.to)
    try:
        writer = _file_writer(plan, target, progress)
        restorer = _restore(plan, repository, writer, progress)
    except OSError as error:
        raise TargetError(f"{plan.to} cannot be restored into: {error.strerror}.", subject=plan.to) from error
    finally:
        target.close()
    warnings, duration = writer.metadata.warnings, clock.monotonic() - started
    return RestoreSummary(
        writer.files,
        writer.size,
        restorer.skipped,
        tuple(warnings.listed),
        warnings.count,
        duration,
        tuple(restorer.failures.listed),
        restorer.failures.count,
    )


def refuse_conflicts(plan: RestorePlan) -> None:
    if not plan.conflict_count:
        return
    listed = first_of(plan.conflicts, NAMED_CONFLICTS, total=plan.conflict_count)
    raise TargetError(
        f"{plan.to} already holds {listed}. Nothing was restored.",
        subject=plan.to,
        hint="Restore to an empty directory" + ("." if plan.overwrite else ", or with --overwrite."),
    )


def make_target(to: str) -> TargetDirectory:
    try:
        os.makedirs(to, mode=0o700, exist_ok=True)
    except OSError as error:
        raise TargetError(f"The directory {to} cannot be made: {error.strerror}.", subject=to) from error
    target = open_target(to)
    assert target is not None
    return target


def _file_writer(plan: RestorePlan, target: TargetDirectory, progress: Progress) -> FileWriter:
    open_root(plan, target)
    found = probe(target.fd)
    # Directories that were there before may give what they like to new files.
    metadata = Metadata(replace(found, plain=found.plain and plan.fresh), os.geteuid() == 0, Warnings())
    return FileWriter(target, metadata, progress)


def open_root(plan: RestorePlan, target: TargetDirectory) -> None:
    """Let this user write to a directory of its own that gets its mode at the end."""
    st = os.fstat(target.fd)
    if (plan.overwrite or plan.resumes) and can_open(st):
        os.fchmod(target.fd, modes.S_IMODE(st.st_mode) | 0o700)


def _restore(plan: RestorePlan, repository: Repository, writer: FileWriter, progress: Progress) -> Restorer:
    target, reader = writer.target, repository.reader(plan.point)
    untouched = plan.fresh and not plan.resumes
    restorer = Restorer(
        contents=reader,
        sizes=reader.lengths,
        target=target,
        writer=writer,
        survey=None if untouched else TargetSurvey(target, plan.resumes, plan.overwrite),
        own_root=plan.fresh or plan.overwrite,
    )
    progress.expect(items=plan.files, size=plan.bytes)
    noted = plan.resumes or save_marker(plan, target)
    selection = PathSelection(plan.wanted)
    restorer.run(selected(reader.entries(selection.needed), selection))
    if writer.metadata.privileged or not restorer.locks_root:
        restorer.finish_root()
    if noted:
        remove_marker(target.fd, plan.point)
    restorer.finish_root()  # removing the marker has touched its time
    for pack, why in reader.failed.items():
        writer.metadata.warnings.add(pack.encode(), f"{why} The same data was found elsewhere.")
    writer.tell()
    progress.advance(items=restorer.skipped)
    return restorer


def save_marker(plan: RestorePlan, target: TargetDirectory) -> bool:
    """Whether there is a note. With --overwrite a restore goes on without one: what is there already is compared."""
    try:
        Marker(plan.point.id, plan.fresh).save(target.fd)
    except PermissionError:
        if not plan.overwrite:
            raise
        return False
    return True
