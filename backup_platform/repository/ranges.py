"""Parts of stored packs, by offsets of their plain form (FORMAT.md §4)."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping
from functools import partial

from backup_platform.domain.ports import Buffer, Cipher, Part, Store
from backup_platform.errors import DamageError

KEPT = 1 << 12  # of what a pack's header tells; some hundred bytes each


class PackRanges:
    """Thread-safe. `sizes` are those of stored packs, where they are known already."""

    def __init__(self, store: Store, cipher: Cipher, sizes: Mapping[str, int]) -> None:
        self._store, self._cipher, self._sizes = store, cipher, sizes
        self._parts: OrderedDict[str, Part | None] = OrderedDict()
        self._lock = threading.Lock()

    def read(self, key: str, start: int, length: int) -> Buffer:
        """Raises NotFoundError, DamageError, KeyMissingError."""
        part = self._part(key)
        return (
            self._store.get_range(key, start, length)
            if part is None
            else self._open(part, key, start, length)
        )

    def tail(self, key: str, length: int) -> Buffer:
        """The last bytes, all of them when the pack is shorter. Raises NotFoundError, DamageError, KeyMissingError."""
        part = self._part(key)
        if part is None:
            return self._store.get_tail(key, length)
        start = max(0, part.plain - length)
        return self._open(part, key, start, part.plain - start)

    def _open(self, part: Part, key: str, start: int, length: int) -> Buffer:
        try:
            return part.read(start, length, partial(self._store.get_range, key))
        except DamageError as error:
            raise DamageError(
                f"The object {key} cannot be decrypted. {error.message}", hint=error.hint
            ) from error

    def _part(self, key: str) -> Part | None:
        with self._lock:
            if key in self._parts:
                return self._parts[key]
        part = self._cipher.part(key, partial(self._size, key), partial(self._store.get_range, key))
        if part is not None:
            with self._lock:
                self._parts[key] = part
                if len(self._parts) > KEPT:
                    self._parts.popitem(last=False)
        return part

    def _size(self, key: str) -> int:
        return self._sizes.get(key) or self._store.head(key).size
