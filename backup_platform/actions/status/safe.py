"""What is safe of some sources, for whoever tells of trouble: their points and proofs, and no more than these."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from backup_platform.actions.status.history import points_of
from backup_platform.actions.status.proofs import ListedProofs
from backup_platform.actions.status.run import OpenedRepository, with_acceptances
from backup_platform.domain.status.evidence import SourceEvidence
from backup_platform.domain.status.judging import measure
from backup_platform.domain.status.values import SourceStatus
from backup_platform.repository.repository import Repository


def measure_points(
    repository: Repository, sources: Collection[str], now: datetime
) -> dict[str, SourceStatus]:
    """By source, its points as they are measured, without findings. However many sources, all manifests and all
    proofs are listed once. Raises RepositoryError, KeyMissingError."""
    opened = OpenedRepository.of(repository)
    found = {source: points_of(repository, source, opened.listed(source)) for source in sources}
    proofs = ListedProofs(repository)
    return {
        source: measure(SourceEvidence(source, now, each.points, None, proofs=proofs.of))
        for source, each in with_acceptances(repository, found).items()
    }
