"""Stores over obstore, in memory; and how its errors become ours."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import pytest
from obstore import exceptions
from obstore.store import MemoryStore

from backup_platform.domain.ports import Store
from backup_platform.errors import (
    BackupError,
    ConflictError,
    NotFoundError,
    RepositoryError,
    RepositoryMissingError,
    StoreError,
)
from backup_platform.stores.object_store import DirectoryStore, ObjectStore
from backup_platform.stores.opening import open_store
from backup_platform_tests.contracts.store_contract import StoreContract

FOREIGN = [
    *(each for each in vars(exceptions).values() if isinstance(each, type) and issubclass(each, Exception)),
    FileNotFoundError,
    FileExistsError,
    PermissionError,
    ConnectionResetError,
    TimeoutError,
    OSError,
]


class TestInMemory(StoreContract):
    @pytest.fixture
    def store(self) -> Store:
        return ObjectStore(MemoryStore(), "memory://")


class Broken:
    """An obstore backend that raises one error, whatever it is asked."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    def __getattr__(self, name: str) -> Any:
        def method(*_: object, **__: object) -> NoReturn:
            raise self._error

        return method


def calls(store: Store) -> Iterator[Any]:
    yield lambda: store.create("k", b"")
    yield lambda: store.replace("k", b"")
    yield lambda: store.get("k")
    yield lambda: store.get_range("k", 0, 1)
    yield lambda: store.get_tail("k", 1)
    yield lambda: store.head("k")
    yield lambda: list(store.list("k/"))
    yield lambda: store.delete("k")


@pytest.mark.parametrize("kind", FOREIGN, ids=lambda kind: kind.__name__)
def test_no_foreign_error_escapes(kind: type[Exception]) -> None:
    """It would be taken for a defect, or worse, for an error of the source."""
    assert len(FOREIGN) > 12
    *others, delete = calls(ObjectStore(Broken(kind("boom: details\n\nDebug source:\nnoise")), "somewhere"))  # type: ignore[arg-type]
    nothing_there = kind in (FileNotFoundError, exceptions.NotFoundError)
    for call in others if nothing_there else [*others, delete]:
        with pytest.raises((RepositoryError, NotFoundError), match="somewhere") as caught:
            call()
        assert "Debug" not in str(caught.value)
        assert caught.value.__cause__ is not None


@pytest.mark.parametrize(
    ("kind", "expected", "retryable"),
    [
        (exceptions.AlreadyExistsError, ConflictError, False),
        (exceptions.PreconditionError, ConflictError, False),
        (exceptions.PermissionDeniedError, StoreError, False),
        (exceptions.UnauthenticatedError, StoreError, False),
        (exceptions.NotFoundError, StoreError, False),
        (exceptions.GenericError, StoreError, True),
        (ConnectionResetError, StoreError, True),
    ],
)
def test_a_failed_write_says_what_a_handler_would_do(
    kind: type[Exception], expected: type[BackupError], retryable: bool
) -> None:
    store = ObjectStore(Broken(kind("boom")), "somewhere")  # type: ignore[arg-type]
    with pytest.raises(expected) as caught:
        store.create("k", b"")
    assert caught.value.retryable is retryable


@pytest.mark.parametrize("kind", [FileNotFoundError, exceptions.NotFoundError])
def test_what_is_not_there_to_read(kind: type[Exception]) -> None:
    store = ObjectStore(Broken(kind("boom")), "somewhere")  # type: ignore[arg-type]
    with pytest.raises(NotFoundError):
        store.get("k")
    store.delete("k")


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_not_worth_a_retry(number: int) -> None:
    store = ObjectStore(Broken(OSError(number, "No space left on device")), "somewhere")  # type: ignore[arg-type]
    with pytest.raises(StoreError, match="Make room") as caught:
        store.create("k", b"")
    assert not caught.value.retryable


def test_a_failure_of_the_store_within_a_range_stays_one() -> None:
    """Only a range that the object does not have is damage."""
    from obstore.store import MemoryStore

    class Flaky:
        def __init__(self) -> None:
            self._inner = MemoryStore()
            self._inner.put("k", b"0123456789")

        def head(self, key: str) -> object:
            return self._inner.head(key)

        def get_range(self, *_: object, **__: object) -> NoReturn:
            raise exceptions.GenericError("connection reset")

    with pytest.raises(StoreError) as caught:
        ObjectStore(Flaky(), "somewhere").get_range("k", 0, 5)  # type: ignore[arg-type]
    assert caught.value.retryable


def test_a_directory_that_is_not_there_is_no_repository(tmp_path: Path) -> None:
    """And it is not made: the disk may only not be mounted."""
    with pytest.raises(RepositoryMissingError, match="no directory"):
        open_store(str(tmp_path / "none"))
    assert not (tmp_path / "none").exists()
    open_store(str(tmp_path / "none" / "below"), create=True)
    assert (tmp_path / "none" / "below").is_dir()


def test_a_file_url_is_a_directory_as_durable_as_any(tmp_path: Path) -> None:
    (tmp_path / "with space").mkdir()
    store = open_store(f"{tmp_path.as_uri()}/with%20space").store
    assert isinstance(store, DirectoryStore)
    assert store.location == str(tmp_path / "with space")
    with pytest.raises(RepositoryMissingError):
        open_store(f"{tmp_path.as_uri()}/none")


@pytest.mark.parametrize("url", ["nonsense://x", "s3://", "http://[bad"])
def test_a_url_that_cannot_be_used(url: str) -> None:
    with pytest.raises(StoreError):
        open_store(url)


def test_a_memory_url() -> None:
    store = open_store("memory://").store
    store.create("k", b"1")
    assert bytes(store.get("k")) == b"1"
