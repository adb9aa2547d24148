"""Records of the points that were forgotten (FORMAT.md §8): written before a manifest is deleted, and kept."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from backup_platform.domain.model import Json, RecoveryPoint, Window
from backup_platform.errors import ConflictError, DamageError
from backup_platform.repository.objects.documents import moment, read_document, write_document
from backup_platform.repository.objects.names import FORGOTTEN, source_tag
from backup_platform.repository.objects.record_names import NAME_HASH, Origin
from backup_platform.repository.points.chains import ChainLink
from backup_platform.repository.points.manifests import LOST

if TYPE_CHECKING:
    from backup_platform.repository.records.proofs import ProvenPoint
    from backup_platform.repository.repository import Repository

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


def record_forgotten(
    repository: Repository, point: RecoveryPoint, reason: str, now: datetime
) -> ForgottenPoint:
    """Before the manifest goes, and read back. One that an interrupted call left is kept, and stored again: its time
    tells whoever places a hold that this is under way. Raises DamageError when it is altered."""
    record = ForgottenPoint(
        point.id, point.source, point.sequence, point.window, point.captured_at, now, reason
    )
    try:
        _write(repository, record)
    except ConflictError:
        key = _key(repository, record)
        record = _read(repository, _place(key, now))
        repository.store.replace(key, repository.store.get(key))
        return record
    return _read_back(repository, record)


def record_gone(repository: Repository, point: ProvenPoint, now: datetime) -> None:
    """That a point is gone which nobody forgot, and of which a proof tells. An altered record is written anew."""
    record = ForgottenPoint(
        point.point, point.source, point.sequence, point.window, point.captured_at, now, "lost"
    )
    with suppress(ConflictError):
        _write(repository, record)
    _read_back(repository, record)


def _read_back(repository: Repository, record: ForgottenPoint) -> ForgottenPoint:
    """What the store has of a record that it took. Raises DamageError when it does not keep it, twice."""
    place = _place(_key(repository, record), record.forgotten_at)
    with suppress(DamageError):
        return _read(repository, place)
    _write(repository, record, anew=True)
    return _read(repository, place)


def _key(repository: Repository, record: ForgottenPoint) -> str:
    return _name(repository, record.source, record.sequence, record.point)


def _name(repository: Repository, source: str, sequence: int, point: str) -> str:
    return repository.names.name(f"{_folder(repository, source)}{sequence:010d}-{point}")


def _write(repository: Repository, record: ForgottenPoint, *, anew: bool = False) -> None:
    window = record.window
    document: dict[str, Json] = {
        "at": record.forgotten_at.isoformat(),
        "captured_at": record.captured_at.isoformat(),
        "point": record.point,
        "reason": record.reason,
        "sequence": record.sequence,
        "source": record.source,
        "window": {"end": window.end.isoformat(), "key": window.key, "start": window.start.isoformat()},
    }
    write_document(repository, _key(repository, record), document, anew=anew)


def record_lost(repository: Repository, source: str, sequence: int, now: datetime) -> None:
    """That a point is gone which nobody forgot. Raises DamageError when there is such a record, and it is altered."""
    key = _name(repository, source, sequence, LOST)
    document: dict[str, Json] = {"at": now.isoformat(), "point": LOST, "sequence": sequence, "source": source}
    try:
        write_document(repository, key, document)
    except ConflictError:
        _document(repository, _place(key, now))


def forgotten_places(repository: Repository, source: str | None = None) -> list[ForgottenPlace]:
    """Which points were forgotten, from a listing alone; of all sources, or of one.

    Records of older versions count when their documents are authentic: each of these is read once.
    """
    prefix = FORGOTTEN if source is None else _folder(repository, source)
    records = [each for each in repository.records(prefix) if KEY.fullmatch(each.key)]
    older = [_place(each.key, each.stored_at) for each in records if each.origin is Origin.OLDER]
    good = {each.key for each in records if each.counts} | _authentic(repository, older)
    places = [_place(each.key, each.stored_at) for each in records if each.key in good]
    # One record of each point; where an older one has a successor, that: it is listed behind it.
    found = {(place.tag, place.sequence, place.point): place for place in places}
    return sorted(found.values(), key=lambda place: (place.tag, place.sequence))


def _authentic(repository: Repository, places: Sequence[ForgottenPlace]) -> set[str]:
    """Keys of those of some records whose documents are authentic."""

    def read(place: ForgottenPlace) -> None:
        with suppress(DamageError):
            _document(repository, place)
            repository.authentic_records.add(place.key)

    unknown = [place for place in places if place.key not in repository.authentic_records]
    if unknown:
        with ThreadPoolExecutor(READERS) as pool:
            list(pool.map(read, unknown))
    return repository.authentic_records & {place.key for place in places}


def require_authentic(repository: Repository, key: str) -> None:
    """Raises DamageError for a record whose document is altered, or says something else than its name."""
    _document(repository, _place(key, repository.clock.now()))


def read_forgotten(
    repository: Repository, places: Iterable[ForgottenPlace]
) -> tuple[list[ForgottenPoint], list[DamageError]]:
    """What is recorded of the points, and what is wrong with damaged records. Of lost points nothing is known."""

    def read(place: ForgottenPlace) -> ForgottenPoint | DamageError | None:
        try:
            if place.point != LOST:
                return _read(repository, place)
            _document(repository, place)
        except DamageError as error:
            return error
        return None

    with ThreadPoolExecutor(READERS) as pool:
        results = list(pool.map(read, places))
    records = [each for each in results if isinstance(each, ForgottenPoint)]
    return records, [each for each in results if isinstance(each, DamageError)]


def forgotten_links(repository: Repository, *sources: str) -> list[ChainLink]:
    """The places that points had which were forgotten, in the chains of some sources; from one listing."""
    places = forgotten_places(repository, sources[0] if len(sources) == 1 else None)
    return links_of(repository, places, sources)


def links_of(
    repository: Repository, places: Iterable[ForgottenPlace], sources: Iterable[str]
) -> list[ChainLink]:
    """Those of some places that are in the chains of these sources."""
    names = {source_tag(source, repository.cipher.hash): source for source in sources}
    return [
        ChainLink(names[place.tag], place.sequence, place.point) for place in places if place.tag in names
    ]


def _folder(repository: Repository, source: str) -> str:
    return f"{FORGOTTEN}{source_tag(source, repository.cipher.hash)}/"


def _place(key: str, stored_at: datetime) -> ForgottenPlace:
    match = KEY.fullmatch(key)
    assert match is not None
    return ForgottenPlace(key, match["tag"], int(match["sequence"]), match["point"], stored_at)


def _document(repository: Repository, place: ForgottenPlace) -> dict[str, Any]:
    """Raises DamageError."""
    document = read_document(repository, place.key, {"point": place.point, "sequence": place.sequence})
    source = document.get("source")
    if not isinstance(source, str) or source_tag(source, repository.cipher.hash) != place.tag:
        raise DamageError(
            f"The object {place.key} belongs elsewhere: somebody moved or copied it.", subject=place.key
        )
    return document


def _read(repository: Repository, place: ForgottenPlace) -> ForgottenPoint:
    key, document = place.key, _document(repository, place)
    window = document.get("window")
    if not isinstance(window, dict):
        raise DamageError(f"The document {key} has no window.", subject=key)
    return ForgottenPoint(
        point=place.point,
        source=document["source"],
        sequence=place.sequence,
        window=Window(str(window.get("key")), moment(key, window, "start"), moment(key, window, "end")),
        captured_at=moment(key, document, "captured_at"),
        forgotten_at=moment(key, document, "at"),
        reason=str(document.get("reason")),
    )
