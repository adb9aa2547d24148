"""The ledger: what was proven, and when (FORMAT.md §8)."""

from __future__ import annotations

import re
import secrets
from datetime import UTC, datetime

from backup_platform.domain.model import Proof, ProofMethod
from backup_platform.domain.ports import Buffer
from backup_platform.errors import DamageError
from backup_platform.repository.format import PROOFS, sign, unsign

TIME = "%Y%m%dT%H%M%S.%fZ"
KEY = re.compile(
    rf"{PROOFS}(?P<point>[0-9a-f]{{64}})/(?P<at>[0-9T.]+Z)-(?P<method>verify|drill)-(?P<verdict>passed|failed)-[0-9a-f]{{8}}"
)


def encode_proof(proof: Proof) -> tuple[str, bytes]:
    """Key and bytes of a ledger entry."""
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
        }
    )
    return key, data


def parse_proof_key(key: str) -> Proof | None:
    """What the key of an entry tells; None for an object that is no proof."""
    match = KEY.fullmatch(key)
    if not match:
        return None
    at = datetime.strptime(match["at"], TIME).replace(tzinfo=UTC)
    return Proof(match["point"], ProofMethod(match["method"]), match["verdict"] == "passed", at, 0.0)


def decode_proof(key: str, data: Buffer) -> Proof:
    """Raises DamageError when the entry is altered or says something else than its key."""
    _, document = unsign(key, data)
    told = parse_proof_key(key)
    if told is None or document["point"] != told.point or document["passed"] != told.passed:
        raise DamageError(f"The ledger entry {key} belongs elsewhere.")
    detail = document["detail"] if isinstance(document["detail"], dict) else {}
    duration = document["duration_s"]
    return Proof(
        told.point,
        told.method,
        told.passed,
        told.at,
        float(duration) if isinstance(duration, int | float) else 0.0,
        detail,
    )
