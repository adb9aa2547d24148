"""Repeats calls that failed for a temporary reason, with growing, random pauses. A lasting failure is never
repeated."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import TypeVar

from backup_platform.domain.ports import Buffer, Store, StoredObject
from backup_platform.errors import BackupError, ConflictError, StoreError
from backup_platform.stores.wrapping import WrappedStore

T = TypeVar("T")
ATTEMPTS = 5
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 20.0


class RetryingStore(WrappedStore):
    """At most 5 attempts. A listing is not repeated here, because obstore repeats its pages. If the answer to a
    creation is lost, the object may exist: if a later attempt meets the object, its bytes decide."""

    def __init__(self, inner: Store, sleep: Callable[[float], None] = time.sleep) -> None:
        super().__init__(inner)
        self._sleep = sleep

    def create(self, key: str, data: Buffer) -> None:
        for attempt in range(1, ATTEMPTS + 1):
            try:
                return self.inner.create(key, data)
            except ConflictError:
                if attempt == 1 or not self._holds(key, data):
                    raise
                return None
            except StoreError as error:
                self._pause(attempt, error)
        raise AssertionError("the last attempt returns or raises")

    def _holds(self, key: str, data: Buffer) -> bool:
        """Whether the object is what an unanswered attempt wrote; not known without the right to read it."""
        try:
            return bytes(self.get(key)) == bytes(data)
        except BackupError:
            return False

    def replace(self, key: str, data: Buffer) -> None:
        self._repeated(lambda: self.inner.replace(key, data))

    def get(self, key: str) -> Buffer:
        return self._repeated(lambda: self.inner.get(key))

    def get_range(self, key: str, start: int, length: int) -> Buffer:
        return self._repeated(lambda: self.inner.get_range(key, start, length))

    def get_tail(self, key: str, length: int) -> Buffer:
        return self._repeated(lambda: self.inner.get_tail(key, length))

    def head(self, key: str) -> StoredObject:
        return self._repeated(lambda: self.inner.head(key))

    def delete(self, key: str) -> None:
        self._repeated(lambda: self.inner.delete(key))

    def _repeated(self, call: Callable[[], T]) -> T:
        for attempt in range(1, ATTEMPTS + 1):
            try:
                return call()
            except StoreError as error:
                self._pause(attempt, error)
        raise AssertionError("the last attempt returns or raises")

    def _pause(self, attempt: int, error: StoreError) -> None:
        """Or the end: raises `error` when it lasts, and after the last attempt."""
        if not error.retryable or attempt == ATTEMPTS:
            raise error
        longest = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2 ** (attempt - 1))
        self._sleep(random.uniform(longest / 2, longest))  # noqa: S311 nobody gains from guessing it
