"""The rule of copies: how many, where, and by when."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from backup_platform.actions.checks.copies import copies_in_place
from backup_platform.domain.keep.copies import CopyRule, Holding, InPlace, judge_copies

AT = datetime(2026, 11, 22, 2, 15, tzinfo=UTC)
DAY = timedelta(days=1)
RULE = CopyRule(number=2, places=2, within=DAY)

holdings = st.lists(
    st.builds(
        Holding,
        st.uuids().map(str),
        st.sampled_from(["here", "there", "far"]),
        st.none() | st.booleans(),
        st.booleans(),
    ),
    max_size=5,
)


def test_a_point_has_time_to_be_copied_and_then_is_late() -> None:
    alone = [Holding("main", "here", True), Holding("offsite", "there", False)]
    assert judge_copies(RULE, alone, AT, AT + DAY - timedelta(seconds=1)).verdict is InPlace.NOT_YET
    late = judge_copies(RULE, alone, AT, AT + DAY)
    assert (late.verdict, late.lacking) == (InPlace.NO, ("offsite",))
    check = copies_in_place(RULE, late)
    assert (check.passed, check.ran, check.severity) == (False, True, "error")
    assert (
        check.summary
        == "in main, at here; the plan asks for 2 repositories in 2 places, by 2026-11-23 02:15 UTC"
    )


def test_enough_repositories_in_one_place_are_not_enough() -> None:
    both = [Holding("main", "here", True), Holding("second", "here", True)]
    assert judge_copies(RULE, both, AT, AT + DAY).verdict is InPlace.NO


def test_a_repository_that_does_not_answer_proves_nothing() -> None:
    state = judge_copies(
        RULE, [Holding("main", "here", True), Holding("offsite", "there", None)], AT, AT + DAY
    )
    assert (state.verdict, state.silent) == (InPlace.NO, ("offsite",))
    assert "offsite did not answer" in copies_in_place(RULE, state).summary


def test_what_retention_let_go_elsewhere_is_no_lack() -> None:
    state = judge_copies(
        RULE, [Holding("main", "here", True), Holding("offsite", "there", False, forgot=True)], AT, AT + DAY
    )
    assert (state.verdict, state.lacking) == (InPlace.YES, ())


@given(holdings, st.integers(1, 4), st.integers(1, 3), st.integers(0, 48))
def test_a_verdict_never_comes_from_more_than_what_is_held(
    found: list[Holding], number: int, places: int, hours: int
) -> None:
    rule = CopyRule(number, places, DAY)
    state = judge_copies(rule, found, AT, AT + timedelta(hours=hours))
    held = [each for each in found if each.holds or each.forgot]
    enough = len(held) >= number and len({each.place for each in held}) >= places
    assert (state.verdict is InPlace.YES) == enough
    assert (state.verdict is InPlace.NOT_YET) == (not enough and hours < 24)
    assert len(state.repositories) + len(state.lacking) + len(state.silent) == len(found)
