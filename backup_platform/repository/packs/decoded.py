"""Which packs somebody has decoded and compared blob by blob, and what they really hold.

An index is derived from its packs (FORMAT.md §5). One that says of a pack what it does not hold can only be made by a
holder of the repository key. Whoever decodes the pack finds it, and it is not believed any more.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from backup_platform.errors import DamageError, KeyMissingError
from backup_platform.repository.objects.names import INDEXES, IndexKey, PackKey
from backup_platform.repository.packs.blob_writer import worker_count
from backup_platform.repository.packs.index import IndexedPack, index_pack
from backup_platform.repository.packs.index_objects import decode_index
from backup_platform.repository.packs.known import table_of

if TYPE_CHECKING:
    from backup_platform.repository.repository import Repository


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
        self, repository: Repository, keys: Collection[PackKey], said: Callable[[PackKey], IndexedPack]
    ) -> None:
        """Decode packs that were not read before, or compare them with what this host remembers of them (`said` is what
        indexes say). What is damaged is marked. Raises StoreError."""
        unread = sorted(set(keys) - self.known)
        with ThreadPoolExecutor(worker_count()) as pool:
            for key, found in zip(unread, pool.map(partial(_decoded, repository, said), unread), strict=True):
                self._note(repository, key, found)

    def _note(
        self, repository: Repository, key: PackKey, found: IndexedPack | DamageError | KeyMissingError
    ) -> None:
        if isinstance(found, IndexedPack):
            self.packs[key] = found
        elif isinstance(found, KeyMissingError) or found.missing:
            self.closed.add(key)
        else:
            self.damaged[key] = found.message
            repository.mark_damaged(key, found.message)


def _decoded(
    repository: Repository, said: Callable[[PackKey], IndexedPack], key: PackKey
) -> IndexedPack | DamageError | KeyMissingError:
    try:
        frames = repository.checked_pack(key)
    except DamageError as error:
        return error
    except KeyMissingError as error:  # it has the hash of its name
        pack = said(key)
        return pack if remembered(repository, pack) else error
    return index_pack(key, frames)


def remembered(repository: Repository, said: IndexedPack) -> bool:
    """Whether this host wrote or decoded a pack, and it holds what indexes say. Nobody else adds to its notes."""
    table = repository.known.packs.get(said.key.id)
    return table is not None and table == table_of(said.rows, repository.cipher.hash)


def misdescribed(repository: Repository, read: Mapping[PackKey, str]) -> dict[PackKey, str]:
    """What is wrong, by key, of packs that were decoded (the hash of their rows, by key): the index that readers use
    now says something else of them."""
    indexes, hashed = repository.indexes(), repository.cipher.hash
    return {
        key: f"An index says of the pack {key} what the pack does not hold. It is not used any more."
        for key, table in read.items()
        if table and indexes.table(key, hashed) not in ("", table)
    }


def disown(repository: Repository, read: Mapping[PackKey, str]) -> None:
    """Mark the indexes that are wrong about these packs, once right ones are stored. Raises StoreError, DamageError."""
    repository.write_index([index_pack(key, repository.checked_pack(key)) for key in sorted(read)])
    listed = (IndexKey.match(found.key) for found in repository.store.list(INDEXES))
    for key in sorted(key for key in listed if key):
        if _is_wrong(repository, key, read):
            repository.mark_damaged(key, "It says of a pack what the pack does not hold.")


def _is_wrong(repository: Repository, index: IndexKey, read: Mapping[PackKey, str]) -> bool:
    try:
        named = {pack.key: pack.rows for pack in decode_index(repository.plain(index))}
    except DamageError:
        return False  # nobody believes it
    hashed = repository.cipher.hash
    return any(table_of(rows, hashed) != read[key] for key, rows in named.items() if key in read)
