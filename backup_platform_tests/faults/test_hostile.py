"""Whatever somebody writes who may write, and whatever the owner of a store does: a point that restored before a prune
restores after it. A seed replays a history."""

from __future__ import annotations

import random
from contextlib import suppress
from datetime import timedelta

import pytest

from backup_platform.actions.prune.plan import PruneSettings
from backup_platform.actions.prune.run import PruneSummary, Pruning
from backup_platform.errors import BackupError
from backup_platform.repository.encryption.key_files import Keys
from backup_platform.repository.repository import Repository
from backup_platform_tests.faults.hostile import Owner, Writer
from backup_platform_tests.faults.scene import Scene
from backup_platform_tests.support import QuietProgress, content_of, noise, text, writer_keys

GRACES = (timedelta(0), timedelta(0), timedelta(hours=1), timedelta(days=1))


class History:
    """`told` is what was done, for whoever looks at a seed that fails."""

    def __init__(self, seed: int, *, encrypted: bool, owner: bool) -> None:
        self.chance, self.encrypted, self.owner = random.Random(seed), encrypted, owner
        self.scene = Scene.make(encrypted=encrypted)
        self.told: list[str] = []
        self.scene.backup()

    @property
    def keys(self) -> Keys:
        """Of a host without an identity."""
        return writer_keys() if self.encrypted else Keys()

    def step(self) -> None:
        acts = [self.backup, self.forget, self.attack, self.attack, self.prune, self.prune]
        self.chance.choice(acts)()
        self.scene.clock.advance(minutes=self.chance.choice([0, 1, 40, 100, 1500]))

    def backup(self) -> None:
        """A writer that builds on a lie makes a point that does not restore: that is not prune's."""
        path, seed = b"d%d" % self.chance.randrange(6), self.chance.randrange(4)
        self.scene.source.write(path, self.chance.choice([noise, text])(20_000, seed))
        with suppress(BackupError):
            self.scene.backup()
        self.told.append("backup")

    def forget(self) -> None:
        """A record that the owner altered keeps its point from being forgotten, loudly."""
        points = self.scene.open().points.readable()[0]
        for point in self.chance.sample(points[:-1], len(points[:-1]) // 2):
            with suppress(BackupError):
                self.scene.forget(point)
        self.told.append("forget")

    def attack(self) -> None:
        if self.owner and self.chance.random() < 0.5:
            self.told.append(Owner(self.scene.store, self.chance, indexes=not self.encrypted).act())
            return
        writer = Writer(Repository(self.scene.store, self.scene.clock, keys=self.keys), self.chance)
        with suppress(BackupError, IndexError):  # the owner left nothing to name
            self.told.append(writer.act())

    def restorable(self) -> set[str]:
        repository, found = self.scene.open(), set()
        for point in repository.points.readable()[0]:
            with suppress(BackupError):
                if content_of(repository, point) == self.scene.expected.get(point.id):
                    found.add(point.id)
        return found

    def prune(self) -> None:
        before, keys = self.restorable(), self.chance.choice([self.keys, self.scene.held])
        settings = PruneSettings(self.chance.choice(GRACES), self.chance.choice([0.0, 0.2, 1.0]))
        self.told.append(f"prune {'with' if keys is self.scene.held else 'without'} an identity, {settings}")
        with suppress(BackupError):
            prune(self.scene, keys, settings)
        assert before <= self.restorable(), "\n".join(self.told)


def prune(scene: Scene, keys: Keys, settings: PruneSettings) -> PruneSummary:
    pruning = Pruning(Repository(scene.store, scene.clock, keys=keys), settings, scene.clock)
    return pruning.run(pruning.plan(), QuietProgress())


def lived(seed: int, steps: int) -> None:
    history = History(seed, encrypted=seed % 3 > 0, owner=seed % 2 > 0)
    for _ in range(steps):
        history.step()
    for _ in range(3):
        history.scene.clock.advance(days=3)
        history.prune()


@pytest.mark.parametrize("seed", range(4))
def test_every_point_that_restored_before_a_prune_restores_after_it(seed: int) -> None:
    lived(seed, 12)


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(1000, 2000))
def test_every_point_that_restored_before_a_prune_restores_after_it_for_long(seed: int) -> None:
    lived(seed, 30)
