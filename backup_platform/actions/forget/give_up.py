"""Giving up points that are lost and that no copy has. It is recorded that they are gone, so that checks judge only the
others."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from itertools import pairwise

from backup_platform.actions.forget.lost import find_losses
from backup_platform.advice import command
from backup_platform.domain.ports import Clock
from backup_platform.errors import UsageError
from backup_platform.repository.objects.store_clock import store_now
from backup_platform.repository.points.chains import REACH
from backup_platform.repository.records.forgotten import forgotten_places, record_gone, record_lost
from backup_platform.repository.records.holds import read_holds
from backup_platform.repository.records.proofs import ProvenPoint
from backup_platform.repository.repository import Repository


@dataclass(frozen=True, slots=True)
class LostPoint:
    """A number in the chain of a source that has no readable point. `damage` says why its manifest cannot be read;
    it is empty if there is no manifest."""

    source: str
    sequence: int
    damage: str = ""
    key: str = ""  # of the damaged manifest
    known: ProvenPoint | None = None  # what a proof tells of it


@dataclass(frozen=True, slots=True)
class LostPoints:
    """The lost points of one repository. Reads inside `evidence` come from the store itself."""

    repository: Repository
    clock: Clock
    evidence: Callable[[], AbstractContextManager[None]] = nullcontext

    def lost(self, source: str) -> list[LostPoint]:
        """Numbers below the highest one without a readable point and without a record, and points that only proofs
        know. The highest manifest keeps its number from being used again. So if it is damaged, it can only be given up
        when there is a newer point. A damaged manifest above the next number is not a point, and can be deleted at
        once."""
        with self.evidence():
            every, damaged = self.repository.points.readable(reread=True)
            losses = find_losses(self.repository, every, damaged, complete=False)
            points, errors = self.repository.points.readable(source)
            stored = self.repository.points.stored(source)
            forgotten = {place.sequence for place in forgotten_places(self.repository.objects, source)}
            following = self.repository.points.next_sequence(source)
        present = {key.sequence: key for key in stored}
        readable = {point.sequence for point in points}
        known = [each for each in losses.subjects if each.source == source]
        found = [LostPoint(source, each.sequence, known=each) for each in known]
        told = {each.sequence for each in known}
        for sequence in present.keys() - readable - told - {following - 1}:
            key = present[sequence]
            damage = next((error.message for error in errors if error.subject == key), "")
            if damage:
                found.append(LostPoint(source, sequence, damage, key))
        below = {sequence for sequence in present if sequence < following} | told
        for sequence in _gaps(below | {each for each in forgotten if each < max(below, default=0)}):
            found.append(LostPoint(source, sequence))
        return sorted(found, key=lambda each: each.sequence)

    def run(self, lost: Sequence[LostPoint]) -> list[LostPoint]:
        """Record that the points are gone for good, and delete the manifests that cannot be read. Returns what was
        given up. The points are checked again first: one that came back meanwhile stays. Raises UsageError while a lost
        point is held, or while an unreadable one may be held."""
        if any(point.key or point.known for point in lost):
            self._require_free(lost)
        still = {source: self.lost(source) for source in {point.source for point in lost}}
        given_up = []
        for point in lost:
            # Before each deletion anew: a repair may be under way.
            if point not in (self.lost(point.source) if point.key else still[point.source]):
                continue
            if point.known:
                record_gone(self.repository.objects, point.known, self.clock.now())
            elif not point.key or point.sequence < self.repository.points.next_sequence(point.source):
                record_lost(self.repository.objects, point.source, point.sequence, self.clock.now())
            if point.key:
                self.repository.store.delete(point.key)
            given_up.append(point)
        return given_up

    def _require_free(self, lost: Sequence[LostPoint]) -> None:
        here = {point.id for point in self.repository.points.readable()[0]}
        known = {point.known.point for point in lost if point.known}
        unread = any(point.key for point in lost)
        now = store_now(self.repository.store)
        held = [
            hold
            for point, holds in read_holds(self.repository.objects).items()
            for hold in holds
            if (point in known or (unread and point not in here)) and hold.in_force(now)
        ]
        if held:
            raise UsageError(
                f"{held[0].point[:12]} is held ({held[0]}), and it may be one of the lost points.",
                subject=held[0].point[:12],
                hint=(
                    "Take it from a copy (",
                    command("repair"),
                    "), or end the hold: ",
                    command("release", held[0].point[:12], "--reason", "TEXT"),
                    ".",
                ),
            )


def _gaps(places: Collection[int]) -> Iterator[int]:
    """The missing numbers between some numbers. A gap that is larger than backups leave is skipped: somebody forged
    the point above it."""
    for before, after in pairwise([0, *sorted(places)]):
        if after - before <= REACH + 1:
            yield from range(before + 1, after)
