"""What is stored, and where: a repository's indexes put together (FORMAT.md §5).

An index is derived from its packs, so that a lost or damaged one hides nothing: readers then use the packs' own tables,
and the next writer verifies and indexes those packs again.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import TYPE_CHECKING

from backup_platform.domain.ports import Cipher
from backup_platform.errors import DamageError, KeyMissingError, NotFoundError, StoreRefusedError
from backup_platform.repository.format import INDEXES, META, PACKS, Hash, object_key
from backup_platform.repository.index import BlobIndex, IndexedPack, decode_index, index_pack, pack_lengths
from backup_platform.repository.known import table_of
from backup_platform.repository.packs import decode_table, table_length
from backup_platform.repository.ranges import PackRanges
from backup_platform.repository.tombstones import read_tombstones

if TYPE_CHECKING:
    from backup_platform.repository.repository import Repository

TABLE_GUESS = 64 << 10


@dataclass(frozen=True, slots=True)
class Indexes:
    """Blobs of contents and of metadata, in packs that the store lists (sizes by key).

    `refused` are packs that a writer does not build on: damaged, or about to be deleted. `unindexed` are packs that no
    readable index names; their blobs are known from the packs' own tables. `doomed` are being deleted. `misfits` have
    another size than their blobs make.
    """

    contents: BlobIndex
    meta: BlobIndex
    listed: dict[str, int]
    refused: frozenset[str] = frozenset()
    unindexed: frozenset[str] = frozenset()
    doomed: frozenset[str] = frozenset()
    misfits: frozenset[str] = frozenset()

    def table(self, key: str, hashed: Hash) -> str:
        """The hash of a pack's rows; empty where there are none."""
        index = self.meta if key.startswith(META) else self.contents
        number = index.number_of(bytes.fromhex(key[-64:]))
        return "" if number is None else table_of(index.rows[index.rows_of(number)], hashed)

    def add(self, packs: Iterable[IndexedPack]) -> None:
        found = list(packs)
        self.contents.add(p for p in found if not p.meta)
        self.meta.add(p for p in found if p.meta)


def load_indexes(repository: Repository, *, without: AbstractSet[str] = frozenset()) -> Indexes:
    """For reading: a blob in a damaged pack, one that cannot be whole, or one that is not indexed, is found only where
    no other has it.

    Packs in `without` are left out as if the store did not list them.
    """
    damaged = repository.damaged()
    listed = {key: size for key, size in repository.list_packs().items() if key not in without}
    packs = indexed_packs(repository, listed, damaged)
    unindexed = listed.keys() - packs.keys()
    ranges = PackRanges(repository.store, repository.cipher, listed)
    packs |= {key: pack for key in sorted(unindexed) if (pack := by_its_table(ranges, key)) is not None}
    odd = misfits(repository.cipher, packs, listed)
    doubted = damaged | odd
    result = Indexes(BlobIndex(), BlobIndex(), listed, unindexed=frozenset(unindexed), misfits=odd)
    result.add(packs[key] for key in sorted(packs, key=lambda key: (key in doubted, key in unindexed)))
    return result


def misfits(cipher: Cipher, packs: Mapping[str, IndexedPack], listed: Mapping[str, int]) -> frozenset[str]:
    """Those of some packs that have another size in the store than their blobs make: they are not whole."""
    lengths = pack_lengths(list(packs.values())).tolist()
    return frozenset(
        key for key, length in zip(packs, lengths, strict=True) if not cipher.fits(key, length, listed[key])
    )


def load_trusted(repository: Repository, *, adopt: bool = True) -> Indexes:
    """For a writer: without what it must not build on. What an interrupted writer left is verified and indexed, if it
    is to be adopted."""
    # Before the packs are listed: prune deletes these first.
    tombstones = read_tombstones(repository)
    tombstones.require_finals()
    damaged = repository.damaged()
    refused = damaged | tombstones.condemned
    listed = repository.list_packs()
    packs = indexed_packs(repository, listed, damaged)
    refused |= misfits(repository.cipher, packs, listed)
    left = listed.keys() - packs.keys() - refused
    adopted = list(_sound(repository, left)) if adopt else []
    if adopted:
        repository.write_index(adopted)
        repository.known.learn({p.pack.hex(): table_of(p.rows, repository.cipher.hash) for p in adopted})
    result = Indexes(BlobIndex(), BlobIndex(), listed, refused=frozenset(refused), doomed=tombstones.doomed)
    usable = [pack for key, pack in packs.items() if key not in refused]
    known = (
        repository.known.packs
    )  # first: of a blob that several packs hold, the one that this host answers for
    result.add([*sorted(usable, key=lambda pack: pack.pack.hex() not in known), *adopted])
    return result


def pack_key(pack: IndexedPack) -> str:
    return object_key(META if pack.meta else PACKS, pack.pack)


def indexed_packs(
    repository: Repository, listed: Container[str], wrong: Iterable[str]
) -> dict[str, IndexedPack]:
    """Those of some packs that a readable index names, which is not known to be `wrong`."""
    packs: dict[str, IndexedPack] = {}
    seen = set(wrong)
    # An index that vanishes was replaced: by one that a listing made from now on has.
    while _read_indexes(repository, listed, packs, seen):
        pass
    return packs


def _read_indexes(
    repository: Repository, listed: Container[str], packs: dict[str, IndexedPack], seen: set[str]
) -> bool:
    """Read the indexes that were not seen yet; whether one vanished meanwhile."""
    vanished = False
    for key in sorted(found.key for found in repository.store.list(INDEXES)):
        if key in seen:
            continue
        seen.add(key)
        try:
            named = list(decode_index(repository.plain(key)))
        except DamageError as error:  # its packs are found by their tables
            vanished = vanished or isinstance(error.__cause__, NotFoundError)
            continue
        for pack in named:
            if (name := pack_key(pack)) in listed:
                packs.setdefault(name, pack)
    return vanished


def by_its_table(packs: PackRanges, key: str) -> IndexedPack | None:
    try:
        tail = packs.tail(key, TABLE_GUESS)
        length = table_length(tail)
        table = tail[-length:] if length <= len(tail) else packs.tail(key, length)
        return index_pack(bytes.fromhex(key[-64:]), key.startswith(META), decode_table(table))
    except (DamageError, KeyMissingError, NotFoundError):
        return None


def _sound(repository: Repository, keys: Iterable[str]) -> Iterator[IndexedPack]:
    """Those of some packs that are what their names say. Others are not used, and verify reports them if needed."""
    for key in sorted(keys):
        try:
            frames = repository.checked_pack(key)
        except (DamageError, KeyMissingError, StoreRefusedError):  # a writer may lack the right to read packs
            continue
        yield index_pack(bytes.fromhex(key[-64:]), key.startswith(META), frames)
