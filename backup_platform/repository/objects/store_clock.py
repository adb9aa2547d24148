"""The store's own clock. Deletions use no other clock."""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from contextlib import suppress
from datetime import datetime

from backup_platform.domain.ports import Store, StoredObject
from backup_platform.errors import NotFoundError, StoreError, StoreRefusedError
from backup_platform.repository.objects.names import MANIFESTS, ROOT_KEY

PROBES = "probe/"  # no part of the repository, and never locked


def store_now(store: Store) -> datetime:
    """What the store's clock says, as the time of a small object that is made and removed again.

    Where these credentials may not write, the time of the newest manifest: never later than the store's clock.
    """
    key = f"{PROBES}clock-{secrets.token_hex(8)}"
    try:
        store.create(key, b"what time is it?")
    except StoreRefusedError:
        return newest([store.head(ROOT_KEY), *store.list(MANIFESTS)])
    try:
        return store.head(key).modified
    except NotFoundError as error:
        raise StoreError(
            f"The store {store.location} lost {key}, which was just written to it.",
            subject=key,
            retryable=True,
        ) from error
    finally:
        with suppress(StoreError):
            store.delete(key)


def newest(objects: Iterable[StoredObject]) -> datetime:
    """When the newest of some objects was stored. Raises ValueError for none."""
    return max(each.modified for each in objects)
