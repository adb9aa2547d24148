"""Stores over obstore: any of its backends, and a local directory made durable."""

from __future__ import annotations

import os
import re
import secrets
import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Literal, Protocol

from backup_platform.domain.limits import stored_limit
from backup_platform.domain.ports import Buffer, ObjectLock, StoredObject
from backup_platform.errors import (
    ConflictError,
    DamageError,
    NotFoundError,
    StoreError,
    StoreFullError,
    StoreRefusedError,
)
from backup_platform.filesystem.durable import sync_directory
from backup_platform.stores.failures import translation
from backup_platform.stores.reserve import Reserve

if TYPE_CHECKING:
    from obstore.store import ObjectStore as Backend

DRAFT = re.compile(r"#\d+$")
DEEPEST = 8  # folders in each other; keys have at most four
LATEST = 253_370_764_800_000_000  # microseconds since 1970: the year 9999
NOT_PARTIAL = "non-partial response"  # obstore, of a server that sends a part and calls it the whole


class Puts(Protocol):
    """How objects are written: the backend and the attributes for a key."""

    def __call__(self, key: str) -> tuple[Backend, dict[str, str]]: ...


class ObjectStore:
    """`ports.Store` over any obstore backend. `puts` is given if writes differ from reads."""

    _location: str

    def __init__(
        self,
        backend: Backend,
        location: str,
        puts: Puts | None = None,
        object_lock: ObjectLock | None = None,
        plan_key: str = "repository",
    ) -> None:
        self.object_lock = object_lock
        self._backend = backend
        self._location = location
        self._plan_key = plan_key
        self._puts = puts
        self._ignores_ranges = False

    @property
    def location(self) -> str:
        return self._location

    def create(self, key: str, data: Buffer) -> None:
        self._put(key, data, "create")

    def replace(self, key: str, data: Buffer) -> None:
        self._put(key, data, "overwrite")

    def _put(self, key: str, data: Buffer, mode: Literal["create", "overwrite"]) -> None:
        """In one request: no store takes a condition for an upload in parts."""
        with self._translated("write", key):
            backend, attributes = self._puts(key) if self._puts else (self._backend, {})
            backend.put(key, data, mode=mode, use_multipart=False, attributes=dict(attributes) or None)

    def upload(self, key: str, path: str) -> None:
        """Write an object of any size from a local file, whether or not the key exists."""
        from pathlib import Path

        with self._translated("write", key):
            self._backend.put(key, Path(path))

    def get(self, key: str) -> Buffer:
        with self._translated("read", key):
            found = self._backend.get(key)
            if (size := found.meta["size"]) > (limit := stored_limit(key)):
                raise DamageError(
                    f"The object {key} has {size:,} bytes. The limit for an object of its kind is {limit:,}, so this "
                    "program did not write it.",
                    subject=key,
                )
            return memoryview(found.bytes())

    def get_range(self, key: str, start: int, length: int) -> Buffer:
        if not length:  # no backend takes an empty range
            return b""
        try:
            data = self._range(key, start, length)
        except StoreRefusedError:
            raise
        except StoreError as error:
            # Backends report a range that begins behind the end like any other failure.
            size = self.head(key).size
            if size < start + length:
                raise _cut_short(key, size, start + length) from error
            raise
        if len(data) != length:
            raise _cut_short(key, start + len(data), start + length)
        return data

    def _range(self, key: str, start: int, length: int) -> memoryview:
        if not self._ignores_ranges:
            with self._translated("read", key):
                try:
                    return memoryview(self._backend.get_range(key, start=start, length=length))
                except Exception as error:
                    if NOT_PARTIAL not in str(error):
                        raise
            self._ignores_ranges = True
        return memoryview(self.get(key))[start : start + length]

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

    def level(self, prefix: str) -> tuple[Sequence[str], Sequence[str]]:
        """The prefixes and the keys of objects that are directly below a prefix, "" for the root."""
        with self._translated("list", prefix):
            found = self._backend.list_with_delimiter(prefix or None)
            return list(found["common_prefixes"]), [meta["path"] for meta in found["objects"]]

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
            raise translation(verb, key, self._location, error, self._plan_key) from error


def _cut_short(key: str, size: int, needed: int) -> DamageError:
    return DamageError(
        f"The object {key} is cut short: it has {size} bytes instead of at least {needed}.", subject=key
    )


