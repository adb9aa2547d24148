"""The state of a recovery point, from its recorded proofs. Only a drill makes a point proven."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from backup_platform.domain.model import Proof, ProofMethod


class State(StrEnum):
    """Values are stable: they appear in JSON."""

    FAILED = "failed"  # the last drill, or a verify since the last good drill, found a difference
    SUSPECT = "suspect"  # it looks emptied or shrunk, and nobody has accepted it; no proof changes that
    INCOMPLETE = "incomplete"  # something of the source is not in it; no proof changes that
    PROVEN = "proven"  # the last drill passed
    VERIFIED = "verified"  # the last verify passed; never drilled
    UNPROVEN = "unproven"


class JudgedPoint(Protocol):
    """What decides besides its proofs."""

    @property
    def incomplete(self) -> bool: ...

    @property
    def is_suspect(self) -> bool: ...


@dataclass(frozen=True, slots=True)
class Standing:
    """`proof` is the proof that decided. None if no proof of the point counts."""

    state: State
    proof: Proof | None = None


def standing(point: JudgedPoint, proofs: Iterable[Proof]) -> Standing:
    """The state of a point, judged in this order: failed, suspect, incomplete, proven, verified, unproven.

    A failure stands until a later proof of the same strength or more passes: a drill clears both, a verify
    only a verify (one that read less than everything is not recorded as passed).
    """
    ordered = sorted(proofs, key=lambda proof: proof.at)
    failed = _standing_failure(ordered)
    if failed is not None:
        return Standing(State.FAILED, failed)
    drill = _last_passed(ordered, ProofMethod.DRILL)
    verify = _last_passed(ordered, ProofMethod.VERIFY)
    if point.is_suspect:
        return Standing(State.SUSPECT, drill or verify)
    if point.incomplete:
        return Standing(State.INCOMPLETE, drill or verify)
    if drill is not None:
        return Standing(State.PROVEN, drill)
    return Standing(State.VERIFIED, verify) if verify is not None else Standing(State.UNPROVEN)


def _standing_failure(ordered: list[Proof]) -> Proof | None:
    failed: dict[ProofMethod, Proof] = {}
    for proof in ordered:
        if not proof.passed:
            failed[proof.method] = proof
        elif proof.method is ProofMethod.DRILL:
            failed.clear()
        else:
            failed.pop(proof.method, None)
    return max(failed.values(), key=lambda proof: proof.at, default=None)


def _last_passed(ordered: list[Proof], method: ProofMethod) -> Proof | None:
    return next((proof for proof in reversed(ordered) if proof.method is method and proof.passed), None)
