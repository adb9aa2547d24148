"""The proofs of a repository, of which only those are judged that somebody asks for; and how long drills took."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence

from backup_platform.domain.model import Proof, ProofMethod
from backup_platform.domain.ports import StoredObject
from backup_platform.domain.status.objectives import RECENT, DrillRun
from backup_platform.domain.status.outline import PointOutline
from backup_platform.domain.trust.standing import State, standing
from backup_platform.errors import DamageError
from backup_platform.repository.objects.names import PROOFS
from backup_platform.repository.records.proofs import proofs_of
from backup_platform.repository.repository import Repository

DRILLS = "\ndrills"  # the name of their note; no source is called so
_ID = slice(len(PROOFS), len(PROOFS) + 64)  # of the point, in the key of a proof


class ListedProofs:
    """From one listing. Verdicts are told by names; only how long a drill took is in its body, which is read once."""

    def __init__(self, repository: Repository) -> None:
        self._repository = repository
        self._listed = defaultdict[str, list[StoredObject]](list)
        for found in repository.store.list(PROOFS):
            self._listed[found.key[_ID]].append(found)
        noted = repository.notes.read(DRILLS)
        self._noted: dict[str, object] = noted if isinstance(noted, dict) else {}
        self._used: dict[str, float] = {}

    def of(self, point: str) -> list[Proof]:
        """The verdicts of a point that count, oldest first."""
        return [proof for _, proof in self._keyed(point)]

    def failed(self, points: Iterable[PointOutline]) -> list[PointOutline]:
        """Those of which a proof found a difference that stands."""
        doubtful = (point for point in points if self._has_failure(point.id))
        return [point for point in doubtful if standing(point, self.of(point.id)).state is State.FAILED]

    def drills(self, points: Sequence[PointOutline]) -> list[DrillRun]:
        """The last drills that passed, of some points, oldest sequence first."""
        found: list[DrillRun] = []
        for point in reversed(points):
            found += self._drills_of(point)
            if len(found) >= RECENT:
                break
        return sorted(found, key=lambda each: each.at)[-RECENT:]

    def note(self) -> None:
        """Keep what was read, for the next time."""
        if self._used != self._noted:
            self._repository.notes.write(DRILLS, {**self._used})

    def _drills_of(self, point: PointOutline) -> Iterator[DrillRun]:
        for key, proof in self._keyed(point.id):
            if proof.method is ProofMethod.DRILL and proof.passed:
                duration = self._duration(key)
                if duration is not None:
                    yield DrillRun(proof.at, duration, point.source_bytes)

    def _duration(self, key: str) -> float | None:
        known = self._noted.get(key)
        if isinstance(known, int | float):
            self._used[key] = float(known)
            return float(known)
        try:
            self._used[key] = self._repository.proofs.read(key).duration_s
        except DamageError:
            return None
        return self._used[key]

    def _keyed(self, point: str) -> list[tuple[str, Proof]]:
        records = sorted(self._repository.objects.names.all(self._listed.get(point, ())))
        return [(record.key, proof) for record, proof in proofs_of(records)]

    def _has_failure(self, point: str) -> bool:
        return any("-failed-" in found.key for found in self._listed.get(point, ()))
