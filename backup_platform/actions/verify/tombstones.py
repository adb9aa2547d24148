"""Final tombstones that no prune wrote. Anybody who can write to the store can make one. It is obeyed: no writer uses
the packs that it names, but a pack that is needed is never deleted because of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from backup_platform.actions.structure import Needs, needs_of
from backup_platform.domain.model import RecoveryPoint
from backup_platform.domain.words import how_many
from backup_platform.repository.packs.indexes import load_indexes
from backup_platform.repository.records.tombstones import Tombstone, read_tombstones
from backup_platform.repository.repository import Repository

SEEN = timedelta(days=1)  # after which a prune that writes a final tombstone has seen a manifest


@dataclass(frozen=True, slots=True)
class TombstoneDoubts:
    """No prune can have written `forged` ones. `late` ones may belong to a prune, if a writer committed too late for
    it."""

    forged: tuple[str, ...] = ()
    late: tuple[str, ...] = ()


def doubted_tombstones(
    repository: Repository, points: Sequence[RecoveryPoint], needs: Mapping[str, Needs]
) -> TombstoneDoubts:
    """The final tombstones that name packs which recovery points need."""
    finals = read_tombstones(repository.objects, final=True).readable
    forged: list[str] = []
    late: list[str] = []
    for each in finals:
        touched = [point for point in points if needs[point.id].packs & each.packs]
        if mine := _lacking(repository, each, touched) if touched else []:
            old = any(point.stored_at and point.stored_at < each.modified - SEEN for point in mine)
            (forged if old else late).append(_told(each, mine, old=old))
    return TombstoneDoubts(tuple(forged), tuple(late))


def _lacking(
    repository: Repository, tombstone: Tombstone, points: Sequence[RecoveryPoint]
) -> list[RecoveryPoint]:
    """The points of which no other pack held everything when the tombstone was written."""
    before, stored = repository.indexes(), repository.objects.packs()
    later = {key for key, found in stored.items() if found.modified > tombstone.modified}
    repository.keep_indexes(load_indexes(repository.objects, without=tombstone.packs | later))
    try:
        return [point for point in points if needs_of(repository, point).findings]
    finally:
        repository.keep_indexes(before)


def _told(tombstone: Tombstone, points: Sequence[RecoveryPoint], *, old: bool) -> str:
    needed = (
        f"{how_many(len(points), 'recovery point')}, the first is {points[0].source}@{points[0].window.key}"
    )
    text = f"{tombstone.key} says that packs are being deleted, but they are needed by {needed}."
    if old:
        return (
            f"{text} No prune wrote it, because those points were stored long before. Nothing is lost: the next backup "
            "of each source stores its data again. Find out who wrote it. It may be deleted in the store while no "
            "prune runs."
        )
    return (
        f"{text} A backup finished too late for a prune, or somebody else wrote the tombstone. The next backup stores "
        "the packs again."
    )
