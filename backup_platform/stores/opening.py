"""The store at a place, with the behaviour that its options ask for."""

from __future__ import annotations

import os
from contextlib import AbstractContextManager, nullcontext
from urllib.parse import unquote, urlsplit

from backup_platform.advice import command
from backup_platform.domain.ports import ObjectLock, Store
from backup_platform.errors import RepositoryMissingError
from backup_platform.stores.caching import CachingStore
from backup_platform.stores.limits import SingleWriterStore, ThrottledStore, WriteOnlyStore
from backup_platform.stores.naming import NamedStore
from backup_platform.stores.object_store import DirectoryStore, ObjectStore
from backup_platform.stores.options import StoreOptions
from backup_platform.stores.reserve import Reserve
from backup_platform.stores.retrying import RetryingStore
from backup_platform.stores.wrapping import WrappedStore


def open_store(location: str, options: StoreOptions | None = None, *, create: bool = False) -> Store:
    """The store at a directory path or URL. A directory is only made when `create` is set.

    Raises RepositoryMissingError for a directory that is not there, StoreError for a URL that cannot be used.
    """
    options = options or StoreOptions()
    if location.startswith("file://"):
        from backup_platform.stores.remote import require_whole

        require_whole(location, options.plan_key)
        location = unquote(urlsplit(location).path)
    if "://" in location:
        return _restricted(_remote(location, options), options)
    return _restricted(_throttled(_directory(location, create=create), options), options)


def _remote(url: str, options: StoreOptions) -> Store:
    from backup_platform.stores.remote import open_url

    store = RetryingStore(_throttled(open_url(url, options), options))
    return CachingStore(store, options.cache) if options.cache else store


def _throttled(store: Store, options: StoreOptions) -> Store:
    return ThrottledStore(store, options.rate) if options.rate else store


def _restricted(store: Store, options: StoreOptions) -> Store:
    store = WriteOnlyStore(store) if options.write_only else store
    store = SingleWriterStore(store) if options.single_writer else store
    return NamedStore(store, options.repository) if options.repository else store


def evidence(store: Store) -> AbstractContextManager[None]:
    """Inside, nothing that is read comes from a copy."""
    while isinstance(store, WrappedStore):
        if isinstance(store, CachingStore):
            return store.direct()
        store = store.inner
    return nullcontext()


def object_lock_of(store: Store) -> ObjectLock | None:
    """The access that extends retentions. None if the plan requires none."""
    while isinstance(store, WrappedStore):
        store = store.inner
    return store.object_lock if isinstance(store, ObjectStore) else None


def drafts_of(store: Store) -> DirectoryStore | None:
    """Where writers that died may have left drafts; None for stores in which a write is there or not."""
    while isinstance(store, WrappedStore):
        store = store.inner
    return store if isinstance(store, DirectoryStore) else None


def reserve_of(store: Store) -> Reserve | None:
    """What keeps room for the work that makes room; None for stores without a disk of their own."""
    directory = drafts_of(store)
    return directory.reserve if directory else None


def lending(store: Store) -> AbstractContextManager[None]:
    """Inside, what a full disk has no room for gets the room that was kept."""
    reserve = reserve_of(store)
    return reserve.lent() if reserve else nullcontext()


def _directory(path: str, *, create: bool) -> Store:
    if not create and not os.path.isdir(path):
        raise RepositoryMissingError(
            f"There is no directory {path}.",
            subject=path,
            hint=("Mount the disk that holds it. If there was none yet: ", command("init"), "."),
        )
    return DirectoryStore(path)
