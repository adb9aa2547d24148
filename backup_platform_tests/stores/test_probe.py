"""The probe: what it accepts, what it refuses, and that it leaves nothing behind."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from obstore.store import MemoryStore

from backup_platform.domain.ports import Buffer, Store, StoredObject
from backup_platform.errors import DamageError, StoreError, StoreRefusedError
from backup_platform.stores.limits import SingleWriterStore
from backup_platform.stores.object_store import ObjectStore
from backup_platform.stores.opening import open_store
from backup_platform.stores.probe import FOLDER, probe_store, require_one_creator
from backup_platform.stores.wrapping import WrappedStore
from backup_platform_tests.stores.servers import Server
from backup_platform_tests.support import flipped


def memory() -> Store:
    return ObjectStore(MemoryStore(), "memory://")


def test_a_good_store_is_left_as_it_was() -> None:
    store = memory()
    probe = probe_store(store)
    assert (probe.one_creator, probe.denied, probe.left) == (True, (), ())
    assert list(store.list(FOLDER)) == []
    require_one_creator(store, probe)


class Overwriting(WrappedStore):
    def create(self, key: str, data: Buffer) -> None:
        self.inner.replace(key, data)


class OncePerSequence(SingleWriterStore):
    """Looks, then writes: of several at once all may win."""

    def create(self, key: str, data: Buffer) -> None:
        if "raced" in key:
            self.inner.replace(key, data)
        else:
            super().create(key, data)


@pytest.mark.parametrize("kind", [Overwriting, OncePerSequence])
def test_a_store_where_creators_replace_each_other(kind: Callable[[Store], Store]) -> None:
    store = kind(memory())
    probe = probe_store(store)
    assert not probe.one_creator
    assert list(store.list(FOLDER)) == []
    with pytest.raises(StoreError, match="single_writer") as caught:
        require_one_creator(store, probe)
    assert not caught.value.retryable


class Altering(WrappedStore):
    def get(self, key: str) -> Buffer:
        return flipped(self.inner.get(key))


class Shifting(WrappedStore):
    def get_range(self, key: str, start: int, length: int) -> Buffer:
        return self.inner.get_range(key, start + 1, length)


@pytest.mark.parametrize("kind", [Altering, Shifting])
def test_a_store_that_gives_back_something_else(kind: Callable[[Store], Store]) -> None:
    inner = memory()
    with pytest.raises(DamageError, match="other content than was written"):
        probe_store(kind(inner))
    assert list(inner.list(FOLDER)) == []


class Hiding(WrappedStore):
    def list(self, prefix: str) -> Iterator[StoredObject]:
        return iter(list(self.inner.list(prefix))[1:])


def test_a_store_that_lists_late() -> None:
    with pytest.raises(StoreError, match="does not list"):
        probe_store(Hiding(memory()))


class Keeping(WrappedStore):
    def delete(self, key: str) -> None:
        """Says that it was done."""


def test_a_store_that_does_not_delete_what_it_says() -> None:
    with pytest.raises(StoreError, match="after its deletion"):
        probe_store(Keeping(memory()))


def denying(*verbs: str) -> Store:
    class Denying(WrappedStore):
        pass

    def refuse(*_: Any) -> Any:
        raise StoreRefusedError("The store refused.")

    for verb in verbs:
        setattr(Denying, verb, refuse)
    return Denying(memory())


def test_what_may_not_be_deleted_is_named() -> None:
    store = denying("delete")
    probe = probe_store(store)
    assert (probe.one_creator, probe.denied) == (True, ("delete",))
    assert sorted(probe.left) == sorted(found.key for found in store.list(FOLDER))
    assert "may not delete" in str(probe)


def test_what_may_not_be_read_is_not_read() -> None:
    assert probe_store(denying("get", "get_range", "get_tail", "head")).denied == ("read",)


@pytest.mark.parametrize("verb", ["create", "list"])
def test_without_writing_or_listing_there_is_no_repository(verb: str) -> None:
    with pytest.raises(StoreRefusedError):
        probe_store(denying(verb))


@pytest.mark.xdist_group("moto")
def test_moto_creates_once(moto: Server) -> None:
    assert probe_store(open_store(moto.place(), moto.options()).store).one_creator


@pytest.mark.xdist_group("seaweed")
def test_seaweedfs_creates_once(seaweed: Server) -> None:
    assert probe_store(open_store(seaweed.place(), seaweed.options()).store).one_creator


@pytest.mark.xdist_group("rclone")
def test_rclone_is_found_out(rclone: Server) -> None:
    assert not probe_store(open_store(rclone.place(), rclone.options()).store).one_creator
