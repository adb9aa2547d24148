"""What is stored, and where: a repository's indexes put together (FORMAT.md §5).

An index is derived from its packs, so that a lost or damaged one hides nothing: readers then use the packs' own tables,
and the next writer verifies and indexes those packs again.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from contextlib import suppress
from dataclasses import dataclass

from backup_platform.domain.ports import Cipher
from backup_platform.errors import DamageError, KeyMissingError, NotFoundError, StoreRefusedError
from backup_platform.repository.objects.names import INDEXES, Hash, HashedKey, PackKey
from backup_platform.repository.objects.objects import Objects
from backup_platform.repository.packs.blob_reader import PackRanges
from backup_platform.repository.packs.claims import Claims, by_pack
from backup_platform.repository.packs.index import BlobIndex, IndexedPack, index_pack, pack_lengths
from backup_platform.repository.packs.index_objects import decode_index
from backup_platform.repository.packs.known import Known, table_of
from backup_platform.repository.packs.packs import decode_table, table_length
from backup_platform.repository.packs.storing import checked_pack, write_index
from backup_platform.repository.records.marks import Marks
from backup_platform.repository.records.tombstones import read_tombstones

TABLE_GUESS = 64 << 10


@dataclass(frozen=True, slots=True)
class Indexes:
    """Blobs of contents and of metadata, in packs that the store lists (sizes by key).

    `refused` are packs that a writer does not build on: damaged, or about to be deleted. `unindexed` are packs that no
    readable index names; their blobs are known from the packs' own tables. `doomed` are being deleted. `misfits` have
    another size than their blobs make. `disputed` are packs of which indexes say different things. `passed_over` are
    the rows of the doomed ones, as a writer knows them.
    """

    contents: BlobIndex
    meta: BlobIndex
    listed: dict[PackKey, int]
    refused: frozenset[HashedKey] = frozenset()
    unindexed: frozenset[PackKey] = frozenset()
    doomed: frozenset[PackKey] = frozenset()
    misfits: frozenset[PackKey] = frozenset()
    disputed: frozenset[PackKey] = frozenset()
    passed_over: tuple[IndexedPack, ...] = ()

    def table(self, key: PackKey, hashed: Hash) -> str:
        """The hash of a pack's rows; empty if it has none."""
        index = self.meta if key.meta else self.contents
        number = index.number_of(key)
        return "" if number is None else table_of(index.rows[index.rows_of(number)], hashed)

    def add(self, packs: Iterable[IndexedPack]) -> None:
        found = list(packs)
        self.contents.add(p for p in found if not p.key.meta)
        self.meta.add(p for p in found if p.key.meta)


def load_indexes(objects: Objects, *, without: AbstractSet[HashedKey] = frozenset()) -> Indexes:
    """Indexes for a reader. A blob is looked for in this order: packs that are not known to be damaged and can be
    whole, packs that an index names, packs that have been in the store for the longest time. Packs in `without` are
    left out, as if the store did not list them."""
    damaged = Marks(objects).damaged()
    stored = {key: found for key, found in objects.packs().items() if key not in without}
    listed = {key: found.size for key, found in stored.items()}
    claims = read_claims(objects, listed, damaged)
    ranges = PackRanges(objects.store, objects.cipher, listed)
    # Whoever may write can call a good index wrong: where a key opens a pack, its own table is heard as well.
    for key in sorted(named_by(objects, damaged) & claims.first.keys()):
        if (table := by_its_table(ranges, key)) is not None:
            claims.hear(table)
    packs = claims.all_said()
    unindexed = listed.keys() - packs.keys()
    packs |= {key: pack for key in sorted(unindexed) if (pack := by_its_table(ranges, key)) is not None}
    odd = misfits(objects.cipher, packs, listed, claims)
    doubted = damaged | odd
    result = Indexes(
        BlobIndex(),
        BlobIndex(),
        listed,
        unindexed=frozenset(unindexed),
        misfits=odd,
        disputed=claims.disputed,
    )
    order = {key: (key in doubted, key in unindexed, stored[key].modified, key) for key in packs}
    result.add(packs[key] for key in sorted(packs, key=order.__getitem__))
    return result


