"""Acceptances in the ledger (FORMAT.md §8): somebody looked at a suspect recovery point, and accepted it."""

from __future__ import annotations

import re
import secrets
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

from backup_platform.errors import ConflictError, DamageError
from backup_platform.repository.objects.names import ACCEPTED
from backup_platform.repository.objects.objects import Objects
from backup_platform.repository.objects.record_names import NAME_HASH, Origin

KEY = re.compile(rf"{ACCEPTED}(?P<point>[0-9a-f]{{64}})/(?P<acceptance>[0-9a-f]{{16}}){NAME_HASH}")


@dataclass(frozen=True, slots=True)
class Acceptance:
    point: str
    reason: str
    at: datetime


def accept_point(objects: Objects, point: str, reason: str, now: datetime) -> Acceptance:
    """Record that a point is accepted, and read it back. Raises StoreError, DamageError."""
    name = secrets.token_hex(8)
    key = objects.names.name(f"{ACCEPTED}{point}/{name}")
    document = {"acceptance": name, "at": now.isoformat(), "point": point, "reason": reason}
    objects.write_document(key, {**document})
    return read_acceptance(objects, key)


def read_acceptances(objects: Objects, points: Collection[str]) -> dict[str, Acceptance]:
    """The first of each of some points. One that cannot be read accepts nothing."""
    found: dict[str, Acceptance] = {}
    for record in objects.records(ACCEPTED):
        match = KEY.fullmatch(record.key)
        if match is None or match["point"] not in points or record.origin is Origin.FORGED:
            continue
        with suppress(DamageError):
            read = read_acceptance(objects, record.key)
            if read.point not in found or read.at < found[read.point].at:
                found[read.point] = read
    return found


def copy_acceptances(origin: Objects, target: Objects) -> None:
    """Copy missing acceptances to a copy, unchanged. An altered one is not copied."""
    there = {each.key for each in target.store.list(ACCEPTED)}
    for key, _, kind, _ in origin.records(ACCEPTED):
        if key in there or not KEY.fullmatch(key) or kind is Origin.FORGED:
            continue
        with suppress(DamageError, ConflictError):
            read_acceptance(origin, key)
            target.store.create(key, origin.store.get(key))


def read_acceptance(objects: Objects, key: str) -> Acceptance:
    """Raises DamageError."""
    match = KEY.fullmatch(key)
    assert match is not None
    place = {"acceptance": match["acceptance"], "point": match["point"]}
    return objects.read_document(key, place).decoded(
        lambda said: Acceptance(match["point"], str(said.values.get("reason")) or "-", said.instant("at"))
    )
