"""A store over obstore: a directory or the URL of a bucket."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from backup_platform.domain.ports import Buffer, StoredObject
from backup_platform.errors import ConflictError, DamageError, NotFoundError, RepositoryMissingError, StoreError

if TYPE_CHECKING:
    from obstore.store import ObjectStore as Backend


class ObjectStore:
    """`ports.Store` over any obstore backend."""

    _location: str

    def __init__(self, backend: Backend, location: str) -> None:
        self._backend = backend
        self._location = location

    @property
    def location(self) -> str:
        return self._location

    def create(self, key: str, data: Buffer) -> None:
        with self._translated("write", key):
            self._backend.put(key, data, mode="create", use_multipart=False)

    def replace(self, key: str, data: Buffer) -> None:
        with self._translated("write", key):
            self._backend.put(key, data, mode="overwrite", use_multipart=False)

    def get(self, key: str) -> Buffer:
        with self._translated("read", key):
            return memoryview(self._backend.get(key).bytes())

    def get_range(self, key: str, start: int, length: int) -> Buffer:
        with self._translated("read", key):
            data = memoryview(self._backend.get_range(key, start=start, length=length))
        if len(data) != length:
            raise DamageError(f"The object {key} is cut short: {len(data)} bytes instead of {length} at {start}.")
        return data

    def get_tail(self, key: str, length: int) -> Buffer:
        size = self.head(key).size
        return self.get_range(key, max(0, size - length), min(size, length))

    def head(self, key: str) -> StoredObject:
        with self._translated("look up", key):
            meta = self._backend.head(key)
        return StoredObject(meta["path"], meta["size"], meta["last_modified"])

    def list(self, prefix: str) -> Iterator[StoredObject]:
        with self._translated("list", prefix):
            for batch in self._backend.list(prefix.rstrip("/") or None, chunk_size=1000):
                for meta in batch:
                    yield StoredObject(meta["path"], meta["size"], meta["last_modified"])

    def delete(self, key: str) -> None:
        try:
            with self._translated("delete", key):
                self._backend.delete(key)
        except NotFoundError:
            return

    @contextmanager
    def _translated(self, verb: str, key: str) -> Iterator[None]:
        from obstore import exceptions

        try:
            yield
        except (exceptions.AlreadyExistsError, exceptions.PreconditionError) as error:
            raise ConflictError(f"The object {key} exists already in {self._location}.") from error
        except (FileNotFoundError, exceptions.NotFoundError) as error:
            raise NotFoundError(f"There is no object {key} in {self._location}.") from error
        except (exceptions.PermissionDeniedError, exceptions.UnauthenticatedError) as error:
            raise StoreError(
                f"The store {self._location} refused to {verb} {key}.",
                hint="Check the permissions of the directory, or the credentials and their policy.",
            ) from error
        except (exceptions.BaseError, OSError) as error:
            raise StoreError(
                f"The store {self._location} could not {verb} {key}: {_reason(error)}.", retryable=True
            ) from error


def _reason(error: BaseException) -> str:
    """The first line of obstore's message: the rest is Rust debug output."""
    return str(error).strip().splitlines()[0].rstrip(".") if str(error).strip() else type(error).__name__


class DirectoryStore(ObjectStore):
    """A local directory, durable: an object is on the disk before `create` returns."""

    def __init__(self, path: str) -> None:
        from obstore.store import LocalStore

        self._root = self._location = os.path.abspath(path)
        # Only its owner may look into it: object files are created readable by all.
        with self._translated("open", self._root):
            os.makedirs(self._root, mode=0o700, exist_ok=True)
            super().__init__(LocalStore(self._root), self._root)

    def create(self, key: str, data: Buffer) -> None:
        super().create(key, data)
        self._sync(key)

    def replace(self, key: str, data: Buffer) -> None:
        super().replace(key, data)
        self._sync(key)

    def _sync(self, key: str) -> None:
        """obstore renames into place without fsync: a power cut could leave a name without its bytes."""
        path = os.path.join(self._root, key)
        with self._translated("write", key):
            _fsync(path)
            while path != self._root:
                path = os.path.dirname(path)
                _fsync(path)


def _fsync(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def open_store(location: str, *, create: bool = False) -> ObjectStore:
    """The store at a directory path or URL. A directory is only made when `create` is set.

    Raises RepositoryMissingError for a directory that is not there, StoreError for a URL that cannot be used.
    """
    if "://" in location:
        return _open_url(location)
    if not create and not os.path.isdir(location):
        raise RepositoryMissingError(
            f"There is no directory {location}.",
            hint="Create the repository with `backup-platform init`, or mount the disk that holds it.",
        )
    return DirectoryStore(location)


def _open_url(url: str) -> ObjectStore:
    from obstore import exceptions
    from obstore.store import from_url

    try:
        return ObjectStore(from_url(url), url)
    except exceptions.BaseError as error:
        raise StoreError(f"The store {url} cannot be used: {_reason(error)}.", hint="Check the URL.") from error
