"""Whether a store does what a repository relies on. It is tried with test objects before anything depends on it."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field

from backup_platform.domain.ports import Store
from backup_platform.errors import (
    ConflictError,
    DamageError,
    NotFoundError,
    RepositoryError,
    StoreError,
    StoreRefusedError,
)

FOLDER = "probe/"
CREATORS = 8
DATA = bytes(range(256)) * 4


@dataclass(frozen=True, slots=True)
class Probe:
    """What was seen. `left` are keys that could not be deleted; `denied`, verbs that the credentials do not allow."""

    one_creator: bool  # of several creations of a key, one succeeds and the others are conflicts
    denied: tuple[str, ...] = ()
    left: tuple[str, ...] = ()

    def __str__(self) -> str:
        texts = [
            "atomic create: two writers cannot overwrite each other"
            if self.one_creator
            else "no atomic create: two writers can overwrite each other"
        ]
        texts += [f"may not {verb}" for verb in self.denied]
        return ", ".join([*texts, *([f"left {', '.join(self.left)}"] if self.left else [])])


def probe_store(store: Store) -> Probe:
    """Try every verb. Raises DamageError if the store returns other content than was written, and StoreError if it
    fails or does not let these credentials write and list."""
    return _Examiner(store).run()


def require_one_creator(store: Store, probe: Probe, plan_key: str = "repository") -> None:
    """Raises StoreError for a store without atomic create, where two writers can overwrite each other's objects
    unnoticed. `plan_key` is its key in the plan."""
    if not probe.one_creator:
        raise StoreError(
            f"The store {store.location} overwrites objects although it is told to create them only "
            "(If-None-Match). Two writers at the same time could overwrite each other's recovery point.",
            hint="Use a store that has conditional writes. If one process alone ever writes here, say so "
            f"with `single_writer: true` below `{plan_key}` (docs/stores.md).",
        )


@dataclass(slots=True)
class _Examiner:
    store: Store
    folder: str = field(default_factory=lambda: f"{FOLDER}{secrets.token_hex(8)}-")
    denied: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)

    def run(self) -> Probe:
        single, raced = f"{self.folder}single", f"{self.folder}raced"
        try:
            found_once = self._creates_once(single)
            once = self._one_wins(raced) and found_once
            if found_once:
                self._allowed("read", lambda: self._reads(single))
            self._lists({single, raced})
        except RepositoryError:
            with suppress(RepositoryError):
                self._remove_all(single, raced)
            raise
        self._remove_all(single, raced)
        return Probe(once, tuple(self.denied), tuple(self.left))

    def _creates_once(self, key: str) -> bool:
        self.store.create(key, DATA)
        try:
            self.store.create(key, DATA[::-1])
        except ConflictError:
            return True
        return False

    def _one_wins(self, key: str) -> bool:
        start = threading.Barrier(CREATORS)

        def create(number: int) -> bool:
            start.wait()
            try:
                self.store.create(key, b"%d" % number)
            except ConflictError:
                return False
            return True

        with ThreadPoolExecutor(CREATORS) as pool:
            won = [number for number, did in enumerate(pool.map(create, range(CREATORS))) if did]
        if len(won) == 1:
            self._allowed("read", lambda: self._same(key, self.store.get(key), b"%d" % won[0]))
        return len(won) == 1

    def _reads(self, key: str) -> None:
        self._same(key, self.store.get(key), DATA)
        self._same(key, self.store.get_range(key, 300, 5), DATA[300:305])
        self._same(key, self.store.get_tail(key, 7), DATA[-7:])

    def _same(self, key: str, found: bytes | bytearray | memoryview, expected: bytes) -> None:
        if bytes(found) != expected:
            raise DamageError(
                f"The store {self.store.location} returned {key} with other content than was written.",
                subject=key,
                hint="Do not keep backups in it.",
            )

    def _lists(self, keys: set[str]) -> None:
        missing = keys - {found.key for found in self.store.list(FOLDER)}
        if missing:
            raise StoreError(
                f"The store {self.store.location} does not list {min(missing)}, which was just written.",
                hint="Use a store whose listings are complete: commits and prune rely on them.",
            )

    def _remove_all(self, *keys: str) -> None:
        for key in keys:
            self._remove(key)

    def _remove(self, key: str) -> None:
        try:
            self.store.delete(key)
            gone = self._gone(key)
        except StoreRefusedError:
            self.left.append(key)
            self.denied += [] if "delete" in self.denied else ["delete"]
        else:
            if not gone:
                raise StoreError(
                    f"The store {self.store.location} still has {key} after its deletion.", subject=key
                )

    def _gone(self, key: str) -> bool:
        try:
            self.store.head(key)
        except (NotFoundError, StoreRefusedError):
            return True
        return False

    def _allowed(self, verb: str, call: Callable[[], None]) -> None:
        try:
            call()
        except StoreRefusedError:
            self.denied += [] if verb in self.denied else [verb]
