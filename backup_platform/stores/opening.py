"""Opening the store at a place, with the behaviour that its options require."""

from __future__ import annotations

import os
from dataclasses import replace
from urllib.parse import unquote, urlsplit

from backup_platform.advice import command
from backup_platform.domain.ports import Capabilities, OpenedStore, Store
from backup_platform.errors import RepositoryMissingError
from backup_platform.stores.caching import CachingStore
from backup_platform.stores.limits import SingleWriterStore, ThrottledStore, WriteOnlyStore
from backup_platform.stores.naming import NamedStore
from backup_platform.stores.object_store import DirectoryStore
from backup_platform.stores.options import StoreOptions
from backup_platform.stores.retrying import RetryingStore


def open_store(location: str, options: StoreOptions | None = None, *, create: bool = False) -> OpenedStore:
    """The store at a directory path or URL. A directory is only created if `create` is set. Raises
    RepositoryMissingError if the directory does not exist, and StoreError for a URL that cannot be used."""
    options = options or StoreOptions()
    if location.startswith("file://"):
        from backup_platform.stores.remote import require_whole

        require_whole(location, options.plan_key)
        location = unquote(urlsplit(location).path)
    opened = _remote(location, options) if "://" in location else _local(location, options, create=create)
    return replace(opened, store=_restricted(opened.store, options))


def _remote(url: str, options: StoreOptions) -> OpenedStore:
    from backup_platform.stores.remote import open_url

    remote = open_url(url, options)
    store = RetryingStore(_throttled(remote, options))
    if not options.cache:
        return OpenedStore(store, Capabilities(object_lock=remote.object_lock))
    caching = CachingStore(store, options.cache)
    return OpenedStore(caching, Capabilities(object_lock=remote.object_lock, direct=caching.direct))


def _local(path: str, options: StoreOptions, *, create: bool) -> OpenedStore:
    directory = _directory(path, create=create)
    reserve = directory.reserve
    capabilities = Capabilities(drafts=directory, lending=reserve.lent, keep_room=reserve.fill)
    return OpenedStore(_throttled(directory, options), capabilities)


def _throttled(store: Store, options: StoreOptions) -> Store:
    return ThrottledStore(store, options.rate) if options.rate else store


def _restricted(store: Store, options: StoreOptions) -> Store:
    store = WriteOnlyStore(store) if options.write_only else store
    store = SingleWriterStore(store) if options.single_writer else store
    return NamedStore(store, options.repository) if options.repository else store


def _directory(path: str, *, create: bool) -> DirectoryStore:
    if not create and not os.path.isdir(path):
        raise RepositoryMissingError(
            f"There is no directory {path}.",
            subject=path,
            hint=("Mount the disk that holds it. If there was none yet: ", command("init"), "."),
        )
    return DirectoryStore(path)
