"""Which faults there are: every call of every operation, with all that may happen to it."""

from __future__ import annotations

import os
import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

from backup_platform_tests.faults.operations import OPERATIONS
from backup_platform_tests.faults.scene import Scene
from backup_platform_tests.faults.store import Call, Do, ScriptedStore, applies

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
    store = ScriptedStore(OPERATIONS[name].breaks(scene))
    OPERATIONS[name].run(scene, store)
    return store.calls


def every_fault(name: str, encrypted: bool) -> Iterator[Fault]:
    counted = Counter[tuple[str, str]]()
    for call in calls(name, encrypted):
        counted[call.verb, call.kind] += 1
        for do in Do:
            if applies(do, call.verb):
                yield Fault(call.verb, call.kind, counted[call.verb, call.kind], do)


LIES = (Do.FLIP, Do.LOSE)  # what only reading back finds out


def some_faults(name: str, encrypted: bool, seed: int) -> list[Fault]:
    """The first object of each kind lost and altered, and at some other kinds of call one fault each; of an encrypted
    repository fewer."""
    faults = list(every_fault(name, encrypted))
    lies = [fault for fault in faults if fault.verb == "create" and fault.nth == 1 and fault.do in LIES]
    random.Random(f"{name} {encrypted} {seed}").shuffle(faults)
    places = {(fault.verb, fault.kind): fault for fault in faults}
    return list(places.values())[:3] if encrypted else [*lies, *list(places.values())[:4]]


CASES = [(name, encrypted) for name in OPERATIONS for encrypted in (False, True)]
NAMES = [f"{name.replace(' ', '-')}-{'encrypted' if encrypted else 'plain'}" for name, encrypted in CASES]
