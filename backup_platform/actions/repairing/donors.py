"""Copies of a repository, from which it is mended."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from backup_platform.domain.model import RecoveryPoint
from backup_platform.errors import BackupError
from backup_platform.repository.format import META, PACKS, manifest_key, object_key
from backup_platform.repository.index import ABSENT, BlobIndex, IndexedPack
from backup_platform.repository.repository import Repository
from backup_platform.repository.stored import Indexes, indexed_packs, load_indexes


@dataclass(frozen=True, slots=True)
class Donor:
    """A copy, and what it holds that is not known to be damaged. `points` are by the keys of their manifests."""

    name: str
    repository: Repository
    indexes: Indexes
    points: Mapping[str, RecoveryPoint]

    def packs_with(self, blobs: Iterable[bytes], *, meta: bool) -> dict[str, set[bytes]]:
        """Keys of its packs that hold some of these blobs, each blob in one of them."""
        index: BlobIndex = self.indexes.meta if meta else self.indexes.contents
        ordered = sorted(blobs)
        found: dict[str, set[bytes]] = {}
        for blob, row in zip(ordered, index.find_all(b"".join(ordered)).tolist(), strict=True):
            if row != ABSENT:
                key = object_key(META if meta else PACKS, index.packs[index.pack_number(row)])
                found.setdefault(key, set()).add(blob)
        return found

    def rows_of(self, keys: Iterable[str]) -> dict[str, IndexedPack]:
        """What its indexes say of some packs: an encrypted one needs no identity for that."""
        return indexed_packs(self.repository, set(keys), self.repository.damaged())


def open_donors(donors: Mapping[str, Repository]) -> tuple[list[Donor], list[str]]:
    """Those that answer, and a sentence for each that does not."""
    found, notes = [], []
    for name, repository in donors.items():
        try:
            found.append(_open(name, repository))
        except BackupError as error:
            notes.append(f"The copy {name} cannot be used: {error.message}")
    return found, notes


def _open(name: str, repository: Repository) -> Donor:
    indexes = load_indexes(repository, without=repository.damaged())
    points, _ = repository.readable_manifests(reread=True)
    hashed = repository.cipher.hash
    named = {manifest_key(point.source, point.sequence, hashed): point for point in points}
    return Donor(name, repository, indexes, named)
