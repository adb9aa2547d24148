"""Store the needed blobs of partly used packs in new packs, in the same way as a backup does (FORMAT.md §10, step
2)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING

from backup_platform.domain.ports import Progress
from backup_platform.errors import DamageError, KeyMissingError
from backup_platform.repository.objects.names import PackKey
from backup_platform.repository.packs.blob_writer import PACKS_PER_INDEX, BlobWriter, Workers
from backup_platform.repository.packs.index import BlobIndex, IndexedPack
from backup_platform.repository.packs.storing import write_index
from backup_platform.repository.repository import Repository

if TYPE_CHECKING:
    from backup_platform.repository.deletion.survey import Survey

BATCH = 256


@dataclass(slots=True)
class Rewritten:
    """Keys of the packs that are not needed any more, the bytes that were written, and packs that turned out to be
    damaged."""

    replaced: set[PackKey] = field(default_factory=set)
    bytes: int = 0
    damaged: list[PackKey] = field(default_factory=list)


def rewrite(repository: Repository, found: Survey, packs: Sequence[PackKey], progress: Progress) -> Rewritten:
    """Raises DamageError if the written data reads back different, and StoreError."""
    result = Rewritten()
    for meta in (True, False):
        if some := [key for key in packs if key.meta == meta]:
            _Rewriter(repository, found, result, meta=meta).run(some, progress)
    return result


class _Rewriter:
    """Rewrites packs of one kind (contents or metadata)."""

    def __init__(self, repository: Repository, found: Survey, result: Rewritten, *, meta: bool) -> None:
        self._repository, self._found, self._result = repository, found, result
        if not meta:
            repository.cipher.prepare_writing()
        self._workers = Workers()
        condemned = found.tombstones.condemned  # this run may delete them
        self._writer = BlobWriter(
            BlobIndex(),  # not that of the repository: its blobs are what is stored again
            self._workers,
            lambda pack: repository.store_pack(pack, meta=meta, avoided=condemned),
            repository.level,
            repository.cipher.hash,
        )

    def run(self, packs: Sequence[PackKey], progress: Progress) -> None:
        done = set()
        try:
            for key in packs:
                if self._carried(key, progress):
                    done.add(key)
                self._index(PACKS_PER_INDEX)
                progress.advance(size=self._found.packs[key].size)
            self._writer.flush()
            self._index(1)
        finally:
            self._workers.close()
        self._result.replaced |= done

    def _carried(self, key: PackKey, progress: Progress) -> bool:
        """Add the needed blobs of a pack to the new ones. A pack that cannot be read stays."""
        try:
            for data in self._blobs(key):
                self._writer.add(data)
        except (DamageError, KeyMissingError) as error:
            progress.note(f"The pack {key} is left as it is: {error.message}")
            if isinstance(error, DamageError):
                self._note_damage(key)
            return False
        return True

    def _note_damage(self, key: PackKey) -> None:
        """So that checks are red and backups store its blobs again; unless prune deleted it meanwhile."""
        try:
            self._repository.objects.verified(key)
        except DamageError as error:
            if not error.missing:
                self._repository.marks.mark(key, error.message)
                self._result.damaged.append(key)

    def _blobs(self, key: PackKey) -> Iterator[bytes]:
        ids = self._found.blobs(key)
        while some := list(islice(ids, BATCH)):
            for blob in self._found.reader(key).blobs(some):
                yield bytes(blob)

    def _index(self, at_least: int) -> None:
        stored: list[IndexedPack] = self._writer.take_stored(at_least)
        if stored:
            self._result.bytes += sum(pack.size for pack in stored)
            write_index(self._repository.objects, stored)
