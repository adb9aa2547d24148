"""Copies of small objects of a remote store on this machine: what an unchanged backup reads again and again.

The directory may be deleted at any time. A copy is used for an object that the store listed in this process, with
the size and the time that it had; it never says that an object exists, and checks go past it (`direct`).
"""

from __future__ import annotations

import hashlib
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from backup_platform.domain.ports import Buffer, Store, StoredObject
from backup_platform.stores.wrapping import WrappedStore

CACHED = ("indexes/", "manifests/", "keys/", "ledger/locks/")
# An object may be damaged in the store while its copy is sound: each is read anew once a week.
LIFETIME_S = 7 * 86400


class CachingStore(WrappedStore):
    """Thread-safe; several processes may share a directory."""

    def __init__(self, inner: Store, directory: str, clock: Callable[[], float] = time.time) -> None:
        super().__init__(inner)
        place = hashlib.sha256(inner.location.encode()).hexdigest()[:16]
        self._directory, self._clock = os.path.join(directory, place), clock
        self._listed: dict[str, StoredObject] = {}
        self._lock = threading.Lock()
        self._passing = 0

    @contextmanager
    def direct(self) -> Iterator[None]:
        """Inside the block, every read comes from the store. For code that checks whether the store holds what it
        should."""
        with self._lock:
            self._passing += 1
        try:
            yield
        finally:
            with self._lock:
                self._passing -= 1

    def list(self, prefix: str) -> Iterator[StoredObject]:
        keys = set()
        for found in self.inner.list(prefix):
            keys.add(found.key)
            if found.key.startswith(CACHED):
                self._listed[found.key] = found
            yield found
        if prefix.startswith(CACHED):
            self._forget(prefix, keys)

    def get(self, key: str) -> Buffer:
        known = self._listed.get(key)
        if known is None:
            return self.inner.get(key)
        path = self._path(known)
        if not self._passing and (copy := self._read(path, known.size)) is not None:
            return copy
        data = self.inner.get(key)
        if len(data) == known.size:
            self._write(path, data)
        return data

    def create(self, key: str, data: Buffer) -> None:
        self._listed.pop(key, None)  # what was just written is read back from the store
        self.inner.create(key, data)

    def replace(self, key: str, data: Buffer) -> None:
        self._listed.pop(key, None)
        self.inner.replace(key, data)

    def delete(self, key: str) -> None:
        self._listed.pop(key, None)
        self.inner.delete(key)

    def _path(self, known: StoredObject) -> str:
        """Another time or size of the object is another file."""
        folder, _, name = known.key.rpartition("/")
        stamp = f"{known.modified.timestamp():.6f}-{known.size}"
        return os.path.join(self._directory, folder, f"{name}@{stamp}")

    def _read(self, path: str, size: int) -> bytes | None:
        try:
            with open(path, "rb") as file:
                young = self._clock() - os.fstat(file.fileno()).st_mtime < LIFETIME_S
                data = file.read(size + 1)
        except OSError:
            return None
        return data if young and len(data) == size else None

    def _write(self, path: str, data: Buffer) -> None:
        """Best effort: a cache that cannot be written costs requests, not backups."""
        draft = f"{path}#{os.getpid()}-{threading.get_ident()}"
        with suppress(OSError):
            _make(os.path.dirname(path))
            descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with open(descriptor, "wb") as file:
                file.write(data)
            os.replace(draft, path)

    def _forget(self, prefix: str, keys: set[str]) -> None:
        """Remove copies of objects that the store does not have any more."""
        root = os.path.join(self._directory, prefix)
        for folder, _, names in os.walk(root):
            base = os.path.relpath(folder, self._directory)
            for name in names:
                if f"{base}/{name.rpartition('@')[0]}" not in keys:
                    with suppress(OSError):
                        os.unlink(os.path.join(folder, name))


def _make(folder: str) -> None:
    """For the owner only, at every level."""
    if not os.path.isdir(folder):
        _make(os.path.dirname(folder))
        with suppress(FileExistsError):
            os.mkdir(folder, 0o700)
