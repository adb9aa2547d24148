"""Points that nobody forgot and nothing brings back: that they are gone is recorded, so that the others go on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

from backup_platform.domain.ports import Clock
from backup_platform.errors import UsageError
from backup_platform.repository.forgotten import forgotten_places, record_lost
from backup_platform.repository.holds import read_holds
from backup_platform.repository.repository import Repository
from backup_platform.repository.store_clock import store_now


@dataclass(frozen=True, slots=True)
class LostPoint:
    """A place in the chain of a source. `damage` says why its manifest cannot be read; empty when there is none."""

    source: str
    sequence: int
    damage: str = ""
    key: str = ""  # of the damaged manifest


@dataclass(frozen=True, slots=True)
class GivingUp:
    """Of one repository. What is read within `evidence` comes from the store itself."""

    repository: Repository
    clock: Clock
    evidence: Callable[[], AbstractContextManager[None]] = nullcontext

    def lost(self, source: str) -> list[LostPoint]:
        """Places below the highest that have no point which can be read, and no record. The highest one keeps its
        number from being given again: it can be given up once there is a newer point."""
        with self.evidence():
            points, errors = self.repository.readable_manifests(source, reread=True)
            stored = self.repository.stored_manifests(source)
            forgotten = {place.sequence for place in forgotten_places(self.repository, source)}
        present = {int(key[-10:]): key for key in stored if key[-10:].isdecimal()}
        readable = {point.sequence for point in points}
        found = []
        for sequence in sorted(set(range(1, max(present, default=0))) - readable):
            key = present.get(sequence, "")
            damage = next((error.message for error in errors if key and key in error.message), "")
            if damage or (not key and sequence not in forgotten):
                found.append(LostPoint(source, sequence, damage, key))
        return found

    def run(self, lost: Sequence[LostPoint]) -> list[LostPoint]:
        """Record that they are gone for good, and delete the manifests that cannot be read; what was given up.

        They are looked at again: what came back meanwhile stays. Raises UsageError while one of those that cannot be
        read may be of a point that is held.
        """
        if any(point.key for point in lost):
            self._require_free()
        still = {source: self.lost(source) for source in {point.source for point in lost}}
        given_up = []
        for point in lost:
            # Before each deletion anew: a repair may be under way.
            if point not in (self.lost(point.source) if point.key else still[point.source]):
                continue
            record_lost(self.repository, point.source, point.sequence, self.clock.now())
            if point.key:
                self.repository.store.delete(point.key)
            given_up.append(point)
        return given_up

    def _require_free(self) -> None:
        here = {point.id for point in self.repository.readable_manifests()[0]}
        now = store_now(self.repository.store)
        held = [
            hold
            for point, holds in read_holds(self.repository).items()
            for hold in holds
            if point not in here and hold.in_force(now)
        ]
        if held:
            raise UsageError(
                f"{held[0].point[:12]} is held ({held[0]}), and may be what cannot be read.",
                hint=f"Take it from a copy (`repair`), or end the hold: `release {held[0].point[:12]} --reason …`.",
            )
