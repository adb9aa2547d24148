"""Records of the points that were forgotten (FORMAT.md §8): written before a manifest is deleted, and kept."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple

from backup_platform.domain.model import Json, RecoveryPoint, Window
from backup_platform.errors import ConflictError, DamageError, NotFoundError
from backup_platform.repository.objects.documents import Fields, SignedDocument, misplaced, window_fields
from backup_platform.repository.objects.names import FORGOTTEN, source_tag
from backup_platform.repository.objects.objects import Objects
from backup_platform.repository.objects.record_names import NAME_HASH, Origin

if TYPE_CHECKING:
    from backup_platform.repository.records.proofs import ProvenPoint

LOST = "lost"  # instead of the id of a point that is known to be gone
KEY = re.compile(
    rf"{FORGOTTEN}(?P<tag>[0-9a-f]{{32}})/(?P<sequence>\d{{10}})-(?P<point>[0-9a-f]{{64}}|{LOST}){NAME_HASH}"
)
READERS = 8


class ForgottenPlace(NamedTuple):
    """What the key of a record tells, and when the store wrote it."""

    key: str
    tag: str
    sequence: int
    point: str
    stored_at: datetime


@dataclass(frozen=True, slots=True)
class ForgottenPoint:
    """What is still known of a recovery point that was forgotten."""

    point: str
    source: str
    sequence: int
    window: Window
    captured_at: datetime
    forgotten_at: datetime
    reason: str


def record_forgotten(objects: Objects, point: RecoveryPoint, reason: str, now: datetime) -> ForgottenPoint:
    """Create the record before the manifest is deleted, and read it back. A record that an interrupted call left is
    kept and stored again, because its time shows to a program that places a hold that a forget is running. Raises
    DamageError if it is altered."""
    record = ForgottenPoint(
        point.id, point.source, point.sequence, point.window, point.captured_at, now, reason
    )
    try:
        _write(objects, record)
    except ConflictError:
        key = _key(objects, record)
        record = _read(objects, _place(key, now))
        objects.store.replace(key, objects.store.get(key))
        return record
    return _read_back(objects, record)


def record_forgotten_again(objects: Objects, record: ForgottenPoint) -> None:
    """Store a record that was deleted meanwhile. Raises DamageError when it does not read back."""
    with suppress(ConflictError):
        _write(objects, record)
    _read_back(objects, record)


def record_gone(objects: Objects, point: ProvenPoint, now: datetime) -> None:
    """Record that a point is gone without being forgotten, if a proof names it. An altered record is written
    again."""
    record_forgotten_again(
        objects,
        ForgottenPoint(
            point.point, point.source, point.sequence, point.window, point.captured_at, now, "lost"
        ),
    )


def _read_back(objects: Objects, record: ForgottenPoint) -> ForgottenPoint:
    """What the store has of a record that it took. Raises DamageError when it does not keep it, twice."""
    place = _place(_key(objects, record), record.forgotten_at)
    with suppress(DamageError):
        return _read(objects, place)
    _write(objects, record, anew=True)
    return _read(objects, place)


def _key(objects: Objects, record: ForgottenPoint) -> str:
    return _name(objects, record.source, record.sequence, record.point)


def _name(objects: Objects, source: str, sequence: int, point: str) -> str:
    return objects.names.name(f"{_folder(objects, source)}{sequence:010d}-{point}")


def _write(objects: Objects, record: ForgottenPoint, *, anew: bool = False) -> None:
    document: dict[str, Json] = {
        "at": record.forgotten_at.isoformat(),
        "captured_at": record.captured_at.isoformat(),
        "point": record.point,
        "reason": record.reason,
        "sequence": record.sequence,
        "source": record.source,
        "window": window_fields(record.window),
    }
    objects.write_document(_key(objects, record), document, anew=anew)


def record_lost(objects: Objects, source: str, sequence: int, now: datetime) -> None:
    """Record that a point is gone without being forgotten. Raises DamageError if there is an altered record."""
    key = _name(objects, source, sequence, LOST)
    document: dict[str, Json] = {"at": now.isoformat(), "point": LOST, "sequence": sequence, "source": source}
    try:
        objects.write_document(key, document)
    except ConflictError:
        _document(objects, _place(key, now))


def forgotten_places(objects: Objects, source: str | None = None) -> list[ForgottenPlace]:
    """Which points were forgotten, from a listing alone; of all sources, or of one.

    Records of older versions count when their documents are authentic: each of these is read once.
    """
    prefix = FORGOTTEN if source is None else _folder(objects, source)
    records = [each for each in objects.records(prefix) if KEY.fullmatch(each.key)]
    older = [_place(each.key, each.stored_at) for each in records if each.origin is Origin.OLDER]
    good = {each.key for each in records if each.counts} | _authentic(objects, older)
    places = [_place(each.key, each.stored_at) for each in records if each.key in good]
    # One record of each point; where an older one has a successor, that: it is listed behind it.
    found = {(place.tag, place.sequence, place.point): place for place in places}
    return sorted(found.values(), key=lambda place: (place.tag, place.sequence))


def was_forgotten(objects: Objects, source: str, sequence: int, point: str) -> bool:
    """Whether a point was forgotten. Asks for its record, and lists only where there is none of that name."""
    with suppress(NotFoundError):
        objects.store.head(_name(objects, source, sequence, point))
        return True
    return any(place.point == point for place in forgotten_places(objects, source))


def _authentic(objects: Objects, places: Sequence[ForgottenPlace]) -> set[str]:
    """Keys of those of some records whose documents are authentic."""

    def read(place: ForgottenPlace) -> None:
        with suppress(DamageError):
            _document(objects, place)
            objects.authentic_records.add(place.key)

    unknown = [place for place in places if place.key not in objects.authentic_records]
    if unknown:
        with ThreadPoolExecutor(READERS) as pool:
            list(pool.map(read, unknown))
    return objects.authentic_records & {place.key for place in places}


def require_authentic(objects: Objects, key: str) -> None:
    """Raises DamageError for a record whose document is altered, or says something else than its name."""
    _document(objects, _place(key, objects.clock.now()))


def read_forgotten(
    objects: Objects, places: Iterable[ForgottenPlace]
) -> tuple[list[ForgottenPoint], list[DamageError]]:
    """What is recorded of the points, and what is wrong with damaged records. Of lost points nothing is known."""

    def read(place: ForgottenPlace) -> ForgottenPoint | DamageError | None:
        try:
            if place.point != LOST:
                return _read(objects, place)
            _document(objects, place)
        except DamageError as error:
            return error
        return None

    with ThreadPoolExecutor(READERS) as pool:
        results = list(pool.map(read, places))
    records = [each for each in results if isinstance(each, ForgottenPoint)]
    return records, [each for each in results if isinstance(each, DamageError)]


def _folder(objects: Objects, source: str) -> str:
    return f"{FORGOTTEN}{source_tag(source, objects.cipher.hash)}/"


def _place(key: str, stored_at: datetime) -> ForgottenPlace:
    match = KEY.fullmatch(key)
    assert match is not None
    return ForgottenPlace(key, match["tag"], int(match["sequence"]), match["point"], stored_at)


def _document(objects: Objects, place: ForgottenPlace) -> SignedDocument:
    """Raises DamageError."""
    document = objects.read_document(place.key, {"point": place.point, "sequence": place.sequence})
    source = document.fields.values.get("source")
    if not isinstance(source, str) or source_tag(source, objects.cipher.hash) != place.tag:
        raise misplaced(place.key)
    return document


def _read(objects: Objects, place: ForgottenPlace) -> ForgottenPoint:
    def point(said: Fields) -> ForgottenPoint:
        return ForgottenPoint(
            point=place.point,
            source=said.text("source"),
            sequence=place.sequence,
            window=said.window("window"),
            captured_at=said.instant("captured_at"),
            forgotten_at=said.instant("at"),
            reason=str(said.values.get("reason")),
        )

    return _document(objects, place).decoded(point)
