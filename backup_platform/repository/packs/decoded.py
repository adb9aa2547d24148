"""Which packs somebody has decoded and compared blob by blob, and what they really hold.

An index is derived from its packs (FORMAT.md §5). One that says of a pack what it does not hold can only be made by a
holder of the repository key. Whoever decodes the pack finds it, and it is not believed any more.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial

from backup_platform.errors import DamageError, KeyMissingError
from backup_platform.repository.objects.names import INDEXES, Hash, IndexKey, PackKey
from backup_platform.repository.objects.objects import Objects
from backup_platform.repository.packs.blob_writer import worker_count
from backup_platform.repository.packs.index import IndexedPack, index_pack
from backup_platform.repository.packs.index_objects import decode_index
from backup_platform.repository.packs.indexes import Indexes
from backup_platform.repository.packs.known import Known, table_of
from backup_platform.repository.packs.storing import checked_pack, write_index
from backup_platform.repository.records.marks import Marks


@dataclass(slots=True)
class Decoded:
    """What one run found out, by the keys of packs: `packs` have every blob of their own tables, `damaged` say what is
    wrong with them, `closed` are gone, or no key at hand opens them and this host did not decode them earlier."""

    packs: dict[PackKey, IndexedPack] = field(default_factory=dict)
    damaged: dict[PackKey, str] = field(default_factory=dict)
    closed: set[PackKey] = field(default_factory=set)

    @property
    def known(self) -> set[PackKey]:
        return self.packs.keys() | self.damaged.keys() | self.closed

    def read(
        self,
        objects: Objects,
        known: Known,
        keys: Collection[PackKey],
        said: Callable[[PackKey], IndexedPack],
    ) -> None:
        """Decode packs that were not read before, or compare them with what this host remembers of them. `said` is what
        indexes say. Damaged packs and wrong indexes are marked. Raises StoreError."""
        unread = sorted(set(keys) - self.known)
        decoded = partial(_decoded, objects, known, said)
        with ThreadPoolExecutor(worker_count()) as pool:
            for key, found in zip(unread, pool.map(decoded, unread), strict=True):
                self._note(objects, key, found)

    def _note(
        self, objects: Objects, key: PackKey, found: IndexedPack | DamageError | KeyMissingError
    ) -> None:
        if isinstance(found, IndexedPack):
            self.packs[key] = found
        elif isinstance(found, KeyMissingError) or found.missing:
            self.closed.add(key)
        else:
            self.damaged[key] = found.message
            Marks(objects).mark(key, found.message)


def _decoded(
    objects: Objects, known: Known, said: Callable[[PackKey], IndexedPack], key: PackKey
) -> IndexedPack | DamageError | KeyMissingError:
    try:
        frames = checked_pack(objects, key)
    except DamageError as error:
        return error
    except KeyMissingError as error:  # it has the hash of its name
        pack = said(key)
        return pack if known.remembers(pack, objects.cipher.hash) else error
    return index_pack(key, frames)


def misdescribed(indexes: Indexes, hashed: Hash, read: Mapping[PackKey, str]) -> dict[PackKey, str]:
    """What is wrong, by key, of packs that were decoded (the hash of their rows, by key): the index that readers use
    now says something else of them."""
    return {
        key: f"An index lists contents that the pack {key} does not have. The index is not used any more."
        for key, table in read.items()
        if table and indexes.table(key, hashed) not in ("", table)
    }


def disown(objects: Objects, read: Mapping[PackKey, str]) -> None:
    """Mark the indexes that are wrong about these packs, once right ones are stored. Raises StoreError, DamageError."""
    write_index(objects, [index_pack(key, checked_pack(objects, key)) for key in sorted(read)])
    listed = (IndexKey.match(found.key) for found in objects.store.list(INDEXES))
    for key in sorted(key for key in listed if key):
        if _is_wrong(objects, key, read):
            Marks(objects).mark(key, "It lists contents that a pack does not have.")


def _is_wrong(objects: Objects, index: IndexKey, read: Mapping[PackKey, str]) -> bool:
    try:
        named = {pack.key: pack.rows for pack in decode_index(objects.plain(index))}
    except DamageError:
        return False  # nobody believes it
    hashed = objects.cipher.hash
    return any(table_of(rows, hashed) != read[key] for key, rows in named.items() if key in read)
