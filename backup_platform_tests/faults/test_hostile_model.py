"""A repository and its copy among everything that writes and deletes, with two attackers beside it (`hostile`).

What restored restores, whatever they do and whichever prune, copy, backup or forget comes after: only what the owner of
a store destroyed himself is gone. What a backup or a copy builds on a lie is not counted, as it never restored.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import invariant, rule

from backup_platform.actions.prune.plan import PruneSettings
from backup_platform.actions.prune.run import Pruning
from backup_platform.errors import BackupError
from backup_platform.repository.encryption.key_files import Keys
from backup_platform.repository.repository import Repository
from backup_platform_tests.faults.hostile import Owner, Writer
from backup_platform_tests.faults.store import Killed
from backup_platform_tests.faults.test_model import (
    FAULTS,
    GRACE,
    LONG,
    PLACES,
    Fault,
    WholeMachine,
)
from backup_platform_tests.support import QuietProgress, content_of, writer_keys

SEEDS = st.integers(0, 1_000_000)


class HostileMachine(WholeMachine):
    good: dict[str, set[str]]
    damage_and_repair = None  # type: ignore[assignment]  # a copy may hold what was built on a lie
    hold = release = None  # type: ignore[assignment]  # the owner of the store takes holds away

    def attempt(self, fault: Fault, run: Callable[[], object]) -> bool:
        with suppress(BackupError, Killed):
            run()
            return True
        return False

    def restorable(self, place: str) -> set[str]:
        repository, found = self.opened(place), set()
        for point in repository.points.all():
            with suppress(BackupError):
                if content_of(repository, point) == self.expected[point.id]:
                    found.add(point.id)
        return found

    @rule(place=PLACES, seed=SEEDS)
    def writer_attacks(self, place: str, seed: int) -> None:
        keys = writer_keys() if self.encrypted else Keys()
        writer = Writer(Repository(self.stores[place], self.scene.clock, keys=keys), random.Random(seed))
        with suppress(BackupError, IndexError):  # nothing is left to name
            writer.act()

    @rule(place=PLACES, seed=SEEDS)
    def owner_attacks(self, place: str, seed: int) -> None:
        Owner(self.stores[place], random.Random(seed), indexes=not self.encrypted).act()
        self.good = {**self.good, place: self.restorable(place)}

    @rule(place=PLACES, grace=GRACE, rewrite=st.booleans(), fault=FAULTS)
    def prune_without_an_identity(self, place: str, grace: timedelta, rewrite: bool, fault: Fault) -> None:
        def run() -> None:
            keys = writer_keys() if self.encrypted else Keys()
            repository = Repository(self.broken(place, fault), self.scene.clock, keys=keys)
            pruning = Pruning(repository, PruneSettings(grace, 0 if rewrite else 1), self.scene.clock)
            pruning.run(pruning.plan(), QuietProgress())

        self.attempt(fault, run)

    @invariant()
    def every_point_reads_as_it_was_captured(self) -> None:
        before = getattr(self, "good", {"main": set(), "copy": set()})
        self.good = {place: self.restorable(place) for place in self.stores}
        for place, points in before.items():
            assert points & self.there[place] <= self.good[place], place

    def teardown(self) -> None:
        if hasattr(self, "good"):
            for _ in range(3):
                self.scene.clock.advance(days=2)
                for place in self.stores:
                    self.prune(place, timedelta(hours=1), True, None)
            self.every_point_reads_as_it_was_captured()


class EncryptedHostileMachine(HostileMachine):
    encrypted = True


class LongHostileMachine(HostileMachine):
    """The same for hours (`make soak`)."""


class LongEncryptedHostileMachine(EncryptedHostileMachine):
    """The same for hours (`make soak`)."""


BOUNDED = settings(LONG, max_examples=2, stateful_step_count=12)
TestHostile = HostileMachine.TestCase
TestHostile.settings = BOUNDED
TestEncryptedHostile = EncryptedHostileMachine.TestCase
TestEncryptedHostile.settings = BOUNDED
TestHostileForLong = pytest.mark.soak(LongHostileMachine.TestCase)
TestHostileForLong.settings = LONG
TestEncryptedHostileForLong = pytest.mark.soak(LongEncryptedHostileMachine.TestCase)
TestEncryptedHostileForLong.settings = LONG