class DirectoryStore(ObjectStore):
    """A local directory, durable: an object is on the disk before `create` returns. Its bytes are written before its
    name, so a power failure leaves no name without its bytes. Only the owner can read the files."""

    def __init__(self, path: str) -> None:
        from obstore.store import LocalStore

        self._root = self._location = os.path.abspath(path)
        self._plan_key = "repository"  # what follows may fail and tell of it
        self.reserve = Reserve(self._root)
        with self._translated("open", self._root):
            os.makedirs(self._root, mode=0o700, exist_ok=True)
            super().__init__(LocalStore(self._root), self._root)

    def create(self, key: str, data: Buffer) -> None:
        try:
            self._place(key, data, os.link)
        except ConflictError as error:
            if self._is_else(key):
                raise StoreError(
                    f"{key} in {self._location} has the name of an object, but is not a file.",
                    subject=key,
                    hint="Delete it: this program did not make it. Find out who may write there.",
                ) from error
            raise

    def get(self, key: str) -> Buffer:
        self._require_file(key)
        return super().get(key)

    def head(self, key: str) -> StoredObject:
        self._require_file(key)
        return super().head(key)

    def _range(self, key: str, start: int, length: int) -> memoryview:
        self._require_file(key)
        return super()._range(key, start, length)

    def _require_file(self, key: str) -> None:
        """Raises NotFoundError for anything else than a file, as listings leave it out: the reader of a pipe would
        wait without end."""
        if self._is_else(key):
            raise NotFoundError(
                f"There is no object {key} in {self._location}: what has its name is not a file.", subject=key
            )

    def _is_else(self, key: str) -> bool:
        with suppress(OSError):
            return not stat.S_ISREG(os.stat(os.path.join(self._root, key)).st_mode)
        return False

    def replace(self, key: str, data: Buffer) -> None:
        self._place(key, data, os.replace)

    def list(self, prefix: str) -> Iterator[StoredObject]:
        """List objects, without files that no object store could hold. Somebody else made these, and they would
        stop obstore's listings."""
        with self._translated("list", prefix):
            yield from self._below(prefix.rstrip("/"), frozenset())

    def _below(self, key: str, above: frozenset[tuple[int, int]]) -> Iterator[StoredObject]:
        """`above` are the folders that lead here: a link to one of them has no end."""
        with suppress(FileNotFoundError), os.scandir(os.path.join(self._root, key)) as entries:
            folder = os.stat(os.path.join(self._root, key))
            here = above | {(folder.st_dev, folder.st_ino)}
            for entry in entries if len(here) > len(above) and len(here) <= DEEPEST else ():
                if not entry.name.isascii() or not entry.name.isprintable():
                    continue
                found = f"{key}/{entry.name}".lstrip("/")
                if entry.is_dir():
                    yield from self._below(found, here)
                elif entry.is_file() and not DRAFT.search(found):
                    with suppress(FileNotFoundError):
                        status = entry.stat()
                        yield StoredObject(found, status.st_size, _written_at(status))

    def _place(self, key: str, data: Buffer, publish: Callable[[str, str], None]) -> None:
        try:
            self._write_at(key, data, publish)
        except StoreFullError:
            if not self.reserve.give():
                raise
            self._write_at(key, data, publish)

    def _write_at(self, key: str, data: Buffer, publish: Callable[[str, str], None]) -> None:
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
            sync_directory(folder)

    def drafts(self) -> Iterator[StoredObject]:
        """Files that killed writers left. Their times are those of the last write."""
        for folder, _, names in os.walk(self._root):
            for name in filter(DRAFT.search, names):
                path = os.path.join(folder, name)
                if path == self.reserve.path:
                    continue
                with suppress(FileNotFoundError), self._translated("look up", name):
                    status = os.lstat(path)
                    yield StoredObject(os.path.relpath(path, self._root), status.st_size, _written_at(status))

    def delete_draft(self, key: str) -> None:
        """Raises ValueError if the key is not a draft."""
        if not DRAFT.search(key):
            raise ValueError(f"{key} is not a draft")
        with self._translated("delete", key), suppress(FileNotFoundError):
            os.unlink(os.path.join(self._root, key))

    def _make(self, folder: str) -> None:
        """Durably, below the root only: a root that is gone is a disk that is not mounted any more."""
        if folder == self._root or os.path.isdir(folder):
            return
        parent = os.path.dirname(folder)
        self._make(parent)
        with suppress(FileExistsError):
            os.mkdir(folder, 0o700)
        sync_directory(parent)


def _written_at(status: os.stat_result) -> datetime:
    """As the file system says it, within what a datetime can be."""
    ago = timedelta(microseconds=max(0, min(status.st_mtime_ns // 1000, LATEST)))
    return datetime(1970, 1, 1, tzinfo=UTC) + ago


def _write(path: str, data: Buffer) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with open(descriptor, "wb", buffering=0) as file:
        rest = memoryview(data)
        while rest:
            rest = rest[file.write(rest) :]
        os.fsync(descriptor)
