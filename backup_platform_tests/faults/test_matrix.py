"""One fault at every store call of every operation, in turn.

Whatever the call and the fault: the run fails loudly or what it says is true, afterwards every committed recovery point
restores, and a clean run converges. Here each kind of call meets some of the faults; the soak run tries all of them at
all calls. `FAULT_SEED` replays a choice.
"""

from __future__ import annotations

import os
import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

import pytest

from backup_platform.errors import BackupError, NotFoundError, SourceError
from backup_platform.stores.retrying import RetryingStore
from backup_platform_tests.faults.operations import OPERATIONS, Operation
from backup_platform_tests.faults.scene import Scene
from backup_platform_tests.faults.store import Call, Do, Killed, Script, ScriptedStore, applies, at

SEED = int(os.environ.get("FAULT_SEED", "20261122"))


@dataclass(frozen=True)
class Fault:
    verb: str
    kind: str
    nth: int
    do: Do

    def __str__(self) -> str:
        return f"{self.do.name} at {self.verb} {self.kind}/ #{self.nth}"


@cache
def prepared(name: str, encrypted: bool) -> Scene:
    scene = Scene.make(encrypted=encrypted)
    scene.backup()
    scene.change(2)
    scene.backup()
    scene.change(3)
    OPERATIONS[name].prepare(scene)
    return scene


@cache
def calls(name: str, encrypted: bool) -> list[Call]:
    """Those of a run without a fault."""
    scene = prepared(name, encrypted).copied()
    store = ScriptedStore(scene.store)
    OPERATIONS[name].run(scene, store)
    return store.calls


def every_fault(name: str, encrypted: bool) -> Iterator[Fault]:
    counted = Counter[tuple[str, str]]()
    for call in calls(name, encrypted):
        counted[call.verb, call.kind] += 1
        for do in Do:
            if applies(do, call.verb):
                yield Fault(call.verb, call.kind, counted[call.verb, call.kind], do)


def some_faults(name: str, encrypted: bool, seed: int) -> list[Fault]:
    """At every kind of call one, and each fault at one call at least."""
    faults = list(every_fault(name, encrypted))
    random.Random(f"{name} {encrypted} {seed}").shuffle(faults)
    places, dos, chosen = set[tuple[str, str]](), set[Do](), []
    for fault in faults:
        if (fault.verb, fault.kind) not in places or fault.do not in dos:
            places.add((fault.verb, fault.kind))
            dos.add(fault.do)
            chosen.append(fault)
    return chosen


CASES = [(name, encrypted) for name in OPERATIONS for encrypted in (False, True)]
NAMES = [f"{name.replace(' ', '-')}-{'encrypted' if encrypted else 'plain'}" for name, encrypted in CASES]


@pytest.mark.parametrize(("name", "encrypted"), CASES, ids=NAMES)
def test_a_fault_at_every_kind_of_call(name: str, encrypted: bool) -> None:
    for fault in some_faults(name, encrypted, SEED):
        check(name, encrypted, fault)


@pytest.mark.soak
@pytest.mark.parametrize(("name", "encrypted"), CASES, ids=NAMES)
def test_every_fault_at_every_call(name: str, encrypted: bool) -> None:
    for fault in every_fault(name, encrypted):
        check(name, encrypted, fault)


PASSING = (Do.FAIL, Do.FAIL_AFTER, Do.THROTTLE)


@pytest.mark.parametrize(("name", "encrypted"), CASES, ids=NAMES)
def test_what_passes_by_itself_is_survived(name: str, encrypted: bool) -> None:
    """Behind the retries that every remote store has. A listing is repeated page by page, below them."""
    chance = random.Random(SEED)
    faults = [f for f in every_fault(name, encrypted) if f.do in PASSING and f.verb != "list"]
    for fault in chance.sample(faults, 4):
        scene = prepared(name, encrypted).copied()
        hit, script = at(fault.verb, fault.kind, fault.nth, fault.do)
        store = RetryingStore(ScriptedStore(scene.store, script), sleep=lambda seconds: None)
        OPERATIONS[name].run(scene, store)
        assert hit, fault
        OPERATIONS[name].converge(scene)


def check(name: str, encrypted: bool, fault: Fault) -> None:
    scene, operation = prepared(name, encrypted).copied(), OPERATIONS[name]
    hit, script = at(fault.verb, fault.kind, fault.nth, fault.do)
    try:
        failure = broken_run(scene, operation, script)
        assert failure is None or hit, failure
        # A store that breaks is never taken for a source that does, nor for one that has nothing.
        assert not isinstance(failure, SourceError)
        assert not isinstance(failure, NotFoundError) or fault.do is Do.LATE, failure
        if name != "verify of damage":
            scene.assert_restorable()
        operation.converge(scene)
        if name != "verify of damage":
            scene.assert_restorable()
    except Exception as error:
        error.add_note(f"{name}, {'encrypted' if encrypted else 'plain'}: {fault}, which hit {hit}")
        raise


def broken_run(scene: Scene, operation: Operation, script: Script) -> BackupError | Killed | None:
    try:
        operation.run(scene, ScriptedStore(scene.store, script))
    except (BackupError, Killed) as error:
        return error
    return None
