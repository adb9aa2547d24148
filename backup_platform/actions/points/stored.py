"""Which of some recovery points a repository holds, by listings alone. `verify` checks their packs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from backup_platform.domain.model import RecoveryPoint
from backup_platform.repository.records.forgotten import forgotten_places
from backup_platform.repository.repository import Repository


@dataclass(frozen=True, slots=True)
class StoredPoints:
    """Each point is in one of the lists, in the given order. `forgotten` points were removed by retention here, so they
    must not be copied again."""

    held: tuple[RecoveryPoint, ...]
    forgotten: tuple[RecoveryPoint, ...]
    lacking: tuple[RecoveryPoint, ...]


def find_stored(repository: Repository, points: Sequence[RecoveryPoint]) -> StoredPoints:
    """A point whose manifest is damaged here counts as missing."""
    here = {each.id for name in {p.source for p in points} for each in repository.points.readable(name)[0]}
    absent = [point for point in points if point.id not in here]
    gone = {place.point for place in forgotten_places(repository.objects)} if absent else set()
    return StoredPoints(
        tuple(point for point in points if point.id in here),
        tuple(point for point in absent if point.id in gone),
        tuple(point for point in absent if point.id not in gone),
    )
