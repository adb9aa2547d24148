"""What tests of prune share."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import timedelta

from backup_platform.actions.prune.plan import PrunePlan, PruneSettings
from backup_platform.actions.prune.run import PruneSummary, Pruning
from backup_platform.domain.model import RecoveryPoint
from backup_platform.domain.ports import Store
from backup_platform.repository.objects.names import ManifestKey
from backup_platform.stores.object_store import DirectoryStore
from backup_platform_tests.support import Bench, QuietProgress

AT_ONCE = PruneSettings(grace=timedelta(0), max_waste=1.0)


def pruning(bench: Bench, settings: PruneSettings = AT_ONCE, store: Store | None = None) -> Pruning:
    drafts = store if isinstance(store, DirectoryStore) else bench.store
    return Pruning(bench.open(store), settings, bench.clock, drafts)


def planned(bench: Bench, settings: PruneSettings = AT_ONCE) -> PrunePlan:
    return pruning(bench, settings).plan()


def prune(bench: Bench, settings: PruneSettings = AT_ONCE, store: Store | None = None) -> PruneSummary:
    """One run. With the grace of zero, what nobody needs is gone after two."""
    job = pruning(bench, settings, store)
    return job.run(job.plan(), QuietProgress())


def age(bench: Bench, prefix: str = "", **units: float) -> None:
    """Make stored objects older, by the store's clock."""
    then = time.time() - timedelta(**units).total_seconds()
    for key in bench.keys(prefix):
        os.utime(bench.root / key, (then, then))


def forget(bench: Bench, points: Iterable[RecoveryPoint]) -> None:
    """Delete manifests, as `forget` does."""
    for point in points:
        key = ManifestKey.of(point.source, point.sequence, bench.open().cipher.hash)
        bench.store.delete(key)


def packs(bench: Bench) -> set[str]:
    return bench.keys("packs/") | bench.keys("meta/")


@dataclass
class History:
    """Recovery points and what each must restore to."""

    bench: Bench
    points: list[tuple[RecoveryPoint, dict[bytes, bytes]]] = field(default_factory=list)

    def backup(self, store: Store | None = None) -> RecoveryPoint:
        point = self.bench.backup(store)
        self.points.append((point, dict(self.bench.source.files)))
        return point

    def forget(self, number: int) -> None:
        point, _ = self.points.pop(number)
        forget(self.bench, [point])

    def check(self) -> None:
        """Every recovery point that was committed and not forgotten restores."""
        for point, files in self.points:
            assert self.bench.content(point) == files
