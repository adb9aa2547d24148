"""What a point took on trust, and what is left of it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from backup_platform.domain.model import OnTrust, ProofMethod, Unvouched
from backup_platform.domain.trust.vouching import Vouched, unvouched_bytes
from backup_platform_tests.cli.fake import make_point, make_proof

ONE, TWO = OnTrust("1" * 64, "a" * 32, 100), OnTrust("2" * 64, "b" * 32, 20)
POINT = replace(make_point(), unvouched=Unvouched(150, (ONE, TWO)))
OLD = make_point()


@pytest.mark.parametrize(
    ("vouched", "left"),
    [
        (Vouched(), 150),
        (Vouched({ONE.pack: ONE.table}), 50),
        (Vouched({ONE.pack: ONE.table, TWO.pack: TWO.table}), 30),
        (Vouched({ONE.pack: TWO.table}), 150),
        (Vouched({"3" * 64: ONE.table}), 150),
        (Vouched(points={POINT.id}), 0),
        (Vouched(points={"another"}), 150),
    ],
)
def test_a_pack_counts_as_decoded_only_with_what_its_index_said(vouched: Vouched, left: int) -> None:
    assert unvouched_bytes(POINT, vouched, ()) == left


def test_a_drill_that_passed_last_vouches_for_the_point_and_a_verify_does_not() -> None:
    drill = [
        make_proof(POINT, ProofMethod.DRILL, passed=passed, hours=n) for n, passed in enumerate([True, False])
    ]
    assert unvouched_bytes(POINT, Vouched(), drill[:1]) == 0
    assert unvouched_bytes(POINT, Vouched(), drill) == 150
    assert unvouched_bytes(POINT, Vouched(), [make_proof(POINT, ProofMethod.VERIFY)]) == 150


def test_of_a_point_without_a_count_nothing_is_known() -> None:
    assert unvouched_bytes(OLD, Vouched(), ()) is None
    assert unvouched_bytes(OLD, Vouched(points={OLD.id}), ()) == 0
    assert unvouched_bytes(OLD, Vouched(), [make_proof(OLD, ProofMethod.DRILL)]) == 0
