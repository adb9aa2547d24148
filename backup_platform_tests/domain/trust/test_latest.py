"""What `latest` means: the last stored that is worth something, whatever the clocks of the writers said."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from backup_platform.domain.model import Content, RecoveryPoint, Stats, StreamRef, Window
from backup_platform.domain.trust.latest import SKEW, Choice, choose_latest, in_time

START = datetime(2026, 11, 22, tzinfo=UTC)
DAY = timedelta(days=1)


def point(sequence: int, day: float, **changes: Any) -> RecoveryPoint:
    start = START + day * DAY
    settings: dict[str, Any] = {
        "stored_at": start + timedelta(hours=1),
        "incomplete": False,
        "suspect": (),
        "stats": Stats(),
        **changes,
    }
    return RecoveryPoint(
        id=f"{sequence:064x}",
        sequence=sequence,
        predecessor="",
        source="docs",
        kind="files",
        window=Window(f"{start:%Y-%m-%dT%H}", start, start + DAY),
        timezone="UTC",
        captured_at=start,
        committed_at=start,
        lateness_s=0.0,
        problem_count=0,
        problems=(),
        facts={},
        inventory=StreamRef(0, Content()),
        versions={},
        **settings,
    )


def number(choice: Choice) -> int | None:
    return choice.point.sequence if choice.point else None


def test_a_clock_that_was_ahead_does_not_decide() -> None:
    """Stored today, and its window is one of next year: neither before nor after the right ones were stored."""
    ahead = {"stored_at": START + timedelta(hours=1)}
    first = choose_latest([point(1, 400, **ahead), point(2, 0)])
    last = choose_latest([point(1, 0), point(2, 400, **ahead)])
    assert (number(first), number(last)) == (2, 1)
    assert "a clock was ahead" in str(first.skipped[0])
    assert not first.newer, "a right one was stored since"
    assert [each.point.sequence for each in last.newer] == [2]


def test_clocks_that_differ_a_little_are_in_order() -> None:
    assert in_time(point(1, 0, stored_at=START - SKEW))
    assert not in_time(point(1, 0, stored_at=START - SKEW - timedelta(seconds=1)))


def test_when_all_windows_are_ahead_the_last_stored_is_meant() -> None:
    """The clock of the store is wrong, or nothing has been stored since that of the writer was."""
    assert number(choose_latest([point(n, n, stored_at=START - DAY) for n in (1, 2)])) == 2


def test_a_late_capture_of_an_older_window_shows_the_newer_data() -> None:
    assert number(choose_latest([point(1, 1), point(2, 0, stored_at=START + 2 * DAY)])) == 2


def test_the_order_of_a_copy_does_not_matter() -> None:
    """It receives the newest point first."""
    copied = [point(n, n, stored_at=START + 100 * DAY - n * DAY) for n in (1, 2, 3)]
    assert number(choose_latest(copied)) == 3


def test_a_suspect_point_is_never_meant_until_it_is_accepted() -> None:
    emptied = point(2, 1, suspect=("it is empty",))
    found = choose_latest([point(1, 0), emptied])
    assert number(found) == 1
    assert "suspect: it is empty" in str(found.skipped[0])
    assert choose_latest([emptied]) == Choice(None, choose_latest([emptied]).skipped)
    assert (
        number(
            choose_latest([point(1, 0), point(2, 1, suspect=("it is empty",), accepted="as it should be")])
        )
        == 2
    )


POINTS = st.lists(
    st.tuples(st.integers(0, 30), st.integers(-3, 20), st.booleans(), st.booleans(), st.booleans()),
    max_size=8,
)


@given(POINTS)
def test_latest_is_never_suspect_and_neither_ahead_nor_incomplete_if_another_is_not(
    drawn: Sequence[tuple[int, int, bool, bool, bool]],
) -> None:
    points = [
        point(
            sequence,
            day,
            stored_at=START + (day + shift) * DAY,
            incomplete=incomplete,
            suspect=("empty",) if suspect else (),
            accepted="yes" if accepted else "",
        )
        for sequence, (day, shift, incomplete, suspect, accepted) in enumerate(drawn, 1)
    ]
    choice = choose_latest(points)
    sound = [p for p in points if not p.incomplete and not p.is_suspect and in_time(p)]
    if sound:
        assert choice.point == sound[-1]
    elif choice.point is not None:
        assert not choice.point.is_suspect
    else:
        assert all(p.is_suspect for p in points)
    passed_over = {each.point.id for each in choice.skipped}
    newer = {p.id for p in points if choice.point is None or p.sequence > choice.point.sequence}
    assert newer <= passed_over, "everything newer is told"
