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


def some_faults(name: str, encrypted: bool, seed: int) -> list[Fault]:
    """At every kind of call one, of an encrypted repository at some kinds."""
    faults = list(every_fault(name, encrypted))
    random.Random(f"{name} {encrypted} {seed}").shuffle(faults)
    places = {(fault.verb, fault.kind): fault for fault in faults}
    return list(places.values())[: 5 if encrypted else 14]


CASES = [(name, encrypted) for name in OPERATIONS for encrypted in (False, True)]
NAMES = [f"{name.replace(' ', '-')}-{'encrypted' if encrypted else 'plain'}" for name, encrypted in CASES]