def misfits(
    cipher: Cipher, packs: Mapping[PackKey, IndexedPack], listed: Mapping[PackKey, int], claims: Claims
) -> frozenset[PackKey]:
    """Packs whose size in the store does not fit their blobs: they are not whole. For disputed packs this cannot be
    judged by what indexes say."""
    lengths = pack_lengths(list(packs.values())).tolist()
    odd = {
        key for key, length in zip(packs, lengths, strict=True) if not cipher.fits(key, length, listed[key])
    }
    for key in odd & claims.disputed:
        if any(
            cipher.fits(key, length, listed[key]) for length in pack_lengths(claims.versions(key)).tolist()
        ):
            odd.discard(key)
    return frozenset(odd)


def load_trusted(objects: Objects, known: Known, *, adopt: bool = True) -> Indexes:
    """Indexes for a writer, without packs that it must not use. With `adopt`, packs of an interrupted writer are
    verified and indexed."""
    # Before the packs are listed: prune deletes these first.
    tombstones = read_tombstones(objects)
    tombstones.require_finals()
    damaged = Marks(objects).damaged()
    refused = damaged | tombstones.condemned
    stored = objects.packs()
    listed = {key: found.size for key, found in stored.items()}
    claims = read_claims(objects, listed, damaged)
    refused |= misfits(objects.cipher, claims.first, listed, claims)
    packs = {key: pack for key, pack in claims.agreed().items() if len(pack.rows)}
    left = listed.keys() - claims.first.keys() - refused
    adopted = list(_sound(objects, left)) if adopt else []
    if adopted:
        write_index(objects, adopted)
        known.learn({p.key.id: table_of(p.rows, objects.cipher.hash) for p in adopted})
    result = Indexes(
        BlobIndex(),
        BlobIndex(),
        listed,
        refused=frozenset(refused),
        doomed=tombstones.doomed,
        disputed=claims.disputed,
        passed_over=tuple(packs[key] for key in sorted(packs.keys() & tombstones.doomed)),
    )
    # Of a blob that several packs hold the one that this host answers for comes first.
    own = known.packs
    order = {key: (key.id not in own, stored[key].modified, key) for key in packs.keys() - refused}
    used = sorted(order, key=order.__getitem__)
    result.add([*(packs[key] for key in used), *adopted])
    return result


def read_claims(objects: Objects, listed: Container[PackKey], wrong: Iterable[str]) -> Claims:
    """What the readable indexes say of some packs, without those that are said to be `wrong`."""
    claims, seen = Claims(), set(wrong)
    # An index that vanishes was replaced: by one that a listing made from now on has.
    while _read_indexes(objects, listed, claims, seen):
        pass
    return claims


def _read_indexes(objects: Objects, listed: Container[PackKey], claims: Claims, seen: set[str]) -> bool:
    """Read the indexes that were not seen yet; whether one vanished meanwhile."""
    vanished = False
    for key in sorted(found.key for found in objects.store.list(INDEXES)):
        if key in seen:
            continue
        seen.add(key)
        try:
            named = by_pack(decode_index(objects.plain(key)))
        except DamageError as error:  # its packs are found by their tables
            vanished = vanished or error.missing
            continue
        for pack in named.values():
            if pack.key in listed:
                claims.hear(pack)
    return vanished


def named_by(objects: Objects, indexes: Iterable[str]) -> set[PackKey]:
    """The packs that some indexes name; other keys among them are of no interest."""
    named = set[PackKey]()
    for key in indexes:
        if key.startswith(INDEXES):
            with suppress(DamageError):
                named.update(by_pack(decode_index(objects.plain(key))))
    return named


def by_its_table(packs: PackRanges, key: PackKey) -> IndexedPack | None:
    try:
        return read_table(packs, key)
    except (DamageError, KeyMissingError, NotFoundError):
        return None


def read_table(packs: PackRanges, key: PackKey) -> IndexedPack:
    """What a pack holds by its own table. Raises DamageError, KeyMissingError, NotFoundError."""
    tail = packs.tail(key, TABLE_GUESS)
    length = table_length(tail)
    table = tail[-length:] if length <= len(tail) else packs.tail(key, length)
    return index_pack(key, decode_table(table))


def _sound(objects: Objects, keys: Iterable[PackKey]) -> Iterator[IndexedPack]:
    """Those of some packs that are what their names say. Others are not used, and verify reports them if needed."""
    for key in sorted(keys):
        try:
            frames = checked_pack(objects, key)
        except (DamageError, KeyMissingError, StoreRefusedError):  # a writer may lack the right to read packs
            continue
        yield index_pack(key, frames)
