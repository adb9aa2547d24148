"""Proofs in the ledger: what was proven, and when (FORMAT.md §8)."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Protocol, TypeVar

from backup_platform.domain.model import Json, Proof, ProofMethod, RecoveryPoint, Window
from backup_platform.domain.ports import Buffer
from backup_platform.errors import DamageError, StoreError
from backup_platform.repository.objects.documents import Codec, Fields, window_fields
from backup_platform.repository.objects.names import PROOFS
from backup_platform.repository.objects.objects import Objects
from backup_platform.repository.objects.record_names import NAME_HASH, TIME, Origin, Record, moment_of

KEY = re.compile(
    rf"{PROOFS}(?P<point>[0-9a-f]{{64}})/(?P<at>[0-9T.]+Z)-(?P<method>verify|drill)-(?P<verdict>passed|failed)-[0-9a-f]{{8}}{NAME_HASH}"
)


@dataclass(frozen=True, slots=True)
class ProvenPoint:
    """What a proof says about its recovery point, for readers that have only the proof."""

    point: str
    source: str
    sequence: int
    window: Window
    captured_at: datetime


def subject_of(point: RecoveryPoint, repository: str) -> dict[str, Json]:
    """What a proof tells of its point, in the repository of this id."""
    return {
        "captured_at": point.captured_at.isoformat(),
        "repository": repository,
        "sequence": point.sequence,
        "source": point.source,
        "window": window_fields(point.window),
    }


def encode_proof(proof: Proof, codec: Codec, point: RecoveryPoint | None = None) -> tuple[str, bytes]:
    """What the name of a record says, and its bytes."""
    at = proof.at.astimezone(UTC)
    verdict = "passed" if proof.passed else "failed"
    says = f"{PROOFS}{proof.point}/{at.strftime(TIME)}-{proof.method}-{verdict}-{secrets.token_hex(4)}"
    fields: dict[str, Json] = {
        "at": at.isoformat(),
        "detail": dict(proof.detail),
        "duration_s": proof.duration_s,
        "method": proof.method.value,
        "passed": proof.passed,
        "point": proof.point,
    }
    subject: dict[str, Json] = {"subject": subject_of(point, codec.repository)} if point else {}
    return says, codec.sign({**fields, **subject})[1]


def parse_proof_key(key: str) -> Proof | None:
    """What the key of an entry says. None for an object that is not a proof."""
    match, at = KEY.fullmatch(key), moment_of(key)
    if not match or at is None:
        return None
    return Proof(match["point"], ProofMethod(match["method"]), match["verdict"] == "passed", at, 0.0)


def proofs_of(records: Iterable[Record]) -> Iterator[tuple[Record, Proof]]:
    """The proofs of the records that count. Anybody can have made a record of an older version: it proves nothing,
    but a failure in it counts, so that people look."""
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


def decode_proof(key: str, data: Buffer, codec: Codec) -> Proof:
    """Raises DamageError when the record is altered or says something else than its key."""
    proof = codec.unsign(key, data).decoded(_proof, "ledger entry")
    if parse_proof_key(key) != replace(proof, duration_s=0.0, detail={}):
        raise DamageError(
            f"The ledger entry {key} belongs elsewhere: its content does not match its key.", subject=key
        )
    return proof


def _proof(said: Fields) -> Proof:
    return Proof(
        point=said.text("point"),
        method=ProofMethod(said.text("method")),
        passed=said.flag("passed"),
        at=said.instant("at"),
        duration_s=float(said.values["duration_s"]),
        detail=dict(said.values["detail"]),
    )


def decode_subject(key: str, data: Buffer, codec: Codec) -> ProvenPoint | None:
    """None where the record does not tell. Raises DamageError when it is altered or of another repository."""
    proof, document = decode_proof(key, data, codec), codec.unsign(key, data)
    if document.fields.values.get("subject") is None:
        return None

    def subject(said: Fields) -> ProvenPoint:
        told = said.inner("subject")
        if told.values["repository"] != codec.repository:
            raise DamageError(f"The ledger entry {key} belongs to another repository.", subject=key)
        return ProvenPoint(
            proof.point,
            told.text("source"),
            told.count("sequence"),
            told.window("window"),
            told.instant("captured_at"),
        )

    return document.decoded(subject, "ledger entry")


@dataclass(frozen=True, slots=True)
class Proofs:
    """The proofs of one repository."""

    objects: Objects

    def record(self, proof: Proof, point: RecoveryPoint | None = None) -> None:
        """With the point that it is about, the proof tells of it also when its manifest is gone."""
        says, data = encode_proof(proof, self.objects.codec, point)
        self.objects.put(self.objects.names.name(says), data)

    def by_point(self) -> dict[str, list[Proof]]:
        """Verdicts by point id, oldest first, from a listing alone: `detail` and `duration_s` are left out."""
        return proofs_by_point(self.objects.records(PROOFS))

    def details(self, point: str) -> list[Proof]:
        """The full verdicts of one point that count, oldest first. Raises DamageError."""
        return list(self._details(self.objects.records(f"{PROOFS}{point}/")))

    def _details(self, records: Iterable[Record]) -> Iterator[Proof]:
        for record, _ in proofs_of(records):
            try:
                yield self.read(record.key)
            except DamageError:
                if record.counts:
                    raise

    def keys(self, point: str) -> list[str]:
        """Keys of verdicts about one point whose bodies may be authentic, oldest first."""
        records = self.objects.records(f"{PROOFS}{point}/")
        return [each.key for each in records if each.origin in (Origin.GENUINE, Origin.OLDER)]

    def proven_once(self) -> set[str]:
        """Ids of the points that proofs name, including proofs of older versions. Read the body of a proof before
        you act on it."""
        records = self.objects.records(PROOFS)
        told = (parse_proof_key(each.key) for each in records if each.origin is not Origin.FORGED)
        return {proof.point for proof in told if proof}

    def read(self, key: str) -> Proof:
        """Raises DamageError."""
        return decode_proof(key, self.objects.plain(key), self.objects.codec)

    def subject(self, key: str) -> ProvenPoint | None:
        """Which point a proof is about. Raises DamageError."""
        return decode_subject(key, self.objects.plain(key), self.objects.codec)


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
    """The first reason why a result could not be recorded in the ledger."""

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
