"""Holds in the ledger (FORMAT.md §8): one document for each hold, and a second one when it is released."""

from __future__ import annotations

import re
import secrets
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from backup_platform.domain.keep.holds import Hold
from backup_platform.domain.model import Json
from backup_platform.domain.ports import StoredObject
from backup_platform.errors import ConflictError, DamageError
from backup_platform.repository.objects.documents import Fields
from backup_platform.repository.objects.names import HOLDS
from backup_platform.repository.objects.objects import Objects

RELEASED = ".released"
KEY = re.compile(rf"{HOLDS}(?P<point>[0-9a-f]{{64}})/(?P<hold>[0-9a-f]{{16}})")


def place_hold(
    objects: Objects, point: str, reason: str, now: datetime, *, until: datetime | None, legal: bool
) -> Hold:
    """Store a new hold of a point. Raises StoreError."""
    hold = Hold(secrets.token_hex(8), point, reason, legal, now, until)
    objects.write_document(
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


def release_hold(objects: Objects, hold: Hold, reason: str, now: datetime) -> Hold:
    """Release a hold. It is idempotent: a hold that is already released stays released. Raises DamageError,
    StoreError."""
    key = hold_key(hold) + RELEASED
    document = {"at": now.isoformat(), "hold": hold.id, "point": hold.point, "reason": reason}
    try:
        objects.write_document(key, {**document})
    except ConflictError:
        objects.read_document(key, _place(hold))
    return replace(hold, released_at=now, release_reason=reason)


def _place(hold: Hold) -> dict[str, Json]:
    return {"hold": hold.id, "point": hold.point}


def hold_key(hold: Hold) -> str:
    return f"{HOLDS}{hold.point}/{hold.id}"


def read_holds(objects: Objects, point: str | None = None) -> dict[str, list[Hold]]:
    """All holds by point id, also those that are over, oldest first; of one point when it is given.

    A hold whose document is damaged holds on; a release whose document is damaged releases nothing.
    """
    prefix = HOLDS if point is None else f"{HOLDS}{point}/"
    listed = {each.key: each for each in objects.store.list(prefix)}
    found: dict[str, list[Hold]] = defaultdict(list)
    for key in sorted(listed):
        if match := KEY.fullmatch(key):
            hold = _read(objects, listed[key], {"hold": match["hold"], "point": match["point"]})
            released = key + RELEASED in listed
            found[hold.point].append(_released(objects, hold) if released else hold)
    return {each: sorted(holds, key=lambda h: (h.placed_at, h.id)) for each, holds in found.items()}


def _read(objects: Objects, stored: StoredObject, place: Mapping[str, Any]) -> Hold:
    def hold(said: Fields) -> Hold:
        return Hold(
            id=place["hold"],
            point=place["point"],
            reason=str(said.values.get("reason")),
            legal=said.values.get("legal") is not False,
            placed_at=said.instant("at"),
            until=said.instant("until") if said.values.get("until") is not None else None,
        )

    try:
        return objects.read_document(stored.key, place).decoded(hold)
    except DamageError as error:
        reason = "a hold that cannot be read"
        return Hold(place["hold"], place["point"], reason, True, stored.modified, damaged=error.message)


def _released(objects: Objects, hold: Hold) -> Hold:
    try:
        document = objects.read_document(hold_key(hold) + RELEASED, _place(hold))
        return document.decoded(
            lambda said: replace(
                hold, released_at=said.instant("at"), release_reason=str(said.values.get("reason"))
            )
        )
    except DamageError as error:
        return replace(hold, damaged=error.message)


def held_points(objects: Objects) -> set[str]:
    """Ids of the points with a hold that is not released, from a listing alone."""
    keys = {each.key for each in objects.store.list(HOLDS)}
    found = (KEY.fullmatch(key) for key in keys if key + RELEASED not in keys)
    return {match["point"] for match in found if match}
