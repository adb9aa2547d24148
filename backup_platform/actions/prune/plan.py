"""What prune will do, decided from what a survey found (FORMAT.md §10). Nothing here touches the store."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from backup_platform.domain.ports import StoredObject
from backup_platform.repository.objects.names import PackKey, StoredPack

if TYPE_CHECKING:
    from backup_platform.repository.deletion.survey import StoredIndex, Survey
    from backup_platform.repository.records.forgotten import ForgottenPlace
    from backup_platform.repository.records.tombstones import Tombstone

FINAL_KEPT = timedelta(hours=1)  # FORMAT.md §10, step 5
UNBROKEN = timedelta(minutes=30)  # between packs of a backup that is running
LONGEST_BACKUP = timedelta(days=14)
UNREADABLE_KEPT = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class PruneSettings:
    """`grace` is the time between marking and deleting, by the store's clock. Packs are rewritten if the unneeded bytes
    in needed packs exceed `max_waste`, a share of all their bytes."""

    grace: timedelta = timedelta(days=1)
    max_waste: float = 0.1


@dataclass(frozen=True, slots=True)
class PrunePlan:
    """Objects with their sizes in bytes. `refusals` say why nothing at all will be changed.

    `delete` are packs whose grace is over, and `doom` those of them that have no final tombstone yet. `condemn` are
    packs that no point needs now, and `waiting` those that were condemned before. `doubted` packs stay: they are said
    to hold the same blobs as others, and no available key shows which of them really do. Indexes disagree about
    `disputed` packs. `needs_identity` are bytes that only a host with an identity can save by rewriting.
    """

    now: datetime  # the store's
    grace: timedelta
    refusals: tuple[str, ...] = ()
    packs: int = 0
    pack_bytes: int = 0
    wasted_bytes: int = 0
    condemn: tuple[StoredPack, ...] = ()
    waiting: tuple[StoredPack, ...] = ()
    doubted: tuple[StoredPack, ...] = ()
    disputed: frozenset[PackKey] = frozenset()
    delete: tuple[StoredPack, ...] = ()
    doom: frozenset[PackKey] = frozenset()
    rewrite: tuple[StoredPack, ...] = ()
    rewrite_saves: int = 0
    needs_identity: int = 0
    merge_indexes: tuple[StoredIndex, ...] = ()
    delete_indexes: tuple[StoredObject, ...] = ()
    delete_tombstones: tuple[str, ...] = ()  # after the final ones are written
    delete_finals: tuple[str, ...] = ()
    drafts: tuple[StoredObject, ...] = ()
    proofs: Mapping[ForgottenPlace, tuple[StoredObject, ...]] = field(
        default_factory=dict
    )  # of forgotten points
    survey: Survey | None = field(default=None, repr=False, compare=False)

    @property
    def freed_bytes(self) -> int:
        """Bytes to delete: packs, indexes and drafts."""
        return size_of([*self.delete, *self.delete_indexes, *self.drafts])

    @property
    def empty(self) -> bool:
        """Is there nothing to do?"""
        work = (
            self.condemn,
            self.delete,
            self.rewrite,
            self.merge_indexes,
            self.delete_indexes,
            self.drafts,
            self.proofs,
        )
        return not any((*work, self.delete_tombstones, self.delete_finals))


def size_of(objects: Iterable[StoredObject]) -> int:
    """Bytes of some objects."""
    return sum(each.size for each in objects)


def refuse(found: Survey, settings: PruneSettings) -> PrunePlan:
    """A plan that changes nothing, because an object cannot be read that might need any pack. An altered final
    tombstone is removed when it is a day old, because no prune is deleting by it any more."""
    forgotten = [
        each.key
        for each in found.tombstones.unreadable_finals
        if found.now - each.modified >= UNREADABLE_KEPT
    ]
    return PrunePlan(
        found.now,
        settings.grace,
        found.problems,
        len(found.packs),
        size_of(found.packs.values()),
        delete_finals=tuple(forgotten),
        survey=found,
    )


def running_since(stored: Iterable[datetime], now: datetime, gap: timedelta) -> datetime:
    """When the series of packs began that reaches up to now without a longer gap. It is now if there is no such
    series. The series may belong to a backup that is not committed yet. Series of more than two weeks do not
    count."""
    since = now
    for moment in sorted(stored, reverse=True):
        if since - moment > gap:
            break
        since = moment
    return max(since, now - LONGEST_BACKUP)


@dataclass(slots=True)
class Decisions:
    """What prune does with packs that no point needs, and with tombstones."""

    found: Survey
    settings: PruneSettings
    doom: set[PackKey] = field(default_factory=set)
    condemn: set[PackKey] = field(default_factory=set)
    waiting: set[PackKey] = field(default_factory=set)
    tombstones: list[str] = field(default_factory=list)
    finals: list[str] = field(default_factory=list)

    def decide(self) -> None:
        found, unneeded = self.found, self.found.packs.keys() - self.found.needed
        for tombstone in found.tombstones.readable:
            if tombstone.final:
                self._final(tombstone)
            else:
                self._tombstone(tombstone)
        self.tombstones += [o.key for o in found.tombstones.unreadable if not o.key.endswith(".final")]
        known = found.tombstones.condemned
        self.condemn |= self._abandoned(unneeded - known)
        self.doom -= found.tombstones.doomed
        self.condemn -= self.doom | found.tombstones.doomed
        self.waiting -= self.doom | found.tombstones.doomed

    def old(self, stored: StoredObject) -> bool:
        return self.found.now - stored.modified >= self.settings.grace

    def _abandoned(self, unneeded: set[PackKey]) -> set[PackKey]:
        """The packs that are older than the grace, and older than a backup that seems to be running."""
        times = {key: self.found.packs[key].modified for key in unneeded}
        since = running_since(times.values(), self.found.now, min(UNBROKEN, self.settings.grace / 4))
        return {key for key in unneeded if times[key] < since and self.old(self.found.packs[key])}

    def _final(self, tombstone: Tombstone) -> None:
        """It stays while one of its packs is there."""
        aged = self.found.now - tombstone.modified >= FINAL_KEPT
        if aged and not tombstone.packs & self.found.packs.keys():
            self.finals.append(tombstone.key)

    def _tombstone(self, tombstone: Tombstone) -> None:
        there = tombstone.packs & self.found.packs.keys()
        unneeded = there - self.found.needed
        if self.found.now - tombstone.modified >= self.settings.grace:
            self.doom |= unneeded
            self.tombstones.append(tombstone.key)
        elif unneeded == there and there:
            self.waiting |= unneeded
        else:  # some are needed again: the others wait anew
            self.condemn |= unneeded
            self.tombstones.append(tombstone.key)

    @property
    def delete(self) -> set[PackKey]:
        doomed = (self.found.tombstones.doomed & self.found.packs.keys()) - self.found.needed
        return self.doom | doomed


@dataclass(frozen=True, slots=True)
class Rewriting:
    """Packs to rewrite, the bytes that saves, and those that it would save with an identity."""

    packs: tuple[StoredPack, ...] = ()
    saves: int = 0
    needs_identity: int = 0
    wasted: int = 0


def plan_rewriting(decided: Decisions, *, reads_contents: bool) -> Rewriting:
    """The packs with the most waste, until the rest is within the limit."""
    found = decided.found
    waste = found.unused
    excess = sum(waste.values()) - decided.settings.max_waste * size_of(found.packs[k] for k in found.needed)
    settled = found.tombstones.condemned | found.damaged | found.unindexed
    chosen, saves, locked = [], 0, 0
    for key in sorted(waste, key=lambda key: (-waste[key] / found.packs[key].size, key)):
        if excess <= saves or key in settled or not decided.old(found.packs[key]):
            continue
        if not key.meta and not reads_contents:
            locked += waste[key]
            continue
        chosen.append(found.packs[key])
        saves += waste[key]
    return Rewriting(tuple(chosen), saves, locked if excess > saves else 0, sum(waste.values()))
