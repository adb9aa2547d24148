"""A store that passes everything on. Subclasses add behaviour by overriding a verb."""

from __future__ import annotations

from collections.abc import Iterator

from backup_platform.domain.ports import Buffer, Store, StoredObject


class WrappedStore:
    """A `ports.Store` that passes every call to another store."""

    def __init__(self, inner: Store) -> None:
        self.inner = inner

    @property
    def location(self) -> str:
        return self.inner.location

    def create(self, key: str, data: Buffer) -> None:
        self.inner.create(key, data)

    def replace(self, key: str, data: Buffer) -> None:
        self.inner.replace(key, data)

    def get(self, key: str) -> Buffer:
        return self.inner.get(key)

    def get_range(self, key: str, start: int, length: int) -> Buffer:
        return self.inner.get_range(key, start, length)

    def get_tail(self, key: str, length: int) -> Buffer:
        return self.inner.get_tail(key, length)

    def head(self, key: str) -> StoredObject:
        return self.inner.head(key)

    def list(self, prefix: str) -> Iterator[StoredObject]:
        return self.inner.list(prefix)

    def delete(self, key: str) -> None:
        self.inner.delete(key)
