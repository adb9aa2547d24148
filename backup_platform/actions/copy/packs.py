"""Move packs from one repository to another: whole stored objects, compared on the way out and on the way in."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

from backup_platform.domain.ports import Buffer, Progress
from backup_platform.errors import (
    DamageError,
    KeyMissingError,
    NotFoundError,
    RepositoryError,
    StoreRefusedError,
)
from backup_platform.repository.objects.names import PackKey
from backup_platform.repository.packs.index import IndexedPack
from backup_platform.repository.packs.indexes import Indexes
from backup_platform.repository.packs.packs import Frame, PackBuilder, frames_of
from backup_platform.repository.packs.storing import write_index
from backup_platform.repository.replicas import is_sound, put_object, unmark_damaged
from backup_platform.repository.repository import Repository

TRANSFERS = 4
PACKS_PER_INDEX = 64


class PackMover:
    """`here` are the target's indexes; moved packs are added to them. `read` are the packs that were read back in the
    target. `failures` say by key what is wrong with packs of the origin. `packs` and `bytes` were sent. Memory: each of
    a few threads has one pack, as sent and as read back."""

    def __init__(self, origin: Repository, target: Repository, here: Indexes, progress: Progress) -> None:
        self._origin, self._target, self.here, self._progress = origin, target, here, progress
        self.read: set[PackKey] = set()
        self.failures: dict[PackKey, str] = {}
        self.packs = 0
        self.bytes = 0

    def move(self, keys: Sequence[PackKey]) -> None:
        """Store packs in the target, read them back, and index them there.

        A pack that is damaged in the origin becomes a failure. Raises StoreError; DamageError of the target.
        """
        for first in range(0, len(keys), PACKS_PER_INDEX):
            some = keys[first : first + PACKS_PER_INDEX]
            doomed = [key for key in some if key in self.here.doomed]
            anew = [pack for key in doomed if (pack := self._anew(key)) is not None]
            moved = list(self._transfer([key for key in some if key not in doomed]))
            self.read.update(moved, (pack.key for pack in anew))
            self._index([*self._rows(moved), *anew])

    def _transfer(self, keys: Iterable[PackKey]) -> Iterator[PackKey]:
        """Keys of the packs that are in the target by now."""
        with ThreadPoolExecutor(TRANSFERS, thread_name_prefix="copy") as pool:
            try:
                for key, size in pool.map(self._one, keys):
                    self._count(size)
                    if key not in self.failures:
                        yield key
            finally:
                pool.shutdown(cancel_futures=True)

    def _one(self, key: PackKey) -> tuple[PackKey, int]:
        """The key, and the bytes that were sent."""
        listed, sent = self.here.listed, 0
        if not (key in listed and is_sound(self._target, key)):  # else left by a copy that was interrupted
            try:
                data = self._origin.objects.verified(key)
            except DamageError as error:
                self._fail(key, error)
                return key, 0
            put_object(self._target, key, data)
            listed[key] = sent = len(data)
        if key in self.here.refused:
            unmark_damaged(self._target, key)
        self._progress.advance(size=listed[key])
        return key, sent

    def _anew(self, key: PackKey) -> IndexedPack | None:
        """The blobs of a pack whose name cannot be used, because prune is deleting it: in a pack of another name."""
        try:
            plain = self._origin.objects.plain(key)
            builder = rebuilt(plain, frames_of(plain))
        except (DamageError, KeyMissingError) as error:
            self._fail(key, error)
            return None
        pack = self._target.store_pack(builder, meta=key.meta, avoided=self.here.doomed)
        self.here.listed[pack.key] = pack.size
        self._count(pack.size)
        self._progress.advance(size=self._origin.indexes().listed[key])
        return pack

    def _count(self, sent: int) -> None:
        self.packs += sent > 0
        self.bytes += sent

    def _fail(self, key: PackKey, error: RepositoryError) -> None:
        """Damage is recorded, so that the next backup stores again what its source still has."""
        self.failures[key] = f"{error.message} It is in {self._origin.info.location}."
        if isinstance(error, DamageError):
            with suppress(NotFoundError, StoreRefusedError):
                self._origin.store.head(key)  # prune may have deleted it meanwhile
                self._origin.marks.mark(key, error.message)

    def _index(self, packs: Sequence[IndexedPack]) -> None:
        if packs:
            write_index(self._target.objects, packs)
            self.here.add(packs)

    def _rows(self, keys: Sequence[PackKey]) -> Iterator[IndexedPack]:
        """By the origin's indexes, packs of contents first."""
        indexes = self._origin.indexes()
        for index in (indexes.contents, indexes.meta):
            yield from index.of_packs(number for key in keys if (number := index.number_of(key)) is not None)


def rebuilt(plain: Buffer, frames: Sequence[Frame]) -> PackBuilder:
    """A plain pack with the same blobs, to be stored again."""
    view, builder = memoryview(plain), PackBuilder()
    for frame in frames:
        builder.add(view[frame.offset : frame.offset + frame.stored], frame.plain, frame.blobs)
    return builder
