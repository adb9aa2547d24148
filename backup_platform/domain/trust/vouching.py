"""How much of a recovery point was never decoded by anybody who can read it. Standard library only."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from backup_platform.domain.model import Proof, ProofMethod, RecoveryPoint


@dataclass(frozen=True, slots=True)
class Vouched:
    """What was decoded since it was written: packs, with the hash of their rows by their id, and points as a whole."""

    tables: Mapping[str, str] = field(default_factory=dict)
    points: Collection[str] = ()


def unvouched_bytes(point: RecoveryPoint, vouched: Vouched, proofs: Iterable[Proof]) -> int | None:
    """Bytes that the point's writer did not check at the commit, and that nobody has decoded since. None means
    unknown. A pack counts as decoded only if it holds what the index said at that time. A drill restores the whole
    point."""
    if point.id in vouched.points or _drilled(proofs):
        return 0
    if point.unvouched is None:
        return None
    decoded = (each.size for each in point.unvouched.packs if vouched.tables.get(each.pack) == each.table)
    return point.unvouched.size - sum(decoded)


def _drilled(proofs: Iterable[Proof]) -> bool:
    drills = [proof for proof in proofs if proof.method is ProofMethod.DRILL]
    return bool(drills) and max(drills, key=lambda proof: proof.at).passed
