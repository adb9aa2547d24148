"""Prune: delete what no recovery point needs. It has two phases, takes no lock, and may be interrupted anywhere
(FORMAT.md §10)."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from typing import TypeVar

from backup_platform.actions.prune.false_claims import tell_false_claims
from backup_platform.actions.prune.old_proofs import Found, may_go, old_proofs
from backup_platform.actions.prune.plan import (
    FINAL_KEPT,
    Decisions,
    PrunePlan,
    PruneSettings,
    plan_rewriting,
    refuse,
    size_of,
)
from backup_platform.actions.prune.rewrite import Rewritten, rewrite
from backup_platform.actions.prune.stand_ins import compared, stand_ins
from backup_platform.advice import command
from backup_platform.domain.ports import Clock, Drafts, Progress, StoredObject
from backup_platform.domain.words import with_others
from backup_platform.errors import (
    RepositoryError,
    StoreError,
    StoreFullError,
    StoreLockedError,
    StoreRefusedError,
)
from backup_platform.repository.deletion.compaction import merge, mergeable, superfluous
from backup_platform.repository.deletion.survey import Survey, survey
from backup_platform.repository.objects.names import PackKey, StoredPack
from backup_platform.repository.packs.decoded import Decoded
from backup_platform.repository.packs.storing import write_index
from backup_platform.repository.records.tombstones import Look, read_tombstones, write_tombstones
from backup_platform.repository.repository import Repository

DELETERS = 8
S = TypeVar("S", bound=StoredObject)


@dataclass(frozen=True, slots=True)
class PruneSummary:
    """What was done. Sizes are in bytes.

    `locked` objects are left for a later run, because their retention is not over. The store `refused` to delete
    others; `refusal` is the first reason. `damaged` packs were found. Indexes disagree about `disputed` packs: somebody
    wrote a wrong one. `false_claims` counts packs that do not hold what an index says, or that nobody here can open
    although somebody should. `doubted` packs stay, because no key here shows whether they or others really hold the
    same blobs.
    """

    packs_deleted: int = 0
    freed_bytes: int = 0
    packs_condemned: int = 0
    condemned_bytes: int = 0
    packs_rewritten: int = 0
    rewritten_bytes: int = 0
    indexes_written: int = 0
    indexes_deleted: int = 0
    drafts_deleted: int = 0
    proofs_deleted: int = 0
    locked: int = 0
    locked_bytes: int = 0
    refused: int = 0
    refused_bytes: int = 0
    refusal: str = ""
    damaged: int = 0
    disputed: int = 0
    false_claims: int = 0
    doubted: int = 0
    doubted_bytes: int = 0
    duration_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Pruning:
    """Prune of one repository. `drafts` is given if its store has drafts. Inside `evidence`, reads do not use a cache.
    Inside `lending`, a full disk provides the space that was reserved for this work, and `keep_room` reserves it for
    the next time. Raises StoreError, KeyMissingError."""

    repository: Repository
    settings: PruneSettings
    clock: Clock
    drafts: Drafts | None = None
    evidence: Callable[[], AbstractContextManager[None]] = nullcontext
    lending: Callable[[], AbstractContextManager[None]] = nullcontext
    keep_room: Callable[[], None] = lambda: None

    def plan(self) -> PrunePlan:
        """What a run would do now. Reads every manifest and inventory."""
        with self.evidence(), self.lending():
            return self._plan(survey(self.repository))

    def _plan(self, found: Survey) -> PrunePlan:
        """By a survey that may rely on what was decoded before."""
        if found.problems:
            return refuse(found, self.settings)
        decided = Decisions(found, self.settings)
        decided.decide()
        rewriting = plan_rewriting(decided, reads_contents=self.repository.cipher.reads_contents)
        delete = decided.delete
        staying = found.packs.keys() - delete
        return PrunePlan(
            now=found.now,
            grace=self.settings.grace,
            packs=len(found.packs),
            pack_bytes=size_of(found.packs.values()),
            wasted_bytes=rewriting.wasted,
            condemn=_objects(found, decided.condemn),
            waiting=_objects(found, decided.waiting),
            doubted=_objects(found, found.doubted),
            disputed=found.disputed,
            delete=_objects(found, delete),
            doom=frozenset(decided.doom),
            rewrite=rewriting.packs,
            rewrite_saves=rewriting.saves,
            needs_identity=rewriting.needs_identity,
            merge_indexes=tuple(mergeable(found.indexes, staying)),
            delete_indexes=self.superfluous(found, staying),
            delete_tombstones=tuple(decided.tombstones),
            delete_finals=tuple(decided.finals),
            drafts=self._drafts(found),
            proofs=old_proofs(
                self.repository, found.manifests, found.now, max(self.settings.grace, FINAL_KEPT)
            ),
            survey=found,
        )

    def superfluous(self, found: Survey, staying: Collection[PackKey]) -> tuple[StoredObject, ...]:
        """Indexes that may go when these packs stay."""
        named = not found.unindexed.intersection(staying)
        some = superfluous(found.indexes, staying, found.now, self.settings.grace, all_named=named)
        return tuple(each.stored for each in some)

    def _drafts(self, found: Survey) -> tuple[StoredObject, ...]:
        least = max(self.settings.grace, FINAL_KEPT)
        drafts = self.drafts.drafts() if self.drafts else iter(())
        return tuple(draft for draft in drafts if found.now - draft.modified >= least)

    def run(self, plan: PrunePlan, progress: Progress) -> PruneSummary:
        """Carry out the steps of a plan that are still right. Raises RepositoryError before anything is deleted, if an
        object cannot be read that might need any pack."""
        with self.evidence(), self.lending():
            summary = _Run(self, progress).run(plan)
        self.keep_room()
        return summary

    def current(self, plan: PrunePlan) -> PrunePlan:
        """The plan, without what new recovery points need."""
        assert plan.survey is not None
        if self.manifests() <= plan.survey.manifests:
            return plan
        return self.again(plan, Decoded())

    def again(self, plan: PrunePlan, decoded: Decoded) -> PrunePlan:
        """The plan, by what the store holds now."""
        return narrowed(self._plan(survey(self.repository, decoded)), plan)

    def manifests(self) -> set[str]:
        """Keys of all manifests."""
        return set(self.repository.points.stored())


def _objects(found: Survey, keys: Iterable[PackKey]) -> tuple[StoredPack, ...]:
    return tuple(found.packs[key] for key in sorted(keys))


def narrowed(fresh: PrunePlan, agreed: PrunePlan) -> PrunePlan:
    """A fresh plan, without deletions that the agreed plan did not have. Indexes that were disputed are an
    exception."""
    assert agreed.survey is not None
    delete = {each.key for each in agreed.delete}
    disputed = {each.stored.key for each in agreed.survey.indexes if each.disputed}
    indexes = {each.key for each in agreed.delete_indexes} | disputed
    return replace(
        fresh,
        delete=tuple(each for each in fresh.delete if each.key in delete),
        doom=fresh.doom & delete,
        # A tombstone of packs that are not deleted now has to stay.
        delete_tombstones=fresh.delete_tombstones if fresh.doom <= delete else (),
        delete_indexes=tuple(each for each in fresh.delete_indexes if each.key in indexes),
        proofs={place: some for place, some in fresh.proofs.items() if place in agreed.proofs},
    )


class _Run:
    """One run of a plan."""

    def __init__(self, pruning: Pruning, progress: Progress) -> None:
        self._pruning, self._progress = pruning, progress
        self._repository, self._store = pruning.repository, pruning.repository.store
        self._locked: list[StoredObject] = []
        self._refused: list[tuple[StoredObject, StoreRefusedError]] = []
        self._decoded = Decoded()

    def run(self, plan: PrunePlan) -> PruneSummary:
        started = self._pruning.clock.monotonic()
        plan = self._pruning.current(plan)
        self._require_sound(plan)
        disputed, first = plan.disputed, plan
        plan = self._compared(plan)
        told = tell_false_claims(self._repository, first, self._decoded, self._progress)
        assert plan.survey is not None
        self._progress.expect(size=size_of([*plan.rewrite, *plan.delete]))
        write_tombstones(self._repository.objects, {each.key for each in plan.condemn})
        # What makes room comes before what needs some.
        self._delete(_nameless(plan.delete_finals))
        drafts = self._delete_drafts(plan.drafts)
        deleted = self._delete_packs(plan)
        rewritten = self._rewrite(plan)
        write_tombstones(self._repository.objects, rewritten.replaced)
        condemned = {each.key for each in plan.condemn} | rewritten.replaced
        merged = merge(self._repository.objects, plan.merge_indexes, self._staying(plan, deleted))
        indexes = self._delete_indexes(plan, self._staying(plan, deleted))
        proofs = self._delete_proofs(plan.proofs)
        summary = self._summary(plan, rewritten, condemned, [*deleted, *indexes, *drafts])
        return replace(
            summary,
            disputed=len(disputed),
            false_claims=len(told),
            packs_deleted=len(deleted),
            indexes_written=merged,
            indexes_deleted=len(indexes),
            drafts_deleted=len(drafts),
            proofs_deleted=len(proofs),
            duration_s=round(self._pruning.clock.monotonic() - started, 3),
        )

    def _compared(self, plan: PrunePlan) -> PrunePlan:
        """Decode and compare the packs that stay in the place of others."""
        agreed = plan

        def again() -> PrunePlan:
            fresh = self._pruning.again(agreed, self._decoded)
            self._require_sound(fresh)
            return fresh

        plan = compared(self._repository, plan, self._decoded, again, self._progress)
        assert plan.survey is not None
        # Decoded because an index is wrong about them, and no other one names them.
        if unnamed := sorted(plan.survey.unindexed & plan.survey.needed & self._decoded.packs.keys()):
            write_index(self._repository.objects, [self._decoded.packs[key] for key in unnamed])
        return plan

    def _rewrite(self, plan: PrunePlan) -> Rewritten:
        assert plan.survey is not None
        try:
            return rewrite(self._repository, plan.survey, [each.key for each in plan.rewrite], self._progress)
        except StoreFullError as error:
            self._progress.note(f"{error.message} Partly used packs are left for a later run.")
            return Rewritten()

    def _require_sound(self, plan: PrunePlan) -> None:
        if plan.refusals:
            self._delete(_nameless(plan.delete_finals))
            raise RepositoryError(
                f"Nothing was pruned, because it is not known which packs are needed: {with_others(plan.refusals)}",
                hint=(
                    "Run ",
                    command("verify"),
                    ", then repair the repository from a copy, or forget the points that cannot be restored any "
                    "more.",
                ),
            )

    def _summary(
        self, plan: PrunePlan, rewritten: Rewritten, condemned: Collection[PackKey], gone: list[StoredObject]
    ) -> PruneSummary:
        assert plan.survey is not None
        return PruneSummary(
            freed_bytes=size_of(gone),
            packs_condemned=len(condemned),
            condemned_bytes=size_of(_objects(plan.survey, condemned)),
            packs_rewritten=len(rewritten.replaced),
            rewritten_bytes=rewritten.bytes,
            locked=len(self._locked),
            locked_bytes=size_of(self._locked),
            refused=len(self._refused),
            refused_bytes=size_of(stored for stored, _ in self._refused),
            refusal=str(self._refused[0][1]) if self._refused else "",
            damaged=len(self._decoded.damaged.keys() | set(rewritten.damaged)),
            doubted=len(plan.doubted),
            doubted_bytes=size_of(plan.doubted),
        )

    # Packs

    def _delete_packs(self, plan: PrunePlan) -> list[StoredPack]:
        """FORMAT.md §10, steps 3 and 4."""
        assert plan.survey is not None
        finals = set(write_tombstones(self._repository.objects, plan.doom, final=True))
        self._delete(_nameless(plan.delete_tombstones))
        if not plan.delete:
            return []
        deleted = self._delete_doomed(plan, finals)
        for key in {pack.key for pack in deleted} & plan.survey.damaged:
            self._repository.marks.unmark(key)
        return deleted

    def _delete_doomed(self, plan: PrunePlan, finals: set[str]) -> list[StoredPack]:
        """Where deleting takes long, others may have done it meanwhile, and writers stored the same packs again."""
        deleted: list[StoredPack] = []
        allowed = self._confirmed(plan, finals)
        while allowed:
            look, late = Look.now(self._pruning.clock), list[StoredPack]()
            deleted += self._delete(allowed, partial(_in_time, look=look, late=late))
            doomed = {each.key for each in self._confirmed(plan, set())} if late else set()
            allowed = [each for each in late if each.key in doomed]
        return deleted

    def _confirmed(self, plan: PrunePlan, finals: set[str]) -> list[StoredPack]:
        """The packs that may go, by what the store lists with the final tombstones in place."""
        assert plan.survey is not None
        tombstones = read_tombstones(self._repository.objects, final=True)
        tombstones.require_finals()
        if lost := finals - {each.key for each in tombstones.readable}:
            raise StoreError(
                f"The store does not list {min(lost)}, which was just written: nothing was deleted.",
                retryable=True,
            )
        known = plan.survey.tombstones.doomed | plan.doom
        there = self._repository.objects.packs().keys()
        same = tombstones.doomed <= known and plan.survey.needed <= there
        if same and self._pruning.manifests() <= plan.survey.manifests:
            return [each for each in plan.delete if each.key in tombstones.doomed]
        return self._by_a_new_survey(plan)

    def _by_a_new_survey(self, plan: PrunePlan) -> list[StoredPack]:
        self._progress.note("The repository changed meanwhile: reading it again.")
        fresh = survey(self._repository, self._decoded)
        self._require_sound(replace(plan, refusals=fresh.problems, delete_finals=()))
        allowed = (fresh.tombstones.doomed & fresh.packs.keys()) - fresh.needed
        left = [each for each in plan.delete if each.key in allowed]
        repository = self._repository
        self._decoded.read(repository.objects, repository.known, stand_ins(fresh, left), fresh.said)
        return [
            each for each in left if all(fresh.holds(self._decoded, key) for key in stand_ins(fresh, [each]))
        ]

    def _delete_indexes(self, plan: PrunePlan, staying: Collection[PackKey]) -> list[StoredObject]:
        """Delete the indexes of the plan, if no pack that still exists needs them."""
        assert plan.survey is not None
        allowed = set(self._pruning.superfluous(plan.survey, staying))
        return self._delete([each for each in plan.delete_indexes if each in allowed])

    def _staying(self, plan: PrunePlan, deleted: Iterable[StoredPack]) -> Collection[PackKey]:
        assert plan.survey is not None
        return plan.survey.packs.keys() - {each.key for each in deleted}

    # Objects

    def _delete(self, objects: Collection[S], may: Callable[[S], bool] = lambda stored: True) -> list[S]:
        """Delete objects; the ones that are gone now. If the store refuses one, it stays, and the others are still
        deleted."""
        with ThreadPoolExecutor(DELETERS) as pool:
            gone = list(pool.map(lambda stored: may(stored) and self._deleted(stored), objects))
        return [each for each, done in zip(objects, gone, strict=True) if done]

    def _deleted(self, stored: StoredObject) -> bool:
        try:
            self._store.delete(stored.key)
        except StoreLockedError:
            self._locked.append(stored)
            return False
        except StoreRefusedError as error:
            self._refused.append((stored, error))
            return False
        self._progress.advance(size=stored.size)
        return True

    def _delete_proofs(self, proofs: Found) -> list[StoredObject]:
        """Delete the proofs of forgotten points."""
        with ThreadPoolExecutor(DELETERS) as pool:
            allowed = list(pool.map(lambda place: may_go(self._repository, place), proofs))
        gone = [some for some, may in zip(proofs.values(), allowed, strict=True) if may]
        return self._delete([each for some in gone for each in some])

    def _delete_drafts(self, drafts: Collection[StoredObject]) -> Collection[StoredObject]:
        for draft in drafts:
            assert self._pruning.drafts is not None
            self._pruning.drafts.delete_draft(draft.key)
        return drafts


def _in_time(pack: StoredPack, look: Look, late: list[StoredPack]) -> bool:
    """Whether the look is recent enough to delete a pack; otherwise it is noted as late."""
    if not look.recent:
        late.append(pack)
        return False
    return True


def _nameless(keys: Iterable[str]) -> list[StoredObject]:
    """Objects whose size does not matter."""
    return [StoredObject(key, 0, datetime.fromtimestamp(0, UTC)) for key in keys]
