"""Object locks, where the plan has them."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING

from backup_platform.services.bound import BoundRepository

if TYPE_CHECKING:
    from backup_platform.actions.backup.run import BackupResult


@dataclass(frozen=True, slots=True)
class PlannedLocks:
    """Extends the retentions of everything that a new point needs, if the plan has a `lock`. Raises StoreError."""

    bound: BoundRepository

    def keep_result(self, result: BackupResult) -> None:
        """`keep` for what a backup stored, or found stored."""
        if self.bound.settings.lock is not None:
            from backup_platform.actions.structure import needs_of

            packs = result.packs if result.created else needs_of(self.bound.repository, result.point).packs
            self.keep(result.point.source, packs)

    def keep(self, source: str, packs: Collection[str]) -> None:
        if self.bound.settings.lock is None:
            return
        from backup_platform.actions.object_locks import ObjectLocks

        repository = self.bound.repository
        if locks := repository.capabilities.object_lock:
            ObjectLocks(repository, locks, self.bound.clock).keep(source, packs)
