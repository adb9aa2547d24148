"""Which packs somebody has decoded and compared blob by blob, and what they really hold."""

from __future__ import annotations

from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from backup_platform.errors import DamageError, KeyMissingError, NotFoundError
from backup_platform.repository.blobs import worker_count
from backup_platform.repository.format import META
from backup_platform.repository.index import IndexedPack, index_pack

if TYPE_CHECKING:
    from backup_platform.repository.repository import Repository


@dataclass(slots=True)
class Decoded:
    """What one run found out, by the keys of packs: `packs` have every blob of their own tables, `damaged` say what is
    wrong with them, `closed` are gone or no key at hand opens them."""

    packs: dict[str, IndexedPack] = field(default_factory=dict)
    damaged: dict[str, str] = field(default_factory=dict)
    closed: set[str] = field(default_factory=set)

    @property
    def known(self) -> set[str]:
        return self.packs.keys() | self.damaged.keys() | self.closed

    def read(self, repository: Repository, keys: Collection[str]) -> None:
        """Decode packs that were not read before. What is damaged is marked. Raises StoreError."""
        unread = sorted(set(keys) - self.known)
        with ThreadPoolExecutor(worker_count()) as pool:
            for key, found in zip(unread, pool.map(partial(_decoded, repository), unread), strict=True):
                self._note(repository, key, found)

    def _note(
        self, repository: Repository, key: str, found: IndexedPack | DamageError | KeyMissingError
    ) -> None:
        if isinstance(found, IndexedPack):
            self.packs[key] = found
        elif isinstance(found, KeyMissingError) or isinstance(found.__cause__, NotFoundError):
            self.closed.add(key)
        else:
            self.damaged[key] = found.message
            repository.mark_damaged(key, found.message)


def _decoded(repository: Repository, key: str) -> IndexedPack | DamageError | KeyMissingError:
    try:
        frames = repository.checked_pack(key)
    except (DamageError, KeyMissingError) as error:
        return error
    return index_pack(bytes.fromhex(key[-64:]), key.startswith(META), frames)
