"""Fewer and smaller indexes: which are merged, and which a newer one has made superfluous (FORMAT.md §10)."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime, timedelta

from backup_platform.errors import DamageError
from backup_platform.repository.deletion.survey import StoredIndex
from backup_platform.repository.objects.names import PackKey
from backup_platform.repository.objects.objects import Objects
from backup_platform.repository.packs.claims import by_pack
from backup_platform.repository.packs.index import IndexedPack
from backup_platform.repository.packs.index_objects import decode_index
from backup_platform.repository.packs.storing import write_index

SMALL_ROWS = 250_000
MOST_SMALL = 16
MOST_DEAD = 0.25  # share of rows whose packs are gone
MERGED_ROWS = 1_000_000


def superfluous(
    indexes: Sequence[StoredIndex],
    packs: Collection[PackKey],
    now: datetime,
    grace: timedelta,
    *,
    all_named: bool,
) -> list[StoredIndex]:
    """The indexes that may be deleted: newer indexes, which are older than the grace, name all their existing packs
    and say the same about them. `all_named` says that every pack has an index; then an unreadable index is
    useless."""
    old = [each for each in indexes if now - each.stored.modified >= grace]
    named: set[PackKey] = set()
    found = []
    for each in sorted((each for each in old if each.readable), key=_age, reverse=True):
        alive = {pack for pack in each.rows if pack in packs}
        if alive <= named:
            found.append(each)
        named |= alive - each.disputed
    return found + [each for each in old if not each.readable and all_named]


def mergeable(indexes: Sequence[StoredIndex], packs: Collection[PackKey]) -> list[StoredIndex]:
    """The indexes to merge into new ones: small ones if there are many, and those with many rows of deleted
    packs."""
    replaced = _replaced(indexes, packs)
    current = [
        each
        for each in indexes
        if each.readable and each.stored.key not in replaced and each.disputed.isdisjoint(packs)
    ]
    small = [each for each in current if _alive(each, packs) < SMALL_ROWS]
    if len(small) < MOST_SMALL:
        small = []
    keys = {each.stored.key for each in small}
    return small + [e for e in current if e.stored.key not in keys and 0 < _alive(e, packs) < _worth(e)]


def _replaced(indexes: Sequence[StoredIndex], packs: Collection[PackKey]) -> set[str]:
    """Keys of those that only wait for the grace to pass."""
    latest = max((each.stored.modified for each in indexes), default=None)
    found = superfluous(indexes, packs, latest, timedelta(), all_named=False) if latest else []
    return {each.stored.key for each in found}


def _worth(index: StoredIndex) -> float:
    return sum(index.rows.values()) * (1 - MOST_DEAD)


def _alive(index: StoredIndex, packs: Collection[PackKey]) -> int:
    return sum(count for pack, count in index.rows.items() if pack in packs)


def _age(index: StoredIndex) -> tuple[datetime, str]:
    return index.stored.modified, index.stored.key


def merge(objects: Objects, indexes: Iterable[StoredIndex], packs: Collection[PackKey]) -> int:
    """Write the rows of packs that are there to new indexes; how many."""
    done: set[PackKey] = set()
    some: list[IndexedPack] = []
    written = 0
    for each in indexes:
        for key, pack in _named(objects, each).items():
            if key in packs and key in each.rows and key not in done:
                done.add(key)
                some.append(pack)
        if sum(len(pack.rows) for pack in some) >= MERGED_ROWS:
            write_index(objects, some)
            some, written = [], written + 1
    if some:
        write_index(objects, some)
    return written + bool(some)


def _named(objects: Objects, index: StoredIndex) -> dict[PackKey, IndexedPack]:
    try:
        return by_pack(decode_index(objects.plain(index.stored.key)))
    except DamageError:
        return {}  # altered or replaced since it was read: it is left as it is
