"""What is wrong with a repository's packs, and which blobs its recovery points therefore miss. Writes nothing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from backup_platform.actions.reading import examine
from backup_platform.actions.repairing.donors import Donor
from backup_platform.actions.repairing.steps import name_of
from backup_platform.actions.structure import needs_of
from backup_platform.domain.model import RecoveryPoint
from backup_platform.domain.ports import Progress
from backup_platform.errors import BackupError, DamageError
from backup_platform.repository.format import META
from backup_platform.repository.index import ABSENT, BlobIndex
from backup_platform.repository.reader import RecoveryPointReader
from backup_platform.repository.repository import Repository
from backup_platform.repository.stored import Indexes, load_indexes


@dataclass(slots=True)
class Survey:
    """`damaged` packs with what is wrong with them, and `marked` ones that turned out to be sound.

    `closed` are marked, have the hash of their name, and no key here opens them. `missing` blobs are in no sound pack,
    by kind (metadata or not), with one of the points that need them. `unread` points are those whose needs cannot be
    told, because their metadata is gone everywhere.
    """

    indexes: Indexes
    damaged: dict[str, str] = field(default_factory=dict)
    marked: list[str] = field(default_factory=list)
    closed: list[str] = field(default_factory=list)
    missing: dict[bool, dict[bytes, RecoveryPoint]] = field(default_factory=lambda: {True: {}, False: {}})
    unread: list[str] = field(default_factory=list)


class Surveyor:
    """Looks at a repository, with copies at hand for the metadata that it lost."""

    def __init__(self, repository: Repository, donors: Sequence[Donor], progress: Progress) -> None:
        self._repository, self._donors, self._progress = repository, donors, progress

    def survey(self, points: Sequence[RecoveryPoint], lost: Sequence[RecoveryPoint] = ()) -> Survey:
        """Of the repository's own points, and of `lost` ones that only copies still have."""
        survey = Survey(self._repository.indexes(fresh=True))
        self._examine_marked(survey)
        self._examine_unindexed(survey)
        broken = [point for point in points if self._is_broken(point, survey)]
        survey.indexes = load_indexes(self._repository, without=survey.damaged.keys())
        self._repository.keep_indexes(survey.indexes)
        try:
            for point in (*broken, *lost):
                self._collect(point, survey)
        finally:
            self._repository.keep_indexes(None)
        return survey

    def _examine_marked(self, survey: Survey) -> None:
        for key in sorted(self._repository.damaged() & survey.indexes.listed.keys()):
            found = examine(self._repository, key, self._progress)
            if found.damage:
                survey.damaged[key] = found.damage
            else:
                (survey.marked if found.decoded else survey.closed).append(key)

    def _examine_unindexed(self, survey: Survey) -> None:
        """What an interrupted writer left, or whose index is lost; nobody has read it since."""
        for key in sorted(survey.indexes.unindexed - survey.damaged.keys()):
            if damage := examine(self._repository, key, self._progress).damage:
                survey.damaged[key] = damage

    def _is_broken(self, point: RecoveryPoint, survey: Survey) -> bool:
        needs = needs_of(self._repository, point)
        if needs.findings:
            # Something is wrong with the metadata, or was lost: the damaged pack must be found.
            for key in sorted(key for key in needs.packs - survey.damaged.keys() if key.startswith(META)):
                if damage := examine(self._repository, key, self._progress).damage:
                    survey.damaged[key] = damage
        return bool(needs.findings or needs.packs & survey.damaged.keys())

    def _collect(self, point: RecoveryPoint, survey: Survey) -> None:
        """Note the blobs that a point needs and no sound pack holds."""
        for repository in (self._repository, *(donor.repository for donor in self._donors)):
            try:
                self._note_missing(repository.reader(point), point, survey)
            except BackupError as error:
                if repository is self._repository and not isinstance(error, DamageError):
                    raise
                continue  # the next one may have what this one lacks
            return
        survey.unread.append(f"{name_of(point)}: its inventory is damaged or missing, and no copy has it.")

    def _note_missing(self, reader: RecoveryPointReader, point: RecoveryPoint, survey: Survey) -> None:
        found: dict[bool, set[bytes]] = {True: set(), False: set()}
        for meta, batches in ((True, reader.meta_blobs()), (False, reader.content_blobs())):
            index = survey.indexes.meta if meta else survey.indexes.contents
            for ids in batches:
                found[meta].update(_absent(index, ids))
        for meta, blobs in found.items():
            for blob in blobs:
                survey.missing[meta].setdefault(blob, point)


def _absent(index: BlobIndex, ids: bytes) -> Iterable[bytes]:
    rows = index.find_all(ids)
    return [ids[i * 32 : i * 32 + 32] for i in np.flatnonzero(rows == ABSENT).tolist()]
