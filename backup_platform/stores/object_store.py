"""A store over obstore: a directory or the URL of a bucket."""

from __future__ import annotations

import errno
import os
import re
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from backup_platform.domain.ports import Buffer, StoredObject
from backup_platform.errors import (
    BackupError,
    ConflictError,
    DamageError,
    NotFoundError,
    RepositoryMissingError,
    StoreError,
)

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

    def upload(self, key: str, path: str) -> None:
        """Write an object of any size from a local file, whether or not the key exists."""
        from pathlib import Path

        with self._translated("write", key):
            self._backend.put(key, Path(path))

    def get(self, key: str) -> Buffer:
        with self._translated("read", key):
            return memoryview(self._backend.get(key).bytes())

    def get_range(self, key: str, start: int, length: int) -> Buffer:
        if not length:  # no backend takes an empty range
            return b""
        try:
            with self._translated("read", key):
                data = memoryview(self._backend.get_range(key, start=start, length=length))
        except StoreError as error:
            # Backends report a range that begins behind the end like any other failure.
            size = self.head(key).size
            if size < start + length:
                raise _cut_short(key, size, start + length) from error
            raise
        if len(data) != length:
            raise _cut_short(key, start + len(data), start + length)
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
        except (exceptions.BaseError, OSError) as error:
            raise self._translation(verb, key, error) from error

    def _translation(self, verb: str, key: str, error: Exception) -> BackupError:
        from obstore import exceptions

        number = _errno(error)
        if isinstance(error, FileExistsError | exceptions.AlreadyExistsError | exceptions.PreconditionError):
            return ConflictError(f"The object {key} exists already in {self._location}.")
        if isinstance(error, FileNotFoundError | exceptions.NotFoundError):
            if verb != "write":
                return NotFoundError(f"There is no object {key} in {self._location}.")
            return StoreError(
                f"The store {self._location} could not write {key}: its directory or bucket is gone.",
                hint="Mount the disk that holds it, or create it.",
            )
        refusals = (PermissionError, exceptions.PermissionDeniedError, exceptions.UnauthenticatedError)
        if isinstance(error, refusals) or number in (errno.EACCES, errno.EPERM, errno.EROFS):
            return StoreError(
                f"The store {self._location} refused to {verb} {key}.",
                hint="Check the permissions of the directory, or the credentials and their policy.",
            )
        full = number in (errno.ENOSPC, errno.EDQUOT)
        return StoreError(
            f"The store {self._location} could not {verb} {key}: {_reason(error)}.",
            hint="Make room on its disk." if full else "",
            retryable=not full,
        )


def _cut_short(key: str, size: int, needed: int) -> DamageError:
    return DamageError(f"The object {key} is cut short: it has {size} bytes and not {needed} or more.")


def _errno(error: Exception) -> int | None:
    """The system's number of an error; obstore tells it in its text only."""
    told = re.search(r"\(os error (\d+)\)", str(error))
    return int(told[1]) if told else getattr(error, "errno", None)


def _reason(error: BaseException) -> str:
    """The first line of obstore's message: the rest is Rust debug output."""
    return str(error).strip().splitlines()[0].rstrip(".") if str(error).strip() else type(error).__name__


class DirectoryStore(ObjectStore):
    """A local directory, durable: an object is on the disk before `create` returns.

    Its bytes are there before its name: a power cut leaves no name without its bytes. What is written is for the
    owner's eyes only.
    """

    def __init__(self, path: str) -> None:
        from obstore.store import LocalStore

        self._root = self._location = os.path.abspath(path)
        with self._translated("open", self._root):
            os.makedirs(self._root, mode=0o700, exist_ok=True)
            super().__init__(LocalStore(self._root), self._root)

    def create(self, key: str, data: Buffer) -> None:
        self._place(key, data, os.link)

    def replace(self, key: str, data: Buffer) -> None:
        self._place(key, data, os.replace)

    def _place(self, key: str, data: Buffer, publish: Callable[[str, str], None]) -> None:
        path = os.path.join(self._root, key)
        folder = os.path.dirname(path)
        # Listings leave out names of this shape; a writer that dies leaves one.
        draft = f"{path}#{secrets.randbelow(10**12)}"
        with self._translated("write", key):
            self._make(folder)
            try:
                _write(draft, data)
                publish(draft, path)
            finally:
                with suppress(FileNotFoundError):
                    os.unlink(draft)
            _fsync(folder)

    def _make(self, folder: str) -> None:
        """Durably, below the root only: a root that is gone is a disk that is not mounted any more."""
        if folder == self._root or os.path.isdir(folder):
            return
        parent = os.path.dirname(folder)
        self._make(parent)
        with suppress(FileExistsError):
            os.mkdir(folder, 0o700)
        _fsync(parent)


def _write(path: str, data: Buffer) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with open(descriptor, "wb", buffering=0) as file:
        rest = memoryview(data)
        while rest:
            rest = rest[file.write(rest) :]
        os.fsync(descriptor)


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
    if location.startswith("file://"):
        from urllib.parse import unquote, urlsplit

        location = unquote(urlsplit(location).path)
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
    except (exceptions.BaseError, ValueError) as error:
        raise StoreError(
            f"The store {url} cannot be used: {_reason(error)}.", hint="Check the URL."
        ) from error
