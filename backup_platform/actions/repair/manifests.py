"""Which manifests a repository lost, and which copies hold them. Writes nothing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from backup_platform.actions.repair.donors import Donor
from backup_platform.actions.repair.plan import Act, RepairStep
from backup_platform.domain.model import RecoveryPoint
from backup_platform.domain.words import point_name
from backup_platform.repository.objects.names import ManifestKey
from backup_platform.repository.points.chains import chain_breaks
from backup_platform.repository.records.forgotten import forgotten_places
from backup_platform.repository.repository import Repository


def manifest_steps(
    repository: Repository, points: Iterable[RecoveryPoint], donors: Sequence[Donor], *, complete: bool
) -> tuple[list[RepairStep], list[str]]:
    """Manifests to restore, in the order of their chains, and a sentence for each that no copy has. `points` are those
    that can be read here. `complete` means that every point was written here first: then a point that only a copy has
    was lost here, unless it was forgotten."""
    chains: dict[str, list[RecoveryPoint]] = {}
    for point in points:
        chains.setdefault(point.source, []).append(point)
    own = {repository.points.key(p) for chain in chains.values() for p in chain}
    listed = set(repository.points.stored())
    gone = {place.point for place in forgotten_places(repository.objects)}
    steps, lost = [], []
    for key in sorted((listed - own) | (_missing(donors, listed, gone) if complete else set())):
        damaged = key in listed
        found = _fitting(key, donors, chains)
        if found is not None:
            chains.setdefault(found.source, []).append(found)
            steps.append(_step(key, found, donors, damaged=damaged))
        elif damaged:
            lost.append(f"The manifest {key} is damaged, and no copy has one that fits its chain.")
        else:
            lost.append(
                f"The manifest {key} of a copy does not fit the chain here: the two repositories have diverged."
            )
    return steps, lost


def _missing(donors: Sequence[Donor], listed: set[ManifestKey], gone: set[str]) -> set[ManifestKey]:
    return {
        key
        for donor in donors
        for key, point in donor.points.items()
        if key not in listed and point.id not in gone
    }


def _fitting(
    key: ManifestKey, donors: Sequence[Donor], chains: Mapping[str, list[RecoveryPoint]]
) -> RecoveryPoint | None:
    """The first copy's point for a place, whose neighbours here agree with it."""
    for donor in donors:
        point = donor.points.get(key)
        if point is None:
            continue
        chain = chains.get(point.source, [])
        if set(chain_breaks([*chain, point])) <= set(chain_breaks(chain)):
            return point
    return None


def _step(key: ManifestKey, point: RecoveryPoint, donors: Sequence[Donor], *, damaged: bool) -> RepairStep:
    return RepairStep(
        Act.REPLACE if damaged else Act.TAKE,
        key,
        f"the manifest of {point_name(point)} is {'damaged' if damaged else 'missing'}",
        tuple(donor.name for donor in donors if donor.points.get(key) == point),
        point=point,
    )
