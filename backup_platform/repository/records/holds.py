"""Holds in the ledger (FORMAT.md §8): a document for each, and another one when it is released."""

from __future__ import annotations

import re
import secrets
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from backup_platform.domain.keep.holds import Hold
from backup_platform.domain.ports import StoredObject
from backup_platform.errors import ConflictError, DamageError
from backup_platform.repository.objects.documents import moment, read_document, write_document
from backup_platform.repository.objects.names import HOLDS

if TYPE_CHECKING:
    from backup_platform.repository.repository import Repository

RELEASED = ".released"
KEY = re.compile(rf"{HOLDS}(?P<point>[0-9a-f]{{64}})/(?P<hold>[0-9a-f]{{16}})")


def place_hold(
    repository: Repository, point: str, reason: str, now: datetime, *, until: datetime | None, legal: bool
) -> Hold:
    """Store a new hold of a point. Raises StoreError."""
    hold = Hold(secrets.token_hex(8), point, reason, legal, now, until)
    write_document(
        repository,
        hold_key(hold),
        {
            "at": now.isoformat(),
            "hold": hold.id,
            "legal": legal,
            "point": point,
            "reason": reason,
            "until": until.isoformat() if until else None,
        },
    )
    return hold


def release_hold(repository: Repository, hold: Hold, reason: str, now: datetime) -> Hold:
    """Once is for all: a hold that somebody released meanwhile stays released. Raises DamageError, StoreError."""
    key = hold_key(hold) + RELEASED
    document = {"at": now.isoformat(), "hold": hold.id, "point": hold.point, "reason": reason}
    try:
        write_document(repository, key, {**document})
    except ConflictError:
        read_document(repository, key, {"hold": hold.id, "point": hold.point})
    return replace(hold, released_at=now, release_reason=reason)


def hold_key(hold: Hold) -> str:
    return f"{HOLDS}{hold.point}/{hold.id}"


def read_holds(repository: Repository, point: str | None = None) -> dict[str, list[Hold]]:
    """All holds by point id, also those that are over, oldest first; of one point when it is given.

    A hold whose document is damaged holds on; a release whose document is damaged releases nothing.
    """
    prefix = HOLDS if point is None else f"{HOLDS}{point}/"
    listed = {each.key: each for each in repository.store.list(prefix)}
    found: dict[str, list[Hold]] = defaultdict(list)
    for key in sorted(listed):
        if match := KEY.fullmatch(key):
            hold = _read(repository, listed[key], {"hold": match["hold"], "point": match["point"]})
            released = key + RELEASED in listed
            found[hold.point].append(_released(repository, hold) if released else hold)
    return {each: sorted(holds, key=lambda h: (h.placed_at, h.id)) for each, holds in found.items()}


def _read(repository: Repository, stored: StoredObject, place: Mapping[str, Any]) -> Hold:
    key = stored.key
    try:
        document = read_document(repository, key, place)
        until = moment(key, document, "until") if document.get("until") is not None else None
        return Hold(
            id=place["hold"],
            point=place["point"],
            reason=str(document.get("reason")),
            legal=document.get("legal") is not False,
            placed_at=moment(key, document, "at"),
            until=until,
        )
    except DamageError as error:
        reason = "a hold that cannot be read"
        return Hold(place["hold"], place["point"], reason, True, stored.modified, damaged=error.message)


def _released(repository: Repository, hold: Hold) -> Hold:
    key = hold_key(hold) + RELEASED
    try:
        document = read_document(repository, key, {"hold": hold.id, "point": hold.point})
        return replace(
            hold, released_at=moment(key, document, "at"), release_reason=str(document.get("reason"))
        )
    except DamageError as error:
        return replace(hold, damaged=error.message)


def held_points(repository: Repository) -> set[str]:
    """Ids of the points that holds which nobody released name; from a listing alone."""
    keys = {each.key for each in repository.store.list(HOLDS)}
    found = (KEY.fullmatch(key) for key in keys if key + RELEASED not in keys)
    return {match["point"] for match in found if match}
