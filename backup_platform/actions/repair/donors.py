"""Copies of a repository, from which it is repaired."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from backup_platform.domain.model import RecoveryPoint
from backup_platform.errors import BackupError
from backup_platform.repository.objects.names import ManifestKey, PackKey
from backup_platform.repository.packs.claims import Claims
from backup_platform.repository.packs.index import BlobIndex, IndexedPack
from backup_platform.repository.packs.indexes import Indexes, load_indexes, read_claims
from backup_platform.repository.repository import Repository


@dataclass(frozen=True, slots=True)
class Donor:
    """A copy, and its objects that are not known to be damaged. `points` are by the keys of their manifests."""

    name: str
    repository: Repository
    indexes: Indexes
    points: Mapping[ManifestKey, RecoveryPoint]

    def packs_with(self, blobs: Iterable[bytes], *, meta: bool) -> dict[PackKey, set[bytes]]:
        """Keys of all its packs that are said to hold some of these blobs, and which blobs."""
        index: BlobIndex = self.indexes.meta if meta else self.indexes.contents
        found: dict[PackKey, set[bytes]] = {}
        for blob in sorted(blobs):
            for row in index.rows_holding(blob):
                key = index.packs[index.pack_number(row)]
                found.setdefault(key, set()).add(blob)
        return found

    def rows_of(self, keys: Iterable[PackKey]) -> dict[PackKey, IndexedPack]:
        """The rows of its indexes about some packs. In an encrypted copy, this needs no identity."""
        return self._claims(keys).all_said()

    def agreed_rows_of(self, keys: Iterable[PackKey]) -> dict[PackKey, IndexedPack]:
        """The rows on which all of its indexes agree, of some packs."""
        return self._claims(keys).agreed()

    def _claims(self, keys: Iterable[PackKey]) -> Claims:
        return read_claims(self.repository.objects, set(keys), self.repository.marks.damaged())


def open_donors(donors: Mapping[str, Repository]) -> tuple[list[Donor], list[str]]:
    """The copies that answer, and a sentence for each copy that does not."""
    found, notes = [], []
    for name, repository in donors.items():
        try:
            found.append(_open(name, repository))
        except BackupError as error:
            notes.append(f"The copy {name} cannot be used: {error.message}")
    return found, notes


def _open(name: str, repository: Repository) -> Donor:
    indexes = load_indexes(repository.objects, without=repository.marks.damaged())
    points, _ = repository.points.readable(reread=True)
    return Donor(name, repository, indexes, {repository.points.key(point): point for point in points})
