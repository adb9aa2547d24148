"""Where exported files go: a directory or an object store. A file exists completely, or not at all."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Protocol

from blake3 import blake3

from backup_platform.domain.ports import Buffer, StoredObject
from backup_platform.errors import NotFoundError, TargetError
from backup_platform.filesystem.durable import sync_directory
from backup_platform.temporary import PrivateDirectory

BLOCK = 4 << 20


class Uploads(Protocol):
    """What an export needs from an object store."""

    @property
    def location(self) -> str: ...

    def head(self, key: str) -> StoredObject: ...

    def get_range(self, key: str, start: int, length: int) -> Buffer: ...

    def upload(self, key: str, path: str) -> None:
        """Write an object from a local file, whether or not the key exists."""
        ...


class ExportTarget(Protocol):
    def occupied(self, names: Sequence[str]) -> list[str]:
        """The names that already exist as files."""
        ...

    def draft(self, name: str) -> str:
        """Where to write the file first."""
        ...

    def publish(self, draft: str, name: str, *, overwrite: bool) -> None:
        """Move a draft to its place. Raises TargetError when it is taken and `overwrite` is not set."""
        ...


@contextmanager
def open_target(location: str, open_store: Callable[[str], Uploads]) -> Iterator[ExportTarget]:
    """A directory, or the store of a URL.

    Raises StoreError for a URL that cannot be used, TargetError for a directory that cannot be written.
    """
    if "://" in location and not location.startswith("file://"):
        with PrivateDirectory("export") as folder:
            yield StoreTarget(open_store(location), folder)
        return
    try:
        yield DirectoryTarget(os.path.abspath(location.removeprefix("file://")))
    except OSError as error:
        raise TargetError(
            f"{location} cannot be written: {error.strerror or error}.", subject=location
        ) from error


class DirectoryTarget:
    def __init__(self, root: str) -> None:
        self._root = root

    def _path(self, name: str) -> str:
        return os.path.join(self._root, name)

    def occupied(self, names: Sequence[str]) -> list[str]:
        return [name for name in names if os.path.lexists(self._path(name))]

    def draft(self, name: str) -> str:
        path = self._path(name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        return f"{path}.{secrets.token_hex(4)}.draft"

    def publish(self, draft: str, name: str, *, overwrite: bool) -> None:
        path = self._path(name)
        try:
            if overwrite:
                os.replace(draft, path)
            else:
                os.link(draft, path)
        except FileExistsError as error:
            raise TargetError(
                f"{path} exists already.", subject=path, hint="--overwrite replaces it."
            ) from error
        finally:
            with suppress(FileNotFoundError):
                os.unlink(draft)
        sync_directory(os.path.dirname(path))


class StoreTarget:
    """Drafts are in a local directory. Uploaded files are read back and compared."""

    def __init__(self, store: Uploads, folder: str) -> None:
        self._store, self._folder = store, folder

    def occupied(self, names: Sequence[str]) -> list[str]:
        return [name for name in names if self._is_there(name)]

    def _is_there(self, name: str) -> bool:
        try:
            self._store.head(name)
        except NotFoundError:
            return False
        return True

    def draft(self, name: str) -> str:
        return os.path.join(self._folder, secrets.token_hex(8))

    def publish(self, draft: str, name: str, *, overwrite: bool) -> None:
        try:
            if not overwrite and self._is_there(name):
                raise TargetError(
                    f"{name} is in {self._store.location} already.",
                    subject=name,
                    hint="--overwrite replaces it.",
                )
            self._store.upload(name, draft)
            self._compare(draft, name)
        finally:
            os.unlink(draft)

    def _compare(self, draft: str, name: str) -> None:
        size = os.path.getsize(draft)
        with open(draft, "rb") as file:
            wanted = _digest(iter(lambda: file.read(BLOCK), b""))
        parts = (self._store.get_range(name, at, min(BLOCK, size - at)) for at in range(0, size, BLOCK))
        if self._store.head(name).size != size or _digest(bytes(part) for part in parts) != wanted:
            raise TargetError(
                f"{name} reads back different from what was written to {self._store.location}.", subject=name
            )


def _digest(blocks: Iterator[bytes]) -> bytes:
    hasher = blake3()
    for block in blocks:
        hasher.update(block)
    return hasher.digest()
