"""A store that misbehaves: what one call of it may do, and scripts that say when."""

from __future__ import annotations

import random
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum

from backup_platform.domain.ports import Buffer, Store, StoredObject
from backup_platform.errors import StoreError, StoreRefusedError


class Do(Enum):
    """What a `ScriptedStore` does with one call."""

    FAIL = "refuse it"
    FAIL_AFTER = "do it, and say that it failed"
    DIE = "nothing, and nothing from now on: the process is gone"
    DIE_AFTER = "do it, and nothing from now on"
    LOSE = "say that it was done"
    FLIP = "flip one bit of the data on its way"
    SHORT = "only the first half of the data arrives"
    LATE = "a listing without its newest object"
    DENY = "these credentials do not allow it"
    THROTTLE = "too many requests, come again"


READS = ("get", "get_range", "get_tail")
WRITES = ("create", "replace", "delete")
CARRIES_DATA = (*READS, "create", "replace")


@dataclass(frozen=True)
class Call:
    number: int  # from 1
    verb: str
    key: str

    @property
    def kind(self) -> str:
        """What it concerns: mostly a folder of the repository."""
        parts = self.key.split("/")
        if parts[0] == "ledger":
            return "/".join(parts[:2])
        return "final tombstones" if parts[-1].endswith(".final") else parts[0]


def applies(do: Do, verb: str) -> bool:
    """Can this happen to such a call?"""
    if do in (Do.FAIL_AFTER, Do.DIE_AFTER, Do.LOSE):
        return verb in WRITES
    if do in (Do.FLIP, Do.SHORT):
        return verb in CARRIES_DATA
    return verb == "list" if do is Do.LATE else True


Script = Callable[[Call], Do | None]


def at(verb: str, kind: str, nth: int, do: Do) -> tuple[list[Call], Script]:
    """A script that does something to the n-th call of a verb and kind, whatever threads do; and what it hit."""
    counted, hit = Counter[tuple[str, str]](), list[Call]()

    def script(call: Call) -> Do | None:
        counted[call.verb, call.kind] += 1
        if (call.verb, call.kind) == (verb, kind) and counted[verb, kind] == nth:
            hit.append(call)
            return do
        return None

    return hit, script


def from_call(number: int, do: Do) -> Script:
    """The same for every call from the n-th on."""
    return lambda call: do if call.number >= number and applies(do, call.verb) else None


def chaos(seed: int, rate: float, fates: tuple[Do, ...] = tuple(Do)) -> Script:
    """Faults at random. The same seed gives the n-th call of a verb and kind the same fate again."""
    counted = Counter[tuple[str, str]]()

    def script(call: Call) -> Do | None:
        counted[call.verb, call.kind] += 1
        place = f"{seed} {call.verb} {call.kind} {counted[call.verb, call.kind]}"
        chance = random.Random(place)
        do = chance.choice(fates)
        return do if chance.random() < rate and applies(do, call.verb) else None

    return script


class Killed(Exception):  # noqa: N818  not an error of the program
    """The process would not have seen this: it is dead."""


class ScriptedStore:
    """`ports.Store` over another one, which misbehaves as `script` says for each call."""

    def __init__(self, inner: Store, script: Script = lambda call: None) -> None:
        self._inner, self._script = inner, script
        self._lock = threading.Lock()
        self.calls: list[Call] = []
        self.dead = False

    @property
    def location(self) -> str:
        return self._inner.location

    def create(self, key: str, data: Buffer) -> None:
        self._write("create", key, data, self._inner.create)

    def replace(self, key: str, data: Buffer) -> None:
        self._write("replace", key, data, self._inner.replace)

    def delete(self, key: str) -> None:
        self._write("delete", key, b"", lambda key, _: self._inner.delete(key))

    def get(self, key: str) -> Buffer:
        return self._read("get", key, lambda: self._inner.get(key))

    def get_range(self, key: str, start: int, length: int) -> Buffer:
        return self._read("get_range", key, lambda: self._inner.get_range(key, start, length))

    def get_tail(self, key: str, length: int) -> Buffer:
        return self._read("get_tail", key, lambda: self._inner.get_tail(key, length))

    def head(self, key: str) -> StoredObject:
        self._before("head", key)
        return self._inner.head(key)

    def list(self, prefix: str) -> Iterator[StoredObject]:
        if self._before("list", prefix) is not Do.LATE:
            return self._inner.list(prefix)
        found = sorted(self._inner.list(prefix), key=lambda each: (each.modified, each.key))
        return iter(found[:-1])

    def _write(self, verb: str, key: str, data: Buffer, perform: Callable[[str, Buffer], None]) -> None:
        do = self._before(verb, key)
        if do is not Do.LOSE:
            perform(key, on_its_way(do, data))
        if do is Do.FAIL_AFTER:
            raise _refusal(verb, key)
        if do is Do.DIE_AFTER:
            self.dead = True
            raise Killed(verb, key)

    def _read(self, verb: str, key: str, perform: Callable[[], Buffer]) -> Buffer:
        do = self._before(verb, key)
        return on_its_way(do, perform())

    def _before(self, verb: str, key: str) -> Do | None:
        with self._lock:
            call = Call(len(self.calls) + 1, verb, key)
            self.calls.append(call)
            do = self._script(call)
            self.dead = self.dead or do is Do.DIE
            if self.dead:
                raise Killed(verb, key)
        if do in (Do.FAIL, Do.THROTTLE):
            raise _refusal(verb, key)
        if do is Do.DENY:
            raise StoreRefusedError(f"The store does not allow {verb} {key}.")
        return do


def _refusal(verb: str, key: str) -> StoreError:
    return StoreError(f"The store broke at {verb} {key}.", retryable=True)


def on_its_way(do: Do | None, data: Buffer) -> Buffer:
    if do is Do.SHORT:
        return bytes(data)[: len(data) // 2]
    return flipped(data) if do is Do.FLIP else data


def flipped(data: Buffer, position: int | None = None) -> bytes:
    """The data with one bit changed, in the middle unless told otherwise."""
    altered = bytearray(data)
    if altered:
        altered[len(altered) // 2 if position is None else position] ^= 0x10
    return bytes(altered)
