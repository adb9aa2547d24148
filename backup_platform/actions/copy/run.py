"""Copy recovery points to the same repository in another place: whole objects, as they are (FORMAT.md §11)."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from backup_platform.actions.copy.packs import PackMover
from backup_platform.actions.copy.plan import (
    CopyPlan,
    CopyPlanner,
    CopyStep,
    lacking,
    waits_for_prune,
)
from backup_platform.actions.structure import Needs, needs_of
from backup_platform.advice import command
from backup_platform.clock import SILENT
from backup_platform.domain.model import Json, Proof, ProofMethod, RecoveryPoint
from backup_platform.domain.ports import Clock, Progress
from backup_platform.domain.words import point_name, with_others
from backup_platform.errors import ConflictError, DamageError, RepositoryError
from backup_platform.repository.memory import return_large_buffers
from backup_platform.repository.packs.indexes import load_trusted
from backup_platform.repository.records.acceptances import copy_acceptances
from backup_platform.repository.records.tombstones import doomed_packs
from backup_platform.repository.replicas import copy_keys, copy_manifest, is_sound, require_replica
from backup_platform.repository.repository import Repository

PACKS_PER_GROUP = 64  # how many packs are stored before the points that need them are committed


@dataclass(frozen=True, slots=True)
class CopyResult:
    """`findings` say by point id why a point was not copied. `waiting` are those that a later run may copy.
    `key_problems` say why objects of `keys/` were not copied, which stops no point."""

    copied: tuple[RecoveryPoint, ...]
    kept: tuple[RecoveryPoint, ...]
    findings: dict[str, str]
    packs: int
    bytes: int
    keys: int
    duration_s: float
    waiting: frozenset[str] = frozenset()
    key_problems: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        return not self.findings and not self.key_problems

    def require(self) -> None:
        """Raises RepositoryError when a point was not copied."""
        if self.findings:
            texts = list(dict.fromkeys(self.findings.values()))
            total = len(self.findings) + len(self.copied) + len(self.kept)
            raise RepositoryError(
                f"{len(self.findings)} of {total} recovery points were not copied: {with_others(texts)}",
                hint=(
                    command("verify"),
                    " shows what is damaged, and ",
                    command("repair"),
                    " what can be repaired from another copy.",
                ),
                retryable=self.findings.keys() <= self.waiting,
            )


@dataclass(slots=True)
class _CopyWork:
    """What has been done so far."""

    copied: list[RecoveryPoint] = field(default_factory=list)
    findings: dict[str, str] = field(default_factory=dict)
    waiting: set[str] = field(default_factory=set)
    packs: dict[str, set[str]] = field(default_factory=dict)  # that copied points need, by source


class Copying:
    """Copies from `origin` to `target`, which are the same repository in two places. Raises RepositoryError when
    they are not. It only adds, and may be interrupted anywhere: the next run continues. For an encrypted repository
    it needs the repository key, but no identity."""

    def __init__(
        self,
        origin: Repository,
        target: Repository,
        clock: Clock,
        keep_locked: Callable[[str, Collection[str]], None] | None = None,
    ) -> None:
        require_replica(origin, target)
        self.origin, self.target, self._clock = origin, target, clock
        self._keep_locked = keep_locked

    def plan(self, points: Iterable[RecoveryPoint], *, thorough: bool = True) -> CopyPlan:
        """What the target lacks of some points of the origin. Writes nothing. Unless it is `thorough`, it does not
        check points that came to the target more than a week before the newest one."""
        self.origin.indexes(fresh=True)
        here = load_trusted(self.target.objects, self.target.known, adopt=False)
        return CopyPlanner(self.origin, self.target, here).plan(points, thorough=thorough)

    def run(self, plan: CopyPlan, progress: Progress = SILENT) -> CopyResult:
        """Copy the points of a plan, newest first; one that cannot be copied does not stop the others.

        Raises StoreError when either store fails, DamageError when the target loses or alters what it was given.
        """
        return_large_buffers()
        started, work = self._clock.monotonic(), _CopyWork(findings=dict(plan.findings))
        progress.expect(size=sum(sum(step.packs.values()) for step in plan.steps))
        keys, key_problems = copy_keys(self.origin, self.target.store)
        copy_acceptances(self.origin.objects, self.target.objects)
        here = load_trusted(self.target.objects, self.target.known, adopt=False)
        mover = PackMover(self.origin, self.target, here, progress)
        self.target.keep_indexes(here)
        try:
            for group in _groups(plan.steps):
                mover.move([key for step in group for key in step.packs])
                self._commit([step.point for step in group], mover, work)
        finally:
            self.target.keep_indexes(None)
        if self._keep_locked:
            for source, packs in self._to_lock(plan, work).items():
                self._keep_locked(source, packs)
        return CopyResult(
            copied=tuple(work.copied),
            kept=plan.kept,
            findings=work.findings,
            packs=mover.packs,
            bytes=mover.bytes,
            keys=keys,
            duration_s=round(self._clock.monotonic() - started, 3),
            waiting=frozenset(work.waiting),
            key_problems=tuple(key_problems),
        )

    def _to_lock(self, plan: CopyPlan, work: _CopyWork) -> dict[str, set[str]]:
        """What copied points need, by source; where none was, the newest one: an earlier run may have failed here."""
        newest = {point.source: point for point in sorted(plan.kept, key=lambda point: point.sequence)}
        kept = {source: point for source, point in newest.items() if source not in work.packs}
        return work.packs | {
            source: set(needs_of(self.target, point).packs) for source, point in kept.items()
        }

    def _commit(self, points: Sequence[RecoveryPoint], mover: PackMover, work: _CopyWork) -> None:
        """FORMAT.md §7 for some points: what they need is there and is not being deleted, before and after."""
        started = self._clock.monotonic()
        needs = {point.id: needs_of(self.target, point) for point in points}
        ready = [point for point in points if self._whole(point, needs[point.id], mover, work)]
        ready = self._undisturbed(ready, needs, work)
        committed = [point for point in ready if self._create(point, work)]
        sound = self._undisturbed(committed, needs, work)
        for point in sound:
            if needs[point.id].packs <= mover.read:
                self._record(point, needs[point.id], self._clock.monotonic() - started)
        work.copied += sound
        for point in sound:
            work.packs.setdefault(point.source, set()).update(needs[point.id].packs)

    def _whole(self, point: RecoveryPoint, needs: Needs, mover: PackMover, work: _CopyWork) -> bool:
        """Whether the target has all that a point needs; else why it has not, which may be damage in the origin."""
        if not needs.findings:
            return True
        packs = lacking(self.origin, mover.here, point).packs
        reasons = [mover.failures[key] for key in sorted(packs & mover.failures.keys())]
        if not reasons:  # the target changed since the plan was made, or is damaged
            self._mark_damaged(needs)
            work.waiting.add(point.id)
        texts = reasons or needs.findings
        work.findings[point.id] = (
            f"{point_name(point)} cannot be copied to {self.target.info.location}: {with_others(texts)}"
        )
        return False

    def _mark_damaged(self, needs: Needs) -> None:
        """Metadata in the target that cannot be read, so that the next copy brings it again."""
        for key in sorted(key for key in needs.packs if key.meta):
            if not is_sound(self.target, key):
                self.target.marks.mark(key, "A copy could not read it.")

    def _undisturbed(
        self, points: Sequence[RecoveryPoint], needs: dict[str, Needs], work: _CopyWork
    ) -> list[RecoveryPoint]:
        """The points whose packs the target lists, and is not about to delete."""
        if not points:
            return []
        # Tombstones first: prune deletes the packs, and then the tombstone.
        doomed = doomed_packs(self.target.objects)
        listed = self.target.objects.packs()
        sound = []
        for point in points:
            packs = needs[point.id].packs
            if dying := packs & doomed:
                work.findings[point.id] = waits_for_prune(self.target, point, min(dying))
            elif lost := packs - listed.keys():
                work.findings[point.id] = (
                    f"{point_name(point)} needs {min(lost)}, which {self.target.info.location} lost."
                )
            else:
                sound.append(point)
                continue
            work.waiting.add(point.id)
        return sound

    def _create(self, point: RecoveryPoint, work: _CopyWork) -> bool:
        try:
            copy_manifest(self.origin, self.target, point)
        except (ConflictError, DamageError) as error:
            work.findings[point.id] = f"{point_name(point)} cannot be copied: {error.message}"
            if error.retryable:
                work.waiting.add(point.id)
            return False
        return True

    def _record(self, point: RecoveryPoint, needs: Needs, duration_s: float) -> None:
        """A verify, when this run read every pack of the point in the target."""
        detail: dict[str, Json] = {
            "copied_from": self.origin.info.location,
            "findings": [],
            "packs_read": len(needs.packs),
        }
        at = self._clock.now()
        proof = Proof(point.id, ProofMethod.VERIFY, True, at, round(duration_s, 3), detail)
        self.target.proofs.record(proof, point)


def _groups(steps: Iterable[CopyStep]) -> Iterator[list[CopyStep]]:
    """Steps that are committed together: listings are few, and little is lost when a run is interrupted."""
    group: list[CopyStep] = []
    count = 0
    for step in steps:
        group.append(step)
        count += len(step.packs)
        if count >= PACKS_PER_GROUP:
            yield group
            group, count = [], 0
    if group:
        yield group
