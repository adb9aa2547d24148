"""A repository and its copy, driven at random through everything that writes and deletes, against a model.

Each recovery point that is there reads as it was captured, whatever was done before, in whichever order, and whatever
broke meanwhile; none goes that a hold keeps, nor the newest.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from backup_platform.actions.copy.run import Copying
from backup_platform.actions.forget.run import Retention
from backup_platform.actions.keys.recipients import KeyRing
from backup_platform.actions.points.holds import Holds
from backup_platform.actions.prune.plan import PruneSettings
from backup_platform.actions.prune.run import Pruning
from backup_platform.actions.repair.run import Repair
from backup_platform.domain.keep.retention import KeepRules, SourceRules
from backup_platform.domain.ports import Store
from backup_platform.errors import BackupError
from backup_platform.repository.encryption.key_files import Keys, Secret
from backup_platform.repository.replicas import init_replica
from backup_platform.repository.repository import Repository
from backup_platform_tests.faults.memory import MemoryStore
from backup_platform_tests.faults.scene import Files, Scene
from backup_platform_tests.faults.store import Call, Do, Killed, ScriptedStore
from backup_platform_tests.support import (
    IDENTITIES,
    QuietProgress,
    all_keys,
    content_of,
    noise,
    recipient,
    text,
    writer_keys,
)

PATHS = st.sampled_from([b"a", b"b/c", b"b/d", b"z"])
DATA = st.one_of(
    st.builds(text, st.integers(1, 5_000), st.integers(0, 3)),
    st.builds(noise, st.integers(60_000, 200_000), st.integers(0, 3)),
)
PLACES = st.sampled_from(["main", "copy"])
GRACE = st.sampled_from([timedelta(0), timedelta(hours=12)])
BREAKS = [Do.FAIL, Do.FAIL_AFTER, Do.DIE, Do.DIE_AFTER, Do.LOSE, Do.DENY, Do.LATE]
FAULTS = st.none() | st.tuples(st.integers(1, 60), st.sampled_from(BREAKS))  # at which call what happens
Fault = tuple[int, Do] | None


def every_identity() -> Keys:
    return Keys(writer_keys().key, Secret("the test's identities", "\n".join(IDENTITIES)))


class WholeMachine(RuleBasedStateMachine):
    encrypted = False

    @initialize()
    def create(self) -> None:
        self.scene = Scene.make(encrypted=self.encrypted)
        self.number = 0  # of the identity that opens everything
        init_replica(self.scene.open(), self.scene.second)
        self.stores = {"main": self.scene.store, "copy": self.scene.second}
        self.there: dict[str, set[str]] = {"main": set(), "copy": set()}
        self.held: set[tuple[str, str]] = set()  # place, point
        self.expected: dict[str, Files] = {}
        self.backup(None)

    def opened(self, place: str, store: Store | None = None) -> Repository:
        keys = every_identity() if self.encrypted else Keys()
        return Repository(store or self.stores[place], self.scene.clock, keys=keys)

    def broken(self, place: str, fault: Fault) -> Store:
        """The store, or one that misbehaves once."""
        store: MemoryStore = self.stores[place]
        if fault is None:
            return store
        number, do = fault
        return ScriptedStore(store, lambda call: _at(call, number, do))

    def attempt(self, fault: Fault, run: Callable[[], object]) -> bool:
        """Whether it succeeded; it may only fail when it was broken."""
        if fault is None:
            run()
            return True
        with suppress(BackupError, Killed):
            run()
            return True
        return False

    def points(self, place: str) -> set[str]:
        return {point.id for point in self.opened(place).points.all()}

    # What changes at the source

    @rule(path=PATHS, data=DATA)
    def write(self, path: bytes, data: bytes) -> None:
        self.scene.source.write(path, data)

    @rule(path=PATHS)
    def remove(self, path: bytes) -> None:
        if path in self.scene.source.files:
            self.scene.source.remove(path)

    @rule(hours=st.integers(1, 40))
    def wait(self, hours: int) -> None:
        self.scene.clock.advance(hours=hours)

    # What the program does

    @rule(fault=FAULTS)
    def backup(self, fault: Fault) -> None:
        before = self.there["main"]
        self.attempt(fault, lambda: self.scene.backup(self.broken("main", fault)))
        new = self.points("main") - before
        self.expected |= {point: dict(self.scene.source.files) for point in new}
        self.there["main"] |= new

    @rule(place=PLACES, last=st.integers(1, 3), fault=FAULTS)
    def forget(self, place: str, last: int, fault: Fault) -> None:
        before = self.opened(place).points.all()
        rules = {"docs": SourceRules(KeepRules(last=last))}

        def run() -> None:
            retention = Retention(self.opened(place, self.broken(place, fault)), rules, self.scene.clock)
            retention.run_forget(retention.plan_forget())

        self.attempt(fault, run)
        gone = {point.id for point in before} - self.points(place)
        assert not {(place, point) for point in gone} & self.held
        assert not before or before[-1].id not in gone
        self.there[place] -= gone

    @rule(place=PLACES, grace=GRACE, rewrite=st.booleans(), fault=FAULTS)
    def prune(self, place: str, grace: timedelta, rewrite: bool, fault: Fault) -> None:
        def run() -> None:
            repository = self.opened(place, self.broken(place, fault))
            pruning = Pruning(repository, PruneSettings(grace, 0 if rewrite else 1), self.scene.clock)
            pruning.run(pruning.plan(), QuietProgress())

        self.attempt(fault, run)

    @rule(place=PLACES, fault=FAULTS)
    def copy(self, place: str, fault: Fault) -> None:
        """The fault is in one of the two."""
        stores = {name: self.stores[name] for name in self.stores} | {place: self.broken(place, fault)}

        def run() -> None:
            copying = Copying(
                self.opened("main", stores["main"]), self.opened("copy", stores["copy"]), self.scene.clock
            )
            copying.run(copying.plan(copying.origin.points.all()))

        self.attempt(fault, run)
        self.there["copy"] |= self.points("copy") & self.there["main"]

    @rule(place=PLACES, data=st.data())
    def hold(self, place: str, data: st.DataObject) -> None:
        point = data.draw(st.sampled_from(sorted(self.there[place] or {""})))
        if point:
            Holds(self.opened(place), self.scene.clock).place(point, "for a test")
            self.held.add((place, point))
            self.scene.clock.advance(hours=1)

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        place, point = data.draw(st.sampled_from(sorted(self.held)))
        Holds(self.opened(place), self.scene.clock).release(point, "the test is over")
        self.held.discard((place, point))

    @precondition(lambda self: self.encrypted and self.number + 1 < len(IDENTITIES))
    @rule()
    def change_keys(self) -> None:
        """A new recipient for everything; the one before is retired."""
        ring = KeyRing(self.opened("main"), self.scene.clock)
        ring.add(recipient(self.number + 1))
        ring.rewrap()
        ring.retire(recipient(self.number))
        self.number += 1
        self.scene.held = all_keys(self.number)

    @rule(data=st.data(), lose=st.booleans(), fault=FAULTS)
    def damage_and_repair(self, data: st.DataObject, lose: bool, fault: Fault) -> None:
        """With a copy of everything at hand."""
        self.copy("main", None)
        missing = self.there["main"] - self.there["copy"]
        packs = sorted(self.scene.store.keys("packs/") | self.scene.store.keys("meta/"))
        if missing or not packs:
            return  # the copy has forgotten some
        key = data.draw(st.sampled_from(packs))
        if lose:
            self.scene.store.delete(key)
        else:
            self.scene.store.alter(key, bytes(self.scene.store.get(key))[:-1])
        self.scene.verify()

        def run(store: Store) -> None:
            repair = Repair(self.opened("main", store), {"copy": self.opened("copy")}, self.scene.clock)
            repair.run(repair.plan())

        self.attempt(fault, lambda: run(self.broken("main", fault)))
        run(self.scene.store)

    @invariant()
    def every_point_reads_as_it_was_captured(self) -> None:
        for place in self.stores:
            repository = self.opened(place)
            points = {point.id: point for point in repository.points.all()}
            assert self.there[place] == points.keys(), place
            for identity, point in points.items():
                assert content_of(repository, point) == self.expected[identity], place

    def teardown(self) -> None:
        if hasattr(self, "scene"):
            for _ in range(4):
                self.scene.clock.advance(days=2)
                for place in self.stores:
                    self.prune(place, timedelta(hours=1), True, None)
            self.copy("main", None)
            assert self.scene.verify().passed
            self.every_point_reads_as_it_was_captured()


def _at(call: Call, number: int, do: Do) -> Do | None:
    return do if call.number == number else None


class EncryptedWholeMachine(WholeMachine):
    encrypted = True


class LongMachine(WholeMachine):
    """The same for hours (`make soak`)."""


class LongEncryptedMachine(EncryptedWholeMachine):
    """The same for hours (`make soak`)."""


TestWhole = WholeMachine.TestCase
TestWhole.settings = settings(
    max_examples=6, stateful_step_count=15, deadline=None, suppress_health_check=list(HealthCheck)
)
TestEncryptedWhole = EncryptedWholeMachine.TestCase
TestEncryptedWhole.settings = settings(TestWhole.settings, max_examples=4)
LONG = settings(TestWhole.settings, max_examples=300, stateful_step_count=40)
TestWholeForLong = pytest.mark.soak(LongMachine.TestCase)
TestWholeForLong.settings = LONG
TestEncryptedWholeForLong = pytest.mark.soak(LongEncryptedMachine.TestCase)
TestEncryptedWholeForLong.settings = LONG
