"""One backup's writing to a repository, up to the commit."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import TYPE_CHECKING

import numpy as np

from backup_platform.domain.model import Content, RecoveryPoint, Stats, StreamRef
from backup_platform.errors import DamageError, RepositoryError
from backup_platform.repository.blobs import BlobWriter, Workers
from backup_platform.repository.format import META, PACKS, object_key
from backup_platform.repository.index import ABSENT, IndexedPack, index_pack
from backup_platform.repository.memory import return_large_buffers
from backup_platform.repository.packs import check_pack
from backup_platform.repository.recorder import PointRecorder
from backup_platform.repository.repository import Indexes, Repository

if TYPE_CHECKING:
    from backup_platform.repository.previous import PreviousInventory


class Session:
    """Writers over a repository's fresh indexes. A context manager: leaving it ends the threads.

    `previous` is the recovery point whose unchanged rows may be reused.
    """

    def __init__(self, repository: Repository, previous: RecoveryPoint | None) -> None:
        self._repository, self._previous = repository, previous
        refused = repository.damaged() | repository.tombstoned()
        readable = repository.indexes(fresh=True)
        self._indexes = repository.load_indexes(trusted=True) if refused else readable
        adopt_unindexed(repository, self._indexes)
        return_large_buffers()
        self._workers = Workers()
        level = repository.level
        self._contents = BlobWriter(
            self._indexes.contents, self._workers, lambda p: repository.store_pack(p, meta=False), level
        )
        self._meta = BlobWriter(
            self._indexes.meta, self._workers, lambda p: repository.store_pack(p, meta=True), level
        )
        self.recorder = PointRecorder(self._contents, self._meta, self._inventory(), repository.write_index)

    def _inventory(self) -> PreviousInventory | None:
        from backup_platform.repository.previous import PreviousInventory

        if self._previous is None:
            return None
        rows = self._repository.reader(self._previous).rows()
        return PreviousInventory(rows, round(self._previous.captured_at.timestamp() * 1e9), self._present)

    def _present(self, blobs: Sequence[bytes], depths: Sequence[int]) -> list[bool]:
        """Per row: is every blob of its content stored? Notes the packs that hold them as used."""
        leaves = [ids if depth == 0 else self._expand(ids, depth) for ids, depth in zip(blobs, depths, strict=True)]
        counts = [len(ids) // 32 for ids in leaves]
        index = self._indexes.contents
        rows = index.find_all(b"".join(leaves))
        present = np.add.reduceat(
            np.concatenate(((rows == ABSENT).astype("<i8"), [0])),
            np.cumsum([0, *counts[:-1]]) if counts else [0],
        )
        self._contents.used |= index.pack_numbers(rows[rows != ABSENT])
        return [count == 0 or not missing for count, missing in zip(counts, present.tolist(), strict=False)]

    def _expand(self, ids: bytes, depth: int) -> bytes:
        assert self._previous is not None
        return b"".join(self._repository.reader(self._previous).blob_ids(Content(ids, depth)))

    def finish(self) -> StreamRef:
        """Everything stored and compared, and every needed pack seen in the store's listing; the inventory.

        Raises DamageError or a retryable RepositoryError.
        """
        inventory = self.recorder.finish()
        self._check_needed()
        return inventory

    def _check_needed(self) -> None:
        """FORMAT.md §7, step 3 of the commit."""
        listed, condemned = self._repository.list_packs(), self._repository.tombstoned()
        for prefix, writer, index in (
            (PACKS, self._contents, self._indexes.contents),
            (META, self._meta, self._indexes.meta),
        ):
            for number in writer.used:
                key = object_key(prefix, index.packs[number])
                if key in condemned or key not in listed:
                    raise RepositoryError(
                        f"The pack {key}, which this recovery point needs, is being deleted or lost.",
                        hint="Run the backup again: it stores what is missing.",
                        retryable=True,
                    )

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


def adopt_unindexed(repository: Repository, indexes: Indexes) -> int:
    """Verify and index the packs that an interrupted writer left, so that their blobs are used; their number."""
    known = {object_key(PACKS, pack) for pack in indexes.contents.packs}
    known |= {object_key(META, pack) for pack in indexes.meta.packs}
    unknown = indexes.listed.keys() - known - repository.tombstoned() - repository.damaged()
    adopted = [found for key in sorted(unknown) if (found := _read_pack(repository, key)) is not None]
    if adopted:
        repository.write_index(adopted)
        indexes.contents.add(p for p in adopted if not p.meta)
        indexes.meta.add(p for p in adopted if p.meta)
    return len(adopted)


def _read_pack(repository: Repository, key: str) -> IndexedPack | None:
    try:
        frames = check_pack(repository.verified(key))
    except DamageError:
        # Not usable, and no recovery point refers to it: verify reports it.
        return None
    return index_pack(bytes.fromhex(key[-64:]), key.startswith(META), frames)
