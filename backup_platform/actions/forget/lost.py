"""Lost points: the chain or the ledger knows them, but the store has neither their manifest nor a record that they
were forgotten.

The chain shows points that were removed from its middle. Only the ledger, which is written later, shows that the
newest points were removed. Only authentic documents count: with write access alone, nobody can make up a lost point
of an encrypted repository.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime

from backup_platform.domain.model import RecoveryPoint
from backup_platform.domain.words import point_label
from backup_platform.errors import DamageError, NotFoundError
from backup_platform.repository.objects.names import ManifestKey, source_tag
from backup_platform.repository.points.chains import ChainLink, chain_gaps, links_of
from backup_platform.repository.points.manifests import decode_manifest
from backup_platform.repository.records.forgotten import (
    LOST,
    ForgottenPlace,
    forgotten_places,
    read_forgotten,
)
from backup_platform.repository.records.holds import held_points, read_holds
from backup_platform.repository.records.proofs import ProvenPoint
from backup_platform.repository.repository import Repository

READERS = 8
RECORDS_READ = 32


@dataclass(frozen=True, slots=True)
class Losses:
    """The lost points. `subjects` are known by proofs, and `held` are ids that are known by a hold only. `gaps` has
    a sentence for each other missing number of a chain. `untrue` says what is wrong with the records of the newest
    numbers. `own` are the ids of those subjects that this host stored."""

    subjects: tuple[ProvenPoint, ...] = ()
    held: tuple[str, ...] = ()
    gaps: tuple[str, ...] = ()
    untrue: tuple[str, ...] = ()
    own: frozenset[str] = frozenset()

    def texts(self) -> list[str]:
        """One sentence for each, and what to do."""
        known = [(f"{name_of(each)} is lost: {self._why(each)}", each.source) for each in self.subjects]
        return [
            *(f"{text}, {GONE} {_take(source)}" for text, source in known),
            *(f"{point[:12]} is lost: it is held, {GONE} {_take('')}" for point in self.held),
            *(f"{text} {_take(text.partition(':')[0])}" for text in self.gaps),
            *self.untrue,
        ]

    def _why(self, subject: ProvenPoint) -> str:
        return "this host stored it" if subject.point in self.own else "it was proven"


GONE = "its manifest is not in the store, and no record says that it was forgotten."


def name_of(subject: ProvenPoint) -> str:
    return f"{point_label(subject)} ({subject.point[:12]}, number {subject.sequence})"


def _take(source: str) -> str:
    give_up = f"`forget {source} --lost` gives it up" if source else "`release` ends the hold"
    return (
        f"If another repository has it, `repair` brings it back (into a copy: `copy`). Otherwise {give_up}."
    )


def find_losses(
    repository: Repository, points: Sequence[RecoveryPoint], damaged: Collection[object], *, complete: bool
) -> Losses:
    """Find the lost points of a whole repository. `points` are all readable points, and `damaged` describes the
    unreadable ones. `complete` means that backups are written to this repository, so that every number of a chain
    must be there; a copy may lack some. It takes three listings, and reads only entries that no point or record
    explains."""
    # In this order: what is forgotten or stored meanwhile is seen as such.
    named, held = repository.proofs.proven_once(), held_points(repository.objects)
    places = forgotten_places(repository.objects)
    untrue = _untrue(repository, _newest(repository, points, places))
    recorded = {place.point for place in places if place not in untrue}
    open_ids = (named | held) - {point.id for point in points} - recorded
    given_up = {(place.tag, place.sequence): place.stored_at for place in places if place.point == LOST}
    with ThreadPoolExecutor(READERS) as pool:
        told = list(pool.map(lambda each: _subject(repository, each), sorted(open_ids & named)))
    known = [each for each in told if each is not None]
    own = [each for each in own_points(repository, points) if each.point not in recorded]
    known += [each for each in own if each.point not in {proven.point for proven in known}]
    subjects = tuple(each for each in known if _is_gone(repository, each, given_up))
    left = (open_ids & held) - {each.point for each in known} if not damaged else set()
    return Losses(
        sorted_subjects(subjects),
        tuple(point for point in sorted(left) if _truly_held(repository, point)),
        _gaps(repository, points, subjects, places) if complete and not damaged else (),
        tuple(untrue.values()),
        frozenset(each.point for each in own),
    )


def own_points(repository: Repository, points: Iterable[RecoveryPoint]) -> list[ProvenPoint]:
    """The points that this host stored in this repository and that are not among the `points`. Only its notes tell of
    them: an older state of the store hides them together with their proofs. Points of sources without any name, which
    are neither in the plan nor in the repository, are left out."""
    here = list(points)
    hashed, known = repository.cipher.hash, repository.known
    sources = {source_tag(name, hashed): name for name in {*known.sources, *(each.source for each in here)}}
    present = {each.id for each in here}
    return [
        ProvenPoint(each.id, sources[each.tag], each.sequence, each.window, each.captured_at)
        for each in known.own_points()
        if each.id not in present and each.tag in sources
    ]


def newest_own_gone(repository: Repository, source: str, points: Sequence[RecoveryPoint]) -> list[str]:
    """A sentence for each point that this host stored of a source and that is gone, if the newest of them is not among
    the `points`, which are all that can be read. The ledger is read only then."""
    tag = source_tag(source, repository.cipher.hash)
    newest = next((each for each in reversed(repository.known.own_points()) if each.tag == tag), None)
    if newest is None or newest.id in {point.id for point in points}:
        return []
    gone = own_gone(repository, source, points)
    return Losses(gone, own=frozenset(each.point for each in gone)).texts()


def own_gone(
    repository: Repository, source: str | None, points: Iterable[RecoveryPoint]
) -> tuple[ProvenPoint, ...]:
    """The points that this host stored, of a source or of all, and that are gone without a record. `points` are all
    that can be read. It takes one listing, and only if there may be such points."""
    own = [each for each in own_points(repository, points) if source in (None, each.source)]
    if not own:
        return ()
    places = forgotten_places(repository.objects, source)
    recorded = {place.point for place in places}
    given_up = {(place.tag, place.sequence): place.stored_at for place in places if place.point == LOST}
    left = [each for each in own if each.point not in recorded]
    return sorted_subjects(each for each in left if _is_gone(repository, each, given_up))


def sorted_subjects(subjects: Iterable[ProvenPoint]) -> tuple[ProvenPoint, ...]:
    return tuple(sorted(subjects, key=lambda each: (each.source, each.sequence, each.point)))


def _subject(repository: Repository, point: str) -> ProvenPoint | None:
    """By the newest of its proofs that is authentic and tells."""
    for key in reversed(repository.proofs.keys(point)):
        try:
            if found := repository.proofs.subject(key):
                return found
        except DamageError:
            continue
    return None


def _is_gone(
    repository: Repository, subject: ProvenPoint, given_up: Mapping[tuple[str, int], datetime]
) -> bool:
    """By a look at its place: a listing may be late, and what is there and damaged is not lost."""
    hashed = repository.cipher.hash
    at = given_up.get((source_tag(subject.source, hashed), subject.sequence))
    if at is not None and subject.captured_at <= at:
        return False
    key = ManifestKey.of(subject.source, subject.sequence, hashed)
    try:
        stored = repository.store.get(key)
    except NotFoundError:
        return True
    try:
        point = decode_manifest(key, repository.cipher.unwrap(key, stored), repository.objects.codec)
    except DamageError:
        return False
    return point.id != subject.point


def _truly_held(repository: Repository, point: str) -> bool:
    holds = read_holds(repository.objects, point).get(point, [])
    return any(not hold.damaged and not hold.released_at for hold in holds)


def _gaps(
    repository: Repository,
    points: Sequence[RecoveryPoint],
    subjects: Iterable[ProvenPoint],
    places: Sequence[ForgottenPlace],
) -> tuple[str, ...]:
    sources = {point.source for point in points} | {each.source for each in subjects}
    known = [ChainLink(each.source, each.sequence, each.point) for each in subjects]
    return tuple(chain_gaps(points, [*links_of(repository.objects, places, sources), *known]))


def _untrue(repository: Repository, places: Iterable[ForgottenPlace]) -> dict[ForgottenPlace, str]:
    """What is wrong with those of some records that are altered: they account for no point."""
    errors = {place: read_forgotten(repository.objects, [place])[1] for place in places}
    return {place: found[0].message for place, found in errors.items() if found}


def _newest(
    repository: Repository, points: Iterable[RecoveryPoint], places: Sequence[ForgottenPlace]
) -> list[ForgottenPlace]:
    """Records above the highest point of their source, which is never forgotten, only given up."""
    highest: dict[str, int] = {}
    for point in points:
        tag = source_tag(point.source, repository.cipher.hash)
        highest[tag] = max(point.sequence, highest.get(tag, 0))
    found = [place for place in places if place.sequence > highest.get(place.tag, 0)]
    return sorted(found, key=lambda place: place.stored_at)[-RECORDS_READ:]
