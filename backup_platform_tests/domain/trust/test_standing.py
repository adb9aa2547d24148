from __future__ import annotations

import itertools

import pytest

from backup_platform.domain.model import Proof, ProofMethod
from backup_platform.domain.trust.standing import State, standing
from backup_platform_tests.cli.fake import make_point, make_problems, make_proof

POINT = make_point()
PARTIAL = make_point(**make_problems(1))
DRILL, VERIFY = ProofMethod.DRILL, ProofMethod.VERIFY


def proofs(*verdicts: tuple[ProofMethod, bool]) -> list[Proof]:
    return [make_proof(POINT, method, passed=passed, hours=i) for i, (method, passed) in enumerate(verdicts)]


@pytest.mark.parametrize(
    ("verdicts", "state"),
    [
        ([], State.UNPROVEN),
        ([(VERIFY, True)], State.VERIFIED),
        ([(DRILL, True)], State.PROVEN),
        ([(DRILL, True), (VERIFY, True)], State.PROVEN),
        ([(DRILL, False)], State.FAILED),
        ([(DRILL, True), (DRILL, False)], State.FAILED),
        ([(DRILL, False), (DRILL, True)], State.PROVEN),
        ([(DRILL, False), (VERIFY, True)], State.FAILED),
        ([(VERIFY, False), (VERIFY, True)], State.VERIFIED),
        ([(VERIFY, False), (DRILL, True)], State.PROVEN),
        ([(DRILL, True), (VERIFY, False)], State.FAILED),
        ([(DRILL, True), (VERIFY, False), (VERIFY, True)], State.PROVEN),
        ([(DRILL, False), (VERIFY, False), (VERIFY, True)], State.FAILED),
    ],
)
def test_the_state_of_a_point(verdicts: list[tuple[ProofMethod, bool]], state: State) -> None:
    assert standing(POINT, proofs(*verdicts)).state is state


def test_the_order_of_the_records_does_not_matter() -> None:
    recorded = proofs((DRILL, True), (VERIFY, False), (VERIFY, True))
    states = {standing(POINT, order).state for order in itertools.permutations(recorded)}
    assert states == {State.PROVEN}


def test_the_time_shown_is_that_of_the_last_proof_that_decided() -> None:
    recorded = proofs((DRILL, True), (DRILL, True), (VERIFY, True))
    assert standing(POINT, recorded).proof == recorded[1]


def test_an_incomplete_point_is_never_proven() -> None:
    assert standing(PARTIAL, proofs((DRILL, True))).state is State.INCOMPLETE
    assert standing(PARTIAL, proofs((DRILL, False))).state is State.FAILED


def test_nothing_but_a_passed_drill_proves() -> None:
    verdicts = list(itertools.product((DRILL, VERIFY), (True, False)))
    for length in range(4):
        for combination in itertools.product(verdicts, repeat=length):
            if standing(POINT, proofs(*combination)).state is State.PROVEN:
                assert (DRILL, True) in combination
                last_drill = [passed for method, passed in combination if method is DRILL][-1]
                assert last_drill
