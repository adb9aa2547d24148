"""Many faults in many runs, as a seed says; and faults that stay until somebody acts."""

from __future__ import annotations

import random
from contextlib import suppress

import pytest

from backup_platform.errors import BackupError, StoreRefusedError
from backup_platform_tests.faults.cases import SEED, calls, prepared
from backup_platform_tests.faults.operations import OPERATIONS
from backup_platform_tests.faults.scene import Scene
from backup_platform_tests.faults.store import Call, Do, Killed, ScriptedStore, chaos, from_call

# What leaves nothing in the store that stays wrong: a manifest that was altered on its way stays where it is.
HARMLESS = (Do.FAIL, Do.FAIL_AFTER, Do.DIE, Do.DIE_AFTER, Do.LOSE, Do.DENY, Do.THROTTLE, Do.LATE)


def stirred(seed: int, *, encrypted: bool) -> None:
    """Backups and verifies with a fault at every fiftieth call or so; between them the source changes."""
    scene, chance = Scene.make(encrypted=encrypted), random.Random(seed)
    scene.backup()
    for turn in range(8):
        if chance.random() < 0.7:
            scene.change(10 * seed + turn)
        store = ScriptedStore(scene.store, chaos(chance.getrandbits(32), 0.02, HARMLESS))
        with suppress(BackupError, Killed):
            scene.backup(store) if chance.random() < 0.7 else scene.verify(store)
        scene.assert_restorable()
    scene.backup()
    assert scene.verify().passed
    scene.assert_restorable()


@pytest.mark.parametrize("encrypted", [False, True], ids=["plain", "encrypted"])
def test_many_faults_in_many_runs(encrypted: bool) -> None:
    stirred(SEED, encrypted=encrypted)


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(100))
def test_many_faults_in_many_runs_for_long(seed: int) -> None:
    stirred(seed, encrypted=bool(seed % 2))


def test_a_seed_replays_its_faults() -> None:
    made = [Call(n, verb, "packs/") for n, verb in enumerate(("get", "list", "create") * 20)]

    def fates(seed: int) -> list[Do | None]:
        script = chaos(seed, 0.2)
        return [script(call) for call in made]

    assert fates(7) == fates(7) != fates(8)


@pytest.mark.parametrize("name", ["backup", "verify", "restore"])
def test_credentials_that_expire_at_any_call(name: str) -> None:
    """From some call on nothing is allowed any more; renewed, the same run succeeds."""
    total = len(calls(name, False))
    for number in {1, total // 4, total // 2, total - 3, total}:
        scene = prepared(name, False).copied()
        with pytest.raises(StoreRefusedError):
            OPERATIONS[name].run(scene, ScriptedStore(scene.store, from_call(number, Do.DENY)))
        scene.assert_restorable()
        OPERATIONS[name].converge(scene)
