"""Deleting the proofs of forgotten points. Otherwise their number would grow without limit. The record that the point
was forgotten stays. It is read before the proofs are deleted: if it is altered or missing, the proofs show that the
point is lost."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime, timedelta

from backup_platform.domain.ports import StoredObject
from backup_platform.errors import NotFoundError
from backup_platform.repository.objects.names import MANIFESTS, PROOFS
from backup_platform.repository.records.forgotten import ForgottenPlace, forgotten_places, read_forgotten
from backup_platform.repository.repository import Repository

Found = Mapping[ForgottenPlace, tuple[StoredObject, ...]]


def old_proofs(repository: Repository, manifests: Collection[str], now: datetime, grace: timedelta) -> Found:
    """Proofs of points whose record is older than the grace, by the record. It takes two listings."""
    stored: dict[str, list[StoredObject]] = {}
    for each in repository.store.list(PROOFS):
        stored.setdefault(each.key.removeprefix(PROOFS).partition("/")[0], []).append(each)
    return {
        place: tuple(stored[place.point])
        for place in (forgotten_places(repository.objects) if stored else ())
        if place.point in stored and now - place.stored_at >= grace and _manifest(place) not in manifests
    }


def may_go(repository: Repository, place: ForgottenPlace) -> bool:
    """Whether the record is authentic, and there is no manifest with its number."""
    if not read_forgotten(repository.objects, [place])[0]:
        return False
    try:
        repository.store.head(_manifest(place))
    except NotFoundError:
        return True
    return False


def _manifest(place: ForgottenPlace) -> str:
    return f"{MANIFESTS}{place.tag}/{place.sequence:010d}"
