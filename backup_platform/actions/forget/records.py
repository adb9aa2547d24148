"""Which records of forgotten points stay: those of points that are gone (FORMAT.md §8).

An interrupted forget leaves a record beside its manifest. If the point stays, the record is deleted: it would hide
that somebody takes the point away later. Another host may be forgetting the point at the same time. So whoever
deletes a record then looks for the manifest, and whoever deletes a manifest then looks for the record: one of the two
sees the other, and stores the record again.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from contextlib import suppress
from datetime import timedelta

from backup_platform.errors import ConflictError, NotFoundError, StoreRefusedError
from backup_platform.repository.objects.names import MANIFESTS
from backup_platform.repository.objects.store_clock import store_now
from backup_platform.repository.records.forgotten import (
    ForgottenPlace,
    ForgottenPoint,
    forgotten_places,
    record_forgotten_again,
)
from backup_platform.repository.repository import Repository

LEFT_BEHIND = timedelta(hours=1)  # after which no forget that is under way goes by the record


def delete_void_records(repository: Repository, staying: Collection[str]) -> None:
    """Delete the records of points with these ids, which exist and stay. A record that the store does not delete is
    left."""
    found = [place for place in forgotten_places(repository.objects) if place.point in staying]
    if not found:
        return
    before = store_now(repository.store) - LEFT_BEHIND
    for place in found:
        if place.stored_at < before:
            with suppress(StoreRefusedError, NotFoundError):
                _delete(repository, place)


def _delete(repository: Repository, place: ForgottenPlace) -> None:
    """Raises NotFoundError for a record that is gone already."""
    store = repository.store
    record = store.get(place.key)
    if not _is_here(repository, place):
        return
    store.delete(place.key)
    if not _is_here(repository, place):
        with suppress(ConflictError):
            store.create(place.key, record)


def _is_here(repository: Repository, place: ForgottenPlace) -> bool:
    try:
        repository.store.head(f"{MANIFESTS}{place.tag}/{place.sequence:010d}")
    except NotFoundError:
        return False
    return True


def restore_records(repository: Repository, source: str, forgotten: Iterable[ForgottenPoint]) -> None:
    """Store the records of points of a source again whose manifests were just deleted, if somebody deleted them."""
    recorded = {place.point for place in forgotten_places(repository.objects, source)}
    for record in forgotten:
        if record.point not in recorded:
            record_forgotten_again(repository.objects, record)
