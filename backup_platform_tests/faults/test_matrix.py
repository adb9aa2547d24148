"""One fault at every store call of every operation, in turn.

Whatever the call and the fault: the run fails loudly or what it says is true, afterwards every committed recovery point
restores, and a clean run converges. Here each kind of call meets some of the faults; the soak run tries all of them at
all calls. `FAULT_SEED` replays a choice.
"""

from __future__ import annotations

import random

import pytest

from backup_platform.errors import BackupError, NotFoundError, SourceError
from backup_platform.stores.retrying import RetryingStore
from backup_platform_tests.faults.cases import CASES, NAMES, SEED, Fault, every_fault, prepared, some_faults
from backup_platform_tests.faults.operations import OPERATIONS, Operation
from backup_platform_tests.faults.scene import Scene
from backup_platform_tests.faults.store import Do, Killed, Script, ScriptedStore, at


@pytest.mark.parametrize(("name", "encrypted"), CASES, ids=NAMES)
def test_a_fault_at_every_kind_of_call(name: str, encrypted: bool) -> None:
    for fault in some_faults(name, encrypted, SEED):
        check(name, encrypted, fault)


@pytest.mark.soak
@pytest.mark.parametrize(("name", "encrypted"), CASES, ids=NAMES)
def test_every_fault_at_every_call(name: str, encrypted: bool) -> None:
    for fault in every_fault(name, encrypted):
        check(name, encrypted, fault)


DAMAGED = ("verify of damage", "repair")  # before anything is broken
PASSING = (Do.FAIL, Do.FAIL_AFTER, Do.THROTTLE)


@pytest.mark.parametrize(("name", "encrypted"), CASES, ids=NAMES)
def test_what_passes_by_itself_is_survived(name: str, encrypted: bool) -> None:
    """Behind the retries that every remote store has. A listing is repeated page by page, below them."""
    chance = random.Random(SEED)
    faults = [f for f in every_fault(name, encrypted) if f.do in PASSING and f.verb != "list"]
    for fault in chance.sample(faults, 2):
        scene = prepared(name, encrypted).copied()
        hit, script = at(fault.verb, fault.kind, fault.nth, fault.do)
        store = RetryingStore(
            ScriptedStore(OPERATIONS[name].breaks(scene), script), sleep=lambda seconds: None
        )
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
        if name not in DAMAGED:
            scene.assert_restorable()
        operation.converge(scene)
        if name not in DAMAGED:
            scene.assert_restorable()
    except Exception as error:
        error.add_note(f"{name}, {'encrypted' if encrypted else 'plain'}: {fault}, which hit {hit}")
        raise


def broken_run(scene: Scene, operation: Operation, script: Script) -> BackupError | Killed | None:
    try:
        operation.run(scene, ScriptedStore(operation.breaks(scene), script))
    except (BackupError, Killed) as error:
        return error
    return None
