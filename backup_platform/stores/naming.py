"""A store whose errors say which repository of the plan they are about."""

from __future__ import annotations

from collections.abc import Iterator

from backup_platform.domain.ports import Buffer, Store, StoredObject
from backup_platform.errors import about_repository
from backup_platform.stores.wrapping import WrappedStore


class NamedStore(WrappedStore):
    """`name` is the repository's in the plan."""

    def __init__(self, inner: Store, name: str) -> None:
        super().__init__(inner)
        self.name = name

    def create(self, key: str, data: Buffer) -> None:
        with about_repository(self.name):
            self.inner.create(key, data)

    def replace(self, key: str, data: Buffer) -> None:
        with about_repository(self.name):
            self.inner.replace(key, data)

    def get(self, key: str) -> Buffer:
        with about_repository(self.name):
            return self.inner.get(key)

    def get_range(self, key: str, start: int, length: int) -> Buffer:
        with about_repository(self.name):
            return self.inner.get_range(key, start, length)

    def get_tail(self, key: str, length: int) -> Buffer:
        with about_repository(self.name):
            return self.inner.get_tail(key, length)

    def head(self, key: str) -> StoredObject:
        with about_repository(self.name):
            return self.inner.head(key)

    def list(self, prefix: str) -> Iterator[StoredObject]:
        with about_repository(self.name):
            yield from self.inner.list(prefix)

    def delete(self, key: str) -> None:
        with about_repository(self.name):
            self.inner.delete(key)
