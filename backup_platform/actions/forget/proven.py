"""Which points are proven, by the bodies of the ledger's entries. Deletions rely on bodies, not on names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from backup_platform.domain.model import Proof, ProofMethod, RecoveryPoint
from backup_platform.domain.trust.standing import State, standing
from backup_platform.errors import DamageError
from backup_platform.repository.repository import Repository


@dataclass(slots=True)
class Proven:
    """Point ids. `doubts` say why the records of a point cannot be relied on, whether they are good or bad."""

    proven: set[str] = field(default_factory=set)
    verified: set[str] = field(default_factory=set)
    doubts: dict[str, str] = field(default_factory=dict)

    def learn(self, point: RecoveryPoint, proofs: Sequence[Proof], damaged: Sequence[str]) -> None:
        state = standing(point, proofs).state
        if damaged:
            self.doubts[point.id] = f"an entry of its ledger is damaged: {damaged[0]}"
        elif state in (State.PROVEN, State.VERIFIED):
            self.verified.add(point.id)
            if state is State.PROVEN:
                self.proven.add(point.id)


def newest_proven(
    repository: Repository, points: Sequence[RecoveryPoint], listed: Mapping[str, list[Proof]], wanted: int
) -> Proven:
    """The `wanted` newest points that are proven, and the newest one that is verified. Older ones are not looked at.
    `points` are the newest first. `listed` is a listing of the ledger."""
    found = Proven()
    for point in points:
        passed = {proof.method for proof in listed.get(point.id, ()) if proof.passed}
        if ProofMethod.DRILL in passed or (passed and not found.verified):
            found.learn(point, *_bodies(repository, point))
        if len(found.proven) >= wanted:
            break
    return found


def _bodies(repository: Repository, point: RecoveryPoint) -> tuple[list[Proof], list[str]]:
    proofs: list[Proof] = []
    damaged: list[str] = []
    for key in repository.proofs.keys(point.id):
        try:
            proofs.append(repository.proofs.read(key))
        except DamageError as error:
            damaged.append(error.message)
    return proofs, damaged
