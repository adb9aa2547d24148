"""What is wrong with a repository's packs, and which blobs its recovery points therefore lack. Writes nothing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np

from backup_platform.actions.repair.donors import Donor
from backup_platform.actions.structure import needs_of
from backup_platform.actions.verify.packs import examine
from backup_platform.domain.model import RecoveryPoint
from backup_platform.domain.ports import Progress
from backup_platform.domain.words import point_name
from backup_platform.errors import BackupError, DamageError
from backup_platform.repository.objects.names import PackKey
from backup_platform.repository.packs.blob_writer import worker_count
from backup_platform.repository.packs.index import ABSENT
from backup_platform.repository.packs.indexes import Indexes, load_indexes
from backup_platform.repository.points.point_reader import RecoveryPointReader
from backup_platform.repository.repository import Repository


@dataclass(slots=True)
class DamageSurvey:
    """`damaged` are packs, each with what is wrong with it. `marked` packs are marked as damaged, but are sound.
    `closed` ones are marked and have the right hash, but no key here opens them. `missing` blobs are in no sound pack,
    by kind (metadata or not), with one of the points that need them. `unread` are points whose needs are unknown,
    because all copies of their metadata are lost."""

    indexes: Indexes
    damaged: dict[PackKey, str] = field(default_factory=dict)
    marked: list[PackKey] = field(default_factory=list)
    closed: list[PackKey] = field(default_factory=list)
    missing: dict[bool, dict[bytes, RecoveryPoint]] = field(default_factory=lambda: {True: {}, False: {}})
    unread: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Uses:
    """The packs that a point needs, as far as they are believed to be sound, and the blobs that are in none of them."""

    packs: set[PackKey] = field(default_factory=set)
    missing: dict[bool, set[bytes]] = field(default_factory=lambda: {True: set(), False: set()})


class Surveyor:
    """Examines a repository. Copies provide the metadata that it lost."""

    def __init__(self, repository: Repository, donors: Sequence[Donor], progress: Progress) -> None:
        self._repository, self._donors, self._progress = repository, donors, progress
        self._examined: set[PackKey] = set()

    def survey(self, points: Sequence[RecoveryPoint], lost: Sequence[RecoveryPoint] = ()) -> DamageSurvey:
        """Examines what the repository's own points need, and what `lost` points need that only copies still have.
        Everything that lost points need is read completely, because no verify read it while they were missing."""
        survey = DamageSurvey(self._repository.indexes(fresh=True))
        try:
            self._examine_marked(survey)
            self._examine(survey.indexes.unindexed, survey)  # nobody has read them since they were written
            broken = [point for point in points if self._is_broken(point, survey)]
            self._leave_out_damaged(survey)
            for point in broken:
                self._settle(point, survey, contents=False)
            for point in lost:
                self._settle(point, survey, contents=True)
            for point in (*broken, *lost):
                self._note_missing(point, survey)
        finally:
            self._repository.keep_indexes(None)
        return survey

    def _leave_out_damaged(self, survey: DamageSurvey) -> None:
        survey.indexes = load_indexes(self._repository.objects, without=survey.damaged.keys())
        self._repository.keep_indexes(survey.indexes)

    def _examine_marked(self, survey: DamageSurvey) -> None:
        for key in sorted(survey.indexes.listed.keys() & self._repository.marks.damaged()):
            self._examined.add(key)
            found = examine(self._repository, key, self._progress)
            if found.damage:
                survey.damaged[key] = found.damage
            else:
                (survey.marked if found.decoded else survey.closed).append(key)

    def _examine(self, keys: Iterable[PackKey], survey: DamageSurvey) -> bool:
        """Read packs that were not read yet; whether one is damaged."""
        unknown = sorted(set(keys) - self._examined)
        self._examined.update(unknown)
        with ThreadPoolExecutor(worker_count()) as pool:
            found = list(pool.map(lambda key: examine(self._repository, key, self._progress), unknown))
        damaged = {each.key: each.damage for each in found if each.damage}
        survey.damaged.update(damaged)
        return bool(damaged)

    def _is_broken(self, point: RecoveryPoint, survey: DamageSurvey) -> bool:
        needs = needs_of(self._repository, point)
        self._examine(needs.suspects, survey)
        return bool(needs.findings or needs.packs & survey.damaged.keys())

    def _settle(self, point: RecoveryPoint, survey: DamageSurvey, *, contents: bool) -> None:
        """Read the packs of metadata that a point needs, or all of them, until no more damage comes to light."""
        while uses := self._uses(point, survey):
            if not self._examine((key for key in uses.packs if key.meta or contents), survey):
                return
            self._leave_out_damaged(survey)

    def _note_missing(self, point: RecoveryPoint, survey: DamageSurvey) -> None:
        uses = self._uses(point, survey)
        if uses is None:
            survey.unread.append(
                f"{point_name(point)}: its inventory is damaged or missing, and no copy has it."
            )
            return
        for meta, blobs in uses.missing.items():
            for blob in blobs:
                survey.missing[meta].setdefault(blob, point)

    def _uses(self, point: RecoveryPoint, survey: DamageSurvey) -> _Uses | None:
        """The packs that a point needs, from the metadata here or else from that of a copy. None if no repository
        has it."""
        for repository in (self._repository, *(donor.repository for donor in self._donors)):
            try:
                return _uses(repository.reader(point), survey.indexes)
            except BackupError as error:
                if repository is self._repository and not isinstance(error, DamageError):
                    raise
        return None


def _uses(reader: RecoveryPointReader, indexes: Indexes) -> _Uses:
    uses = _Uses()
    for meta, ids in reader.needed():
        index = indexes.meta if meta else indexes.contents
        rows = index.find_all(ids)
        uses.missing[meta].update(ids[i * 32 : i * 32 + 32] for i in np.flatnonzero(rows == ABSENT).tolist())
        numbers = index.pack_numbers(rows[rows != ABSENT])
        uses.packs.update(index.keys_of(numbers))
    return uses
