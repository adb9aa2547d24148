"""What a repository says of all its points at once: a few listings, however many sources it has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from hashlib import blake2b
from itertools import groupby
from typing import TYPE_CHECKING

from backup_platform.domain.model import Proof, RecoveryPoint
from backup_platform.orchestration.sensors import presence
from backup_platform.repository.objects.names import source_tag
from backup_platform.repository.records.forgotten import ForgottenPlace, ForgottenPoint, read_forgotten

if TYPE_CHECKING:
    from backup_platform.app import App
    from backup_platform.repository.records.proofs import ProvenPoint

MOST_GONE = 500  # windows without a point of one source: each takes Dagster some 10 ms


@dataclass(frozen=True)
class Answer:
    """`points` by source in the order of the chain, `proofs` by point id, and `now`: when it was asked. `places` are of
    forgotten points, and `unreadable` says what is wrong with damaged manifests."""

    app: App
    now: datetime
    points: Mapping[str, list[RecoveryPoint]]
    proofs: Mapping[str, Sequence[Proof]]
    places: Sequence[ForgottenPlace]
    unreadable: Sequence[str]
    _read: dict[str, ForgottenPoint] = field(default_factory=dict, repr=False)

    @cached_property
    def ids(self) -> frozenset[str]:
        return frozenset(point.id for points in self.points.values() for point in points)

    @cached_property
    def forgotten(self) -> frozenset[str]:
        """Ids of points that were forgotten here."""
        return frozenset(place.point for place in self.places)

    def forgotten_of(self, source: str) -> list[ForgottenPoint]:
        """The newest forgotten points of a source whose windows have no point any more, oldest first."""
        kept = {point.window.key for point in self.points.get(source, [])}
        found = [each for each in self._records(source) if each.window.key not in kept]
        return sorted(found, key=lambda each: each.window.start)[-MOST_GONE:]

    def _records(self, source: str) -> list[ForgottenPoint]:
        places = self._places_of(source)[-2 * MOST_GONE :]
        unread = [place for place in places if place.point not in self._read]
        self._read.update(
            {each.point: each for each in read_forgotten(self.app.repository.objects, unread)[0]}
        )
        return [self._read[place.point] for place in places if place.point in self._read]

    def _places_of(self, source: str) -> list[ForgottenPlace]:
        tag = source_tag(source, self.app.repository.cipher.hash)
        return [place for place in self.places if place.tag == tag]

    @cached_property
    def lost(self) -> Sequence[ProvenPoint]:
        """Points that the ledger proves to have been here."""
        from backup_platform.actions.forget.lost import find_losses

        every = [point for points in self.points.values() for point in points]
        whole = self.app.bound.is_first
        return find_losses(self.app.repository, every, self.unreadable, complete=whole).subjects

    def digest(self, source: str) -> str:
        """What changes when anything changes that is known of a source."""
        points = self.points.get(source, [])
        told = [
            (p.id, p.accepted, [(q.at, q.passed, q.method) for q in self.proofs.get(p.id, ())])
            for p in points
        ]
        gone = [place.key for place in self._places_of(source)]
        return blake2b(repr((told, gone, len(self.unreadable))).encode(), digest_size=8).hexdigest()


def ask(app: App, read: dict[str, ForgottenPoint] | None = None) -> Answer:
    """Ask the repository that `app` is bound to. `read` keeps records that were read, for the next time.

    Raises RepositoryError, also where it is gone after the answer: an unmounted disk has no points.
    """
    from backup_platform.actions.evidence import Evidence
    from backup_platform.repository.records.forgotten import forgotten_places

    presence.answering(app)
    repository = app.repository
    points, errors = repository.points.readable()
    answer = Answer(
        app,
        app.clock.now(),
        {source: list(each) for source, each in groupby(points, key=lambda point: point.source)},
        Evidence(repository).proofs()[0],
        forgotten_places(repository.objects),
        [error.message for error in errors],
        {} if read is None else read,
    )
    presence.answering(app)
    return answer
