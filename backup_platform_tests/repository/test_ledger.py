"""Proofs: what the key tells and what the body says are one, and nothing else passes for a proof."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backup_platform.domain.model import Proof, ProofMethod
from backup_platform.errors import DamageError
from backup_platform.repository.objects.canonical import sign
from backup_platform.repository.objects.documents import Codec
from backup_platform.repository.objects.names import PROOFS
from backup_platform.repository.records.proofs import decode_proof, encode_proof, parse_proof_key
from backup_platform_tests.support import START, Bench

POINT = "ab" * 32
PROOFS_ANY = st.builds(
    Proof,
    point=st.just(POINT),
    method=st.sampled_from(ProofMethod),
    passed=st.booleans(),
    at=st.datetimes(
        datetime(1970, 1, 1),
        datetime(9998, 12, 31),
        timezones=st.sampled_from([UTC]),
    ),
    duration_s=st.floats(0, 1e6),
    detail=st.dictionaries(
        st.text(), st.one_of(st.none(), st.booleans(), st.integers(), st.text()), max_size=4
    ),
)


@given(proof=PROOFS_ANY)
def test_round_trip(proof: Proof) -> None:
    key, data = encode_proof(proof, CODEC)
    assert decode_proof(key, data, CODEC) == proof
    assert parse_proof_key(key) == replace(proof, duration_s=0.0, detail={})


CODEC = Codec("repo")
PROOF = Proof(POINT, ProofMethod.VERIFY, True, START, 1.5, {"packs_read": 3})


@pytest.mark.parametrize(
    "change",
    [
        ("verify", "drill"),
        ("passed", "failed"),
        ("abab", "cdab"),
        ("20261122", "20261123"),
        ("021500", "031500"),
    ],
)
def test_a_proof_that_was_moved_is_refused(change: tuple[str, str]) -> None:
    """A verify is no drill, a failure no success, and an old proof no new one."""
    key, data = encode_proof(PROOF, CODEC)
    moved = key.replace(change[0], change[1], 1)
    assert parse_proof_key(moved)
    with pytest.raises(DamageError, match="belongs elsewhere"):
        decode_proof(moved, data, CODEC)


def test_an_altered_proof_is_refused() -> None:
    key, data = encode_proof(replace(PROOF, passed=False), CODEC)
    for broken in (data.replace(b"false", b"true"), data[:-1], data[:10], b"", data + b"\n"):
        with pytest.raises(DamageError):
            decode_proof(key, broken, CODEC)


@pytest.mark.parametrize("field", ["at", "method", "passed", "point", "duration_s", "detail"])
def test_a_proof_that_lacks_a_field_is_refused(field: str) -> None:
    import json

    key, data = encode_proof(PROOF, CODEC)
    document = json.loads(data.split(b"\n")[0])
    del document[field]
    with pytest.raises(DamageError):
        decode_proof(key, sign(document)[1], CODEC)


@pytest.mark.parametrize(
    "name",
    [
        "",
        ".DS_Store",
        f"{POINT}",
        f"{POINT}/20261122T021500.000000Z-verify-passed",
        f"{POINT}/20261122T021500.000000Z-guess-passed-01234567",
        f"{POINT}/20261322T021500.000000Z-verify-passed-01234567",
        f"{POINT}/2026Z-verify-passed-01234567",
        f"{POINT[:-1]}/20261122T021500.000000Z-verify-passed-01234567",
    ],
)
def test_other_objects_are_no_proofs(name: str) -> None:
    assert parse_proof_key(PROOFS + name) is None


def test_proofs_of_a_repository_are_in_order(bench: Bench) -> None:
    repository = bench.open()
    for minutes in (5, 1, 3):
        repository.proofs.record(replace(PROOF, at=START + timedelta(minutes=minutes)))
    repository.proofs.record(replace(PROOF, point="cd" * 32, passed=False))
    (bench.root / PROOFS / "stray").write_text("not a proof")
    assert [proof.at.minute for proof in repository.proofs.by_point()[POINT]] == [16, 18, 20]
    assert [proof.detail for proof in repository.proofs.details(POINT)] == [PROOF.detail] * 3
    assert not repository.proofs.by_point()["cd" * 32][0].passed


def test_two_proofs_of_one_instant_are_both_kept(bench: Bench) -> None:
    repository = bench.open()
    repository.proofs.record(PROOF)
    repository.proofs.record(PROOF)
    assert len(repository.proofs.by_point()[POINT]) == 2
