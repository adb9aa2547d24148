"""Move packs from one repository to another: whole stored objects, compared on the way out and on the way in."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

from backup_platform.domain.ports import Progress
from backup_platform.errors import DamageError, NotFoundError, StoreRefusedError
from backup_platform.repository.format import META
from backup_platform.repository.index import BlobIndex, IndexedPack
from backup_platform.repository.replicas import is_sound, put_object, unmark_damaged
from backup_platform.repository.repository import Repository
from backup_platform.repository.stored import Indexes

TRANSFERS = 4
PACKS_PER_INDEX = 64


class PackMover:
    """`here` are the target's indexes, and learn what is moved.

    `read` are the packs that were read back in the target, `failures` say by key what is wrong with packs of the
    origin, `packs` and `bytes` were sent. Memory: in each of a few threads one pack, as sent and as read back.
    """

    def __init__(self, origin: Repository, target: Repository, here: Indexes, progress: Progress) -> None:
        self._origin, self._target, self.here, self._progress = origin, target, here, progress
        self._numbers = {
            meta: {pack: number for number, pack in enumerate(index.packs)}
            for meta, index in ((True, origin.indexes().meta), (False, origin.indexes().contents))
        }
        self.read: set[str] = set()
        self.failures: dict[str, str] = {}
        self.packs = 0
        self.bytes = 0

    def move(self, keys: Sequence[str]) -> None:
        """Store packs in the target, read them back, and index them there.

        A pack that is damaged in the origin becomes a failure. Raises StoreError; DamageError of the target.
        """
        for first in range(0, len(keys), PACKS_PER_INDEX):
            moved = list(self._transfer(keys[first : first + PACKS_PER_INDEX]))
            self.read.update(moved)
            self._index(moved)

    def _transfer(self, keys: Iterable[str]) -> Iterator[str]:
        """Keys of the packs that are in the target by now."""
        with ThreadPoolExecutor(TRANSFERS, thread_name_prefix="copy") as pool:
            try:
                for key, size, problem in pool.map(self._one, keys):
                    self.packs += size > 0
                    self.bytes += size
                    if problem:
                        self.failures[key] = problem
                    else:
                        yield key
            finally:
                pool.shutdown(cancel_futures=True)

    def _one(self, key: str) -> tuple[str, int, str]:
        """The key, the bytes that were sent, and what is wrong with the pack in the origin."""
        listed = self.here.listed
        if key in listed and is_sound(self._target, key):  # left by a copy that was interrupted
            sent = 0
        else:
            try:
                data = self._origin.verified(key)
            except DamageError as error:
                self._mark_damaged(key, error)
                return key, 0, f"{error.message} It is in {self._origin.info.location}."
            put_object(self._target, key, data)
            sent = len(data)
            listed[key] = sent
        if key in self.here.refused:
            unmark_damaged(self._target, key)
        self._progress.advance(size=listed[key])
        return key, sent, ""

    def _mark_damaged(self, key: str, error: DamageError) -> None:
        """So that the next backup stores again what its source still has; not when prune has deleted the pack."""
        with suppress(NotFoundError, StoreRefusedError):
            self._origin.store.head(key)
            self._origin.mark_damaged(key, error.message)

    def _index(self, keys: Sequence[str]) -> None:
        packs = [*self._rows(keys, meta=False), *self._rows(keys, meta=True)]
        if packs:
            self._target.write_index(packs)
            self.here.add(packs)

    def _rows(self, keys: Sequence[str], *, meta: bool) -> list[IndexedPack]:
        indexes = self._origin.indexes()
        index: BlobIndex = indexes.meta if meta else indexes.contents
        ids = [bytes.fromhex(key[-64:]) for key in keys if key.startswith(META) == meta]
        return index.of_packs([self._numbers[meta][identity] for identity in ids], meta=meta)
