"""One backup's writing to a repository, up to the commit."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np

from backup_platform.domain.model import Content, RecoveryPoint, Stats, StreamRef, Unvouched
from backup_platform.errors import DamageError, StoreError
from backup_platform.repository.memory import return_large_buffers
from backup_platform.repository.objects.names import ObjectId, PackKey
from backup_platform.repository.packs.blob_reader import BlobReader
from backup_platform.repository.packs.blob_writer import BlobWriter, Workers
from backup_platform.repository.packs.index import ABSENT, BlobIndex
from backup_platform.repository.packs.indexes import load_trusted
from backup_platform.repository.packs.reliance import Reliance
from backup_platform.repository.packs.storing import checked_pack, write_index
from backup_platform.repository.points.recorder import PointRecorder
from backup_platform.repository.records.reads import Reads, compact_reads, load_reads, record_reads
from backup_platform.repository.records.tombstones import PackWatch, refusal
from backup_platform.repository.repository import Repository

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

    from backup_platform.repository.points.previous import PreviousInventory


LISTED = 256  # packs taken on trust, by name: 4 GiB


class Session:
    """Writers over a repository's fresh indexes. A context manager: leaving it ends the threads.

    `previous` is the recovery point whose unchanged rows may be reused.
    """

    def __init__(self, repository: Repository, previous: RecoveryPoint | None) -> None:
        self._repository, self._previous = repository, previous
        cipher = repository.cipher
        cipher.prepare_writing()
        self._indexes = load_trusted(repository.objects, repository.known)
        self._packs_before = len(self._indexes.contents.packs)
        repository.known.forget({key.id for key in self._indexes.listed})
        # Readers may use them, unless something is left out that readers still need.
        lacking = self._indexes.refused or self._indexes.disputed
        repository.keep_indexes(None if lacking else self._indexes)
        self._lists = BlobReader(
            repository.store, self._indexes.meta, cipher=cipher, sizes=self._indexes.listed
        )
        self._watch = PackWatch(repository.objects)
        self._reads: Reads | None = None
        self._met_damage = False
        return_large_buffers()
        self._workers = Workers()
        self._contents_relied = self._reliance(self._indexes.contents, meta=False)
        self._meta_relied = self._reliance(self._indexes.meta, meta=True)
        self._contents = self._writer(self._indexes.contents, self._contents_relied, meta=False)
        self._meta = self._writer(self._indexes.meta, self._meta_relied, meta=True)
        self.recorder = PointRecorder(
            self._contents,
            self._meta,
            self._inventory(),
            partial(write_index, repository.objects),
            cipher,
        )

    def _reliance(self, index: BlobIndex, *, meta: bool) -> Reliance:
        repository, sizes = self._repository, self._indexes.listed
        return Reliance(
            repository.objects, repository.known, index, meta=meta, sizes=sizes, vouched=self._vouched
        )

    def _writer(self, index: BlobIndex, reliance: Reliance, *, meta: bool) -> BlobWriter:
        repository = self._repository
        store = partial(repository.store_pack, meta=meta, avoided=self._indexes.doomed)
        return BlobWriter(
            index, self._workers, store, repository.level, repository.cipher.hash, reliance.rely
        )

    def _inventory(self) -> PreviousInventory | None:
        from backup_platform.repository.points.previous import PreviousInventory

        if self._previous is None:
            return None
        captured_ns = round(self._previous.captured_at.timestamp() * 1e9)
        return PreviousInventory(self._rows(self._previous), captured_ns, self._present)

    def _rows(self, previous: RecoveryPoint) -> Iterator[pa.Table]:
        try:
            yield from self._repository.reader(previous).rows()
        except DamageError:
            self._met_damage = True
            raise

    def _present(self, blobs: Sequence[bytes], depths: Sequence[int]) -> list[bool]:
        """Per row: is every blob of its content stored? Notes the packs that hold them as used."""
        found = [self._leaves(ids, depth) for ids, depth in zip(blobs, depths, strict=True)]
        leaves = [ids or b"" for ids in found]
        counts = [len(ids) // 32 for ids in leaves]
        index = self._indexes.contents
        rows = _usable(index.find_all(b"".join(leaves)), self._contents_relied)
        present = np.add.reduceat(
            np.concatenate(((rows == ABSENT).astype("<i8"), [0])),
            np.cumsum([0, *counts[:-1]]) if counts else [0],
        )
        self._contents.used |= index.pack_numbers(rows[rows != ABSENT])
        return [
            ids is not None and (count == 0 or not missing)
            for ids, count, missing in zip(found, counts, present.tolist(), strict=False)
        ]

    def _leaves(self, ids: bytes, depth: int) -> bytes | None:
        """The ids at depth 0; None when a list above them is not stored, or damaged."""
        index = self._indexes.meta
        for _ in range(depth):
            rows = _usable(index.find_all(ids), self._meta_relied)
            if (rows == ABSENT).any():
                return None
            self._meta.used |= index.pack_numbers(rows)
            try:
                ids = b"".join(self._lists.blobs(Content(ids).ids()))
            except DamageError:
                self._met_damage = True
                return None
        return ids

    def finish(self) -> StreamRef:
        """Everything stored and compared, and every needed pack seen in the store's listing; the inventory.

        Raises DamageError or a retryable RepositoryError.
        """
        inventory = self.recorder.finish()
        if self._met_damage:
            self._mark_damaged_metadata()
        self._watch.before_commit(self._used())
        self._record_reads()
        return inventory

    def _vouched(self) -> Mapping[ObjectId, str]:
        """Asked for when a pack is met that this host does not know."""
        if self._reads is None:
            self._reads = load_reads(self._repository.objects)
        return self._reads.tables

    def _record_reads(self) -> None:
        objects, read = self._repository.objects, {**self._contents_relied.read, **self._meta_relied.read}
        self._repository.known.learn({key.id: table for key, table in read.items()})
        with suppress(StoreError):
            record_reads(objects, read, objects.clock.now())
            if read:
                compact_reads(objects, objects.clock.now(), self._repository.points.ids)

    @property
    def stored_again(self) -> int:
        """Bytes of contents that were stored although a pack is said to hold them, as a final tombstone names that."""
        over = [pack.rows["blob"] for pack in self._indexes.passed_over if not pack.key.meta]
        if not over:
            return 0
        index, blobs = self._indexes.contents, np.unique(np.concatenate(over), axis=0)
        rows = index.find_all(blobs.tobytes())
        found = index.rows[rows[rows != ABSENT]]
        return int(found["length"][found["pack"] >= self._packs_before].sum())

    @property
    def unvouched(self) -> Unvouched:
        """What the recovery point takes on trust."""
        packs = [*self._contents_relied.on_trust(), *self._meta_relied.on_trust()]
        packs.sort(key=lambda each: (-each.size, each.pack))
        return Unvouched(sum(each.size for each in packs), tuple(packs[:LISTED]))

    def confirm(self) -> None:
        """After the commit. Raises a retryable RepositoryError when the recovery point may miss what it needs."""
        self._watch.after_commit()

    def _mark_damaged_metadata(self) -> None:
        """Damage was met in the previous point's metadata: this point must not need the same packs."""
        for key in sorted(key for key in self._used() if key.meta):
            try:
                checked_pack(self._repository.objects, key)
            except DamageError as error:
                self._repository.marks.mark(key, error.message)
                raise refusal(key, "is damaged") from error

    @property
    def needed(self) -> frozenset[PackKey]:
        """Keys of the packs that the recovery point needs, once it is finished."""
        return frozenset(self._used())

    def _used(self) -> Iterator[PackKey]:
        """Keys of the packs that the recovery point needs."""
        yield from self._indexes.contents.keys_of(self._contents.used)
        yield from self._indexes.meta.keys_of(self._meta.used)

    @property
    def stats(self) -> Stats:
        return Stats(
            files=self.recorder.files,
            source_bytes=self.recorder.source_bytes,
            new_bytes=self._contents.new_bytes,
            stored_bytes=self._contents.stored_bytes + self._meta.stored_bytes,
        )

    def __enter__(self) -> Session:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._workers.close()
        self.recorder.close()
        if self._indexes.refused or self._indexes.disputed:
            self._repository.keep_indexes(None)


def _usable(rows: NDArray[Any], reliance: Reliance) -> NDArray[Any]:
    """Rows of blobs, without those that nothing may build on."""
    found = np.flatnonzero(rows != ABSENT)
    rows[found[~reliance.rely_all(rows[found])]] = ABSENT
    return rows
