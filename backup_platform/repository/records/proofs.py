"""Proofs in the ledger: what was proven, and when (FORMAT.md §8)."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Protocol, TypeVar

from backup_platform.domain.model import Json, Proof, ProofMethod, RecoveryPoint, Window
from backup_platform.domain.ports import Buffer
from backup_platform.errors import DamageError, StoreError
from backup_platform.repository.objects.canonical import sign, unsign
from backup_platform.repository.objects.documents import instant
from backup_platform.repository.objects.names import PROOFS, Hash, digest
from backup_platform.repository.objects.record_names import NAME_HASH, TIME, Origin, Record, moment_of

KEY = re.compile(
    rf"{PROOFS}(?P<point>[0-9a-f]{{64}})/(?P<at>[0-9T.]+Z)-(?P<method>verify|drill)-(?P<verdict>passed|failed)-[0-9a-f]{{8}}{NAME_HASH}"
)


@dataclass(frozen=True, slots=True)
class ProvenPoint:
    """The recovery point that a proof is about, as far as whoever finds the proof alone must know it."""

    point: str
    source: str
    sequence: int
    window: Window
    captured_at: datetime


def subject_of(point: RecoveryPoint, repository: str) -> dict[str, Json]:
    """What a proof tells of its point, in the repository of this id."""
    window = point.window
    return {
        "captured_at": point.captured_at.isoformat(),
        "repository": repository,
        "sequence": point.sequence,
        "source": point.source,
        "window": {"end": window.end.isoformat(), "key": window.key, "start": window.start.isoformat()},
    }


def encode_proof(
    proof: Proof, hashed: Hash = digest, subject: Mapping[str, Json] | None = None
) -> tuple[str, bytes]:
    """What the name of a ledger entry says, and its bytes."""
    at = proof.at.astimezone(UTC)
    verdict = "passed" if proof.passed else "failed"
    key = f"{PROOFS}{proof.point}/{at.strftime(TIME)}-{proof.method}-{verdict}-{secrets.token_hex(4)}"
    _, data = sign(
        {
            "at": at.isoformat(),
            "detail": dict(proof.detail),
            "duration_s": proof.duration_s,
            "method": proof.method.value,
            "passed": proof.passed,
            "point": proof.point,
            **({"subject": dict(subject)} if subject else {}),
        },
        hashed,
    )
    return key, data


def parse_proof_key(key: str) -> Proof | None:
    """What the key of an entry tells; None for an object that is no proof."""
    match, at = KEY.fullmatch(key), moment_of(key)
    if not match or at is None:
        return None
    return Proof(match["point"], ProofMethod(match["method"]), match["verdict"] == "passed", at, 0.0)


def proofs_of(records: Iterable[Record]) -> Iterator[tuple[Record, Proof]]:
    """What records tell that count. One of an older version may be anybody's: it proves nothing, and that it tells of a
    failure makes people look."""
    for record in records:
        proof = parse_proof_key(record.key)
        if proof and (record.counts or (record.origin is Origin.OLDER and not proof.passed)):
            yield record, proof


def proofs_by_point(records: Iterable[Record]) -> dict[str, list[Proof]]:
    """Verdicts that count by point id, in the order of the records."""
    found: dict[str, list[Proof]] = {}
    for _, proof in proofs_of(records):
        found.setdefault(proof.point, []).append(proof)
    return found


def decode_proof(key: str, data: Buffer, hashed: Hash = digest) -> Proof:
    """Raises DamageError when the entry is altered or says something else than its key."""
    _, document = unsign(key, data, hashed)
    told = parse_proof_key(key)
    try:
        proof = _proof(document)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise DamageError(
            f"The ledger entry {key} lacks a field or has one of another kind: {error}.", subject=key
        ) from error
    if told != replace(proof, duration_s=0.0, detail={}):
        raise DamageError(
            f"The ledger entry {key} belongs elsewhere: it says something else than its key.", subject=key
        )
    return proof


def decode_subject(key: str, data: Buffer, repository: str, hashed: Hash = digest) -> ProvenPoint | None:
    """None where the entry does not tell. Raises DamageError when it is altered or of another repository."""
    proof = decode_proof(key, data, hashed)
    told: Any = unsign(key, data, hashed)[1].get("subject")
    if told is None:
        return None
    try:
        if told["repository"] != repository:
            raise DamageError(f"The ledger entry {key} belongs to another repository.", subject=key)
        window, moment = told["window"], instant
        return ProvenPoint(
            proof.point,
            str(told["source"]),
            int(told["sequence"]),
            Window(str(window["key"]), moment(window["start"]), moment(window["end"])),
            moment(told["captured_at"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise DamageError(
            f"The ledger entry {key} lacks a field or has one of another kind: {error}.", subject=key
        ) from error


def _proof(document: Mapping[str, Any]) -> Proof:
    return Proof(
        point=document["point"],
        method=ProofMethod(document["method"]),
        passed=document["passed"],
        at=instant(document["at"]),
        duration_s=float(document["duration_s"]),
        detail=dict(document["detail"]),
    )


class HasUnrecorded(Protocol):
    @property
    def unrecorded(self) -> Unrecorded: ...


R = TypeVar("R", bound=HasUnrecorded)


def recorded(result: R) -> R:
    """The result, for who goes by the ledger afterwards. Raises StoreError when not all of it is there."""
    if error := result.unrecorded.error:
        raise error
    return result


@dataclass(slots=True)
class Unrecorded:
    """Why something of what was found out is not in the ledger: the first reason."""

    error: StoreError | None = None

    @property
    def reason(self) -> str | None:
        return self.error.message if self.error else None

    @contextmanager
    def noting(self) -> Iterator[None]:
        """Go on when the store refuses what is written inside: it is read-only, or its disk is full."""
        try:
            yield
        except StoreError as error:
            self.error = self.error or error
