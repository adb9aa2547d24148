"""Whether everything that recovery points need exists. Only listings, indexes and inventories are read, no contents."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from backup_platform.domain.model import RecoveryPoint
from backup_platform.domain.words import how_many, point_name
from backup_platform.errors import DamageError
from backup_platform.repository.objects.names import PackKey
from backup_platform.repository.packs.index import ABSENT, BlobIndex
from backup_platform.repository.repository import Repository


@dataclass(frozen=True, slots=True)
class Needs:
    """Keys of the packs that a recovery point needs, and what is wrong with it. `suspects` are packs among them that
    are not whole, or may not be: this shows when they are read."""

    packs: frozenset[PackKey]
    findings: tuple[str, ...]
    suspects: frozenset[PackKey] = frozenset()


def structure_findings(repository: Repository, points: Iterable[RecoveryPoint]) -> list[str]:
    """One sentence for each thing that is missing, or known to be damaged."""
    repository.indexes(fresh=True)
    damaged = repository.marks.damaged()
    findings: list[str] = []
    for point in points:
        needs = needs_of(repository, point)
        findings += needs.findings
        findings += [
            f"{point_name(point)} needs {key}, which is damaged." for key in sorted(needs.packs & damaged)
        ]
    return findings


def needs_of(repository: Repository, point: RecoveryPoint) -> Needs:
    """What a point needs, by the repository's current indexes."""
    indexes, packs, is_meta = repository.indexes(), set[PackKey](), True
    metadata, contents = _Needed(indexes.meta, packs), _Needed(indexes.contents, packs)
    try:
        for is_meta, ids in repository.reader(point).needed():
            (metadata if is_meta else contents).add(ids)
    except DamageError as error:
        # Contents whose lists are missing cannot be told: that the lists are missing can.
        if is_meta or not metadata.missing:
            return _needs(repository, packs, [f"{point_name(point)} cannot be read: {error.message}"])
    missing = metadata.missing or contents.missing
    texts = (
        [f"{point_name(point)} needs {how_many(missing, 'blob')} that no stored pack holds."]
        if missing
        else []
    )
    if lost := packs & indexes.unindexed:
        texts.append(
            f"{point_name(point)} needs {min(lost)}, which no index names: the next backup indexes it."
        )
    return _needs(repository, packs, texts)


def _needs(repository: Repository, packs: set[PackKey], texts: list[str]) -> Needs:
    """Where something is wrong with a point, any of its metadata may be damaged."""
    indexes = repository.indexes()
    cut = packs & indexes.misfits
    texts += [
        f"{key} has {indexes.listed[key]:,} bytes, which is not the size that it was written with."
        for key in sorted(cut)
    ]
    suspects = cut | ({key for key in packs if key.meta} if texts else set())
    return Needs(frozenset(packs), tuple(texts), frozenset(suspects))


@dataclass(slots=True)
class _Needed:
    """The blobs of one kind. `packs` gets the keys of the packs that hold them; `missing` counts the blobs that no pack
    holds."""

    index: BlobIndex
    packs: set[PackKey]
    missing: int = 0
    known: set[int] = field(default_factory=set)

    def add(self, ids: bytes) -> None:
        rows = self.index.find_all(ids)
        self.missing += int(np.count_nonzero(rows == ABSENT))
        # At once: a batch may be the last before damage ends them, and lead to the damaged pack.
        numbers = self.index.pack_numbers(rows[rows != ABSENT]) - self.known
        self.known |= numbers
        self.packs.update(self.index.keys_of(numbers))
