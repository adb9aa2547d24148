"""Random histories of backups, forgetting and prunes, some of them broken at some call: every point restores.

A seed replays a history.
"""

from __future__ import annotations

import random
from contextlib import suppress
from datetime import timedelta

import pytest

from backup_platform.actions.prune.plan import PruneSettings
from backup_platform.actions.prune.run import Pruning
from backup_platform.domain.ports import Store
from backup_platform.errors import BackupError
from backup_platform_tests.faults.scene import Scene
from backup_platform_tests.faults.store import Call, Do, Killed, ScriptedStore, applies
from backup_platform_tests.support import QuietProgress, noise, text

# A flipped bit in what is created stays: a manifest like that is reported for ever, and nothing is pruned.
FATES = (Do.FAIL, Do.FAIL_AFTER, Do.DIE, Do.DIE_AFTER, Do.LOSE, Do.DENY, Do.THROTTLE)
GRACES = (timedelta(0), timedelta(0), timedelta(hours=1), timedelta(days=1))


class History:
    """What the source does, what the program does, and what the store does to it, as a seed says."""

    def __init__(self, seed: int, *, encrypted: bool) -> None:
        self.chance = random.Random(seed)
        self.scene = Scene.make(encrypted=encrypted)
        self.scene.backup()

    def step(self) -> None:
        act = self.chance.choice([self.change, self.backup, self.backup, self.forget, self.prune, self.prune])
        act()
        self.scene.clock.advance(minutes=self.chance.choice([0, 1, 40, 100, 1500]))
        self.scene.assert_restorable()

    def change(self) -> None:
        source, number = self.scene.source, self.chance.randrange(6)
        path = b"d%d/changing" % number
        if path in source.files and self.chance.random() < 0.4:
            source.remove(path)
        else:  # few contents, so that what was forgotten comes again
            seed = self.chance.randrange(4)
            source.write(path, self.chance.choice([noise, text])(20_000 + 10_000 * number, seed))

    def backup(self) -> None:
        with suppress(BackupError, Killed):
            self.scene.backup(self.store())

    def forget(self) -> None:
        points = self.scene.open().points.all()
        for point in self.chance.sample(points[:-1], len(points[:-1]) // 2):
            self.scene.forget(point)

    def prune(self) -> None:
        with suppress(BackupError, Killed):
            settings = PruneSettings(self.chance.choice(GRACES), self.chance.choice([0.0, 0.2, 1.0]))
            pruning = Pruning(self.scene.open(self.store()), settings, self.scene.clock)
            pruning.run(pruning.plan(), QuietProgress())

    def store(self) -> Store:
        """Every second run meets a fault."""
        number, do = self.chance.randrange(1, 100), self.chance.choice(FATES)

        def script(call: Call) -> Do | None:
            return do if call.number == number and applies(do, call.verb) else None

        return ScriptedStore(self.scene.store, script)

    def end(self) -> None:
        """Undisturbed, everything converges: what is there is needed, and nothing is left to do."""
        for _ in range(4):
            self.scene.clock.advance(days=3)
            pruning = Pruning(self.scene.open(), PruneSettings(timedelta(0), 0.0), self.scene.clock)
            pruning.run(pruning.plan(), QuietProgress())
        assert pruning.plan().empty
        self.scene.assert_restorable()
        assert self.scene.verify().passed
        packs = self.scene.store.keys("packs/") | self.scene.store.keys("meta/")
        found = pruning.plan().survey
        assert found is not None
        assert packs == found.needed


def lived(seed: int, steps: int, *, encrypted: bool) -> None:
    history = History(seed, encrypted=encrypted)
    for _ in range(steps):
        history.step()
    history.end()


@pytest.mark.parametrize("encrypted", [False, True], ids=["plain", "encrypted"])
@pytest.mark.parametrize("seed", [1, 2])
def test_every_point_restores_whatever_happens(seed: int, encrypted: bool) -> None:
    lived(seed, 25, encrypted=encrypted)


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(100, 200))
def test_every_point_restores_whatever_happens_for_long(seed: int) -> None:
    lived(seed, 80, encrypted=bool(seed % 2))
