"""Repair: missing and damaged objects are restored from the packs themselves and from copies (FORMAT.md §8).

It only adds. Sound objects are never overwritten. A damaged object is only replaced by its right bytes. Data that
no repository has is listed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext

from backup_platform.actions.forget.lost import find_losses
from backup_platform.actions.repair.apply import RepairRun
from backup_platform.actions.repair.damage import Surveyor
from backup_platform.actions.repair.donors import Donor, open_donors
from backup_platform.actions.repair.keys import key_steps
from backup_platform.actions.repair.ledger import ledger_steps
from backup_platform.actions.repair.manifests import manifest_steps
from backup_platform.actions.repair.packs import pack_steps
from backup_platform.actions.repair.plan import RepairPlan, RepairResult
from backup_platform.actions.structure import structure_findings
from backup_platform.clock import SILENT
from backup_platform.domain.ports import Clock, Progress
from backup_platform.repository.encryption.key_objects import key_problems
from backup_platform.repository.points.chains import chain_breaks, forgotten_links
from backup_platform.repository.records.tombstones import read_tombstones
from backup_platform.repository.replicas import require_replica
from backup_platform.repository.repository import Repository


class Repair:
    """Repair of one repository, from copies of it, given by name. Raises RepositoryError for a copy that is another
    repository. `complete` means that every point was written here first, so that a point that only a copy has was lost
    here. It is false for a copy, because `copy` stores what is missing there. `absent` says why copies could not be
    opened. Inside `direct`, reads do not use a cache."""

    def __init__(
        self,
        repository: Repository,
        donors: Mapping[str, Repository],
        clock: Clock,
        *,
        complete: bool = True,
        absent: Sequence[str] = (),
        direct: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> None:
        for donor in donors.values():
            require_replica(repository, donor)
        self._repository, self._donors, self._clock = repository, donors, clock
        self._complete, self._absent, self._direct = complete, tuple(absent), direct

    def plan(self, progress: Progress = SILENT) -> RepairPlan:
        """Find what is wrong, and which copy has it. Reads inventories and the packs that are suspect; writes nothing.
        Unknown damage is found by a verify, not here."""
        with self._direct():
            return self._plan(progress)

    def _plan(self, progress: Progress) -> RepairPlan:
        repository = self._repository
        donors, notes = open_donors(self._donors)
        points, errors = repository.points.readable(reread=True)
        manifests, lost = manifest_steps(repository, points, donors, complete=self._complete)
        keys, lost_keys, unexpected = key_steps(repository, donors)
        missing = [step.point for step in manifests if step.point is not None]
        losses = find_losses(repository, [*points, *missing], errors, complete=self._complete)
        survey = Surveyor(repository, donors, progress).survey(points, missing)
        packs = pack_steps(repository, donors, survey, read_tombstones(repository.objects, final=True).doomed)
        records, forged = ledger_steps(repository)
        return RepairPlan(
            steps=(*keys, *packs.steps, *manifests, *records),
            lost=(*lost_keys, *packs.lost, *lost, *losses.texts()),
            unexpected=tuple(unexpected),
            notes=(*self._absent, *notes, *packs.notes, *forged),
        )

    def run(self, plan: RepairPlan, progress: Progress = SILENT) -> RepairResult:
        """Carry out a plan. Returns what is still wrong afterwards. If it is interrupted, the next repair continues.
        Raises StoreError if the repository's own store fails."""
        with self._direct():
            return self._run(plan, progress)

    def _run(self, plan: RepairPlan, progress: Progress) -> RepairResult:
        started = self._clock.monotonic()
        progress.expect(size=plan.size)
        donors: list[Donor] = open_donors(self._donors)[0] if plan.steps else []
        mender = RepairRun(self._repository, donors, progress)
        mender.run(plan.steps)
        return RepairResult(
            done=tuple(mender.done),
            failed=tuple(mender.failed),
            remaining=tuple(self._remaining()),
            bytes=mender.bytes,
            duration_s=round(self._clock.monotonic() - started, 3),
        )

    def _remaining(self) -> list[str]:
        """What is still wrong, as a verify without reading contents finds it."""
        points, errors = self._repository.points.readable(reread=True)
        found = [error.message for error in errors]
        links = forgotten_links(self._repository.objects, *{point.source for point in points})
        lost = find_losses(self._repository, points, errors, complete=self._complete).texts()
        keys = [str(each) for each in key_problems(self._repository.cipher)]
        return [
            *found,
            *lost,
            *keys,
            *chain_breaks(points, links),
            *structure_findings(self._repository, points),
        ]
