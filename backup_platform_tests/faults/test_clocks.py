"""Clocks that are wrong by a day: deletions go by the store's alone."""

from __future__ import annotations

from datetime import timedelta

import pytest

from backup_platform.actions.backup.run import BackupJob
from backup_platform.actions.prune.plan import PruneSettings
from backup_platform.actions.prune.run import PruneSummary, Pruning
from backup_platform.repository.deletion.survey import survey
from backup_platform.repository.repository import Repository
from backup_platform_tests.faults.scene import Scene
from backup_platform_tests.support import ManualClock, QuietProgress

DAY, HOUR = timedelta(days=1), timedelta(hours=1)
SETTINGS = PruneSettings(grace=12 * HOUR, max_waste=0)


class Hosts:
    """A writer and a pruner whose clocks are off by so much; the store's is right."""

    def __init__(self, writer: timedelta, pruner: timedelta) -> None:
        self.scene, self._writer, self._pruner = Scene.make(encrypted=False), writer, pruner
        self.scene.clock.advance(days=3)

    def backup(self) -> None:
        scene = self.scene
        scene.clock.advance(minutes=2)
        clock = ManualClock(scene.clock.now() + self._writer)
        scene.source.clock = clock
        repository = Repository(scene.store, clock, keys=scene.held)
        point = BackupJob(scene.source, scene.schedule, repository, clock).run(
            None, force=True, progress=QuietProgress()
        )
        scene.expected[point.point.id] = dict(scene.source.files)

    def prune(self) -> PruneSummary:
        clock = ManualClock(self.scene.clock.now() + self._pruner)
        pruning = Pruning(Repository(self.scene.store, clock, keys=self.scene.held), SETTINGS, clock)
        return pruning.run(pruning.plan(), QuietProgress())

    def forget_first(self) -> None:
        self.scene.forget(self.scene.open().points.all()[0])


@pytest.mark.parametrize("writer", [-DAY, DAY], ids=["writer-behind", "writer-ahead"])
@pytest.mark.parametrize("pruner", [-DAY, DAY], ids=["pruner-behind", "pruner-ahead"])
def test_clocks_that_are_wrong_by_a_day(writer: timedelta, pruner: timedelta) -> None:
    hosts = Hosts(writer, pruner)
    scene = hosts.scene
    for seed in (2, 3):
        hosts.backup()
        scene.change(seed)
    hosts.backup()
    hosts.forget_first()
    assert hosts.prune().packs_condemned == 0  # younger than the grace
    scene.clock.advance(hours=13)
    assert hosts.prune().packs_condemned > 0
    scene.clock.advance(hours=11)
    assert hosts.prune().packs_deleted == 0
    hosts.backup()
    scene.clock.advance(hours=2)
    assert hosts.prune().packs_deleted > 0
    hosts.backup()
    for _ in range(4):
        scene.clock.advance(hours=13)
        hosts.prune()
    scene.assert_restorable()
    assert scene.verify().passed
    left = survey(scene.open())
    assert left.packs.keys() == left.needed
