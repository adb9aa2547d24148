"""What a plan may forbid or allow a store: bandwidth, several writers, reading back."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from backup_platform.domain.ports import Buffer, Store
from backup_platform.errors import ConflictError, NotFoundError, StoreRefusedError
from backup_platform.stores.wrapping import WrappedStore

PACKS = "packs/"


class ThrottledStore(WrappedStore):
    """At most `rate` bytes per second on average, for both directions and all threads together. An object is one
    transfer: it uses the full speed, and the next one waits."""

    def __init__(
        self,
        inner: Store,
        rate: int,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        super().__init__(inner)
        self._rate, self._monotonic, self._sleep = rate, monotonic, sleep
        self._lock = threading.Lock()
        self._free_at = 0.0

    def create(self, key: str, data: Buffer) -> None:
        self._take(len(data))
        self.inner.create(key, data)

    def replace(self, key: str, data: Buffer) -> None:
        self._take(len(data))
        self.inner.replace(key, data)

    def get(self, key: str) -> Buffer:
        self._take(0)
        data = self.inner.get(key)
        self._book(len(data))
        return data

    def get_range(self, key: str, start: int, length: int) -> Buffer:
        self._take(length)
        return self.inner.get_range(key, start, length)

    def get_tail(self, key: str, length: int) -> Buffer:
        self._take(length)
        return self.inner.get_tail(key, length)

    def _take(self, size: int) -> None:
        """Wait until what was transferred before is paid for, and book `size` bytes."""
        wait = self._book(size)
        if wait > 0:
            self._sleep(wait)

    def _book(self, size: int) -> float:
        with self._lock:
            now = self._monotonic()
            start = max(now, self._free_at)
            self._free_at = start + size / self._rate
            return start - now


class SingleWriterStore(WrappedStore):
    """For a store that overwrites an object in spite of the condition. It looks before it creates. Two writers at the
    same instant may both find nothing; then the second one replaces the object of the first one."""

    def create(self, key: str, data: Buffer) -> None:
        try:
            self.inner.head(key)
        except NotFoundError:
            self.inner.create(key, data)
        else:
            raise ConflictError(f"The object {key} exists already in {self.location}.", subject=key)


class WriteOnlyStore(WrappedStore):
    """For credentials that may not read packs. An object that was just sent is read back from memory; the store has
    compared it with the SHA-256 that was sent with it. A pack that exists already cannot be read, so it is written
    again: its name is the hash of its bytes."""

    def __init__(self, inner: Store) -> None:
        super().__init__(inner)
        self._sent: dict[str, Buffer] = {}

    def create(self, key: str, data: Buffer) -> None:
        if not key.startswith(PACKS):
            self.inner.create(key, data)
            return
        try:
            self.inner.create(key, data)
        except ConflictError:
            self.inner.replace(key, data)
        self._sent[key] = data

    def get(self, key: str) -> Buffer:
        """Once only: a pack is kept until it was compared."""
        sent = self._sent.pop(key, None)
        try:
            return self.inner.get(key)
        except StoreRefusedError:
            if sent is None:
                raise
            return sent
