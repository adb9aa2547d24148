"""A store in memory with a clock of its own: quick to copy, and its time is what a test says."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import timedelta

from backup_platform.domain.ports import Buffer, Clock, StoredObject
from backup_platform.errors import ConflictError, DamageError, NotFoundError


class MemoryStore:
    """`ports.Store`. Its clock is `clock` and `skew`; no two objects have the same time."""

    def __init__(self, clock: Clock, skew: timedelta = timedelta(0), location: str = "memory:") -> None:
        self._clock, self.skew, self._location = clock, skew, location
        self._lock = threading.Lock()
        self._ticks = 0
        self.objects: dict[str, tuple[bytes, StoredObject]] = {}

    @property
    def location(self) -> str:
        return self._location

    def copied(self, clock: Clock) -> MemoryStore:
        """The same objects in a store that goes its own way, by another clock."""
        copy = MemoryStore(clock, self.skew, self._location)
        copy.objects, copy._ticks = dict(self.objects), self._ticks
        return copy

    def create(self, key: str, data: Buffer) -> None:
        with self._lock:
            if key in self.objects:
                raise ConflictError(f"The object {key} exists already.")
            self._put(key, data)

    def replace(self, key: str, data: Buffer) -> None:
        with self._lock:
            self._put(key, data)

    def _put(self, key: str, data: Buffer) -> None:
        self._ticks += 1
        now = self._clock.now() + self.skew + timedelta(microseconds=self._ticks)
        self.objects[key] = bytes(data), StoredObject(key, len(data), now)

    def alter(self, key: str, data: bytes) -> None:
        """Other bytes behind the program's back; the store's time of the object stays."""
        found = self.objects[key][1]
        self.objects[key] = data, StoredObject(key, len(data), found.modified)

    def get(self, key: str) -> Buffer:
        return self._found(key)[0]

    def get_range(self, key: str, start: int, length: int) -> Buffer:
        data = self._found(key)[0]
        if length and start + length > len(data):
            raise DamageError(f"The object {key} is cut short.")
        return data[start : start + length]

    def get_tail(self, key: str, length: int) -> Buffer:
        return self._found(key)[0][-length:]

    def head(self, key: str) -> StoredObject:
        return self._found(key)[1]

    def _found(self, key: str) -> tuple[bytes, StoredObject]:
        try:
            return self.objects[key]
        except KeyError:
            raise NotFoundError(f"There is no object {key}.") from None

    def list(self, prefix: str) -> Iterator[StoredObject]:
        with self._lock:
            found = [each for _, each in self.objects.values()]
        return (each for each in found if each.key.startswith(prefix))

    def delete(self, key: str) -> None:
        with self._lock:
            self.objects.pop(key, None)

    def keys(self, prefix: str = "") -> set[str]:
        return {key for key in self.objects if key.startswith(prefix)}
