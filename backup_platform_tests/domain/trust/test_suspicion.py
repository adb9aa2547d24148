"""Is a new point what its source should hold? Emptied and shrunk sources are seen; growth, variation and queues are not
alarms; and waiting changes nothing."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backup_platform.domain.model import Stats
from backup_platform.domain.trust.suspicion import (
    ENOUGH,
    LISTED,
    Amounts,
    Demands,
    baseline,
    grown,
    judge,
    suspicion,
)
from backup_platform_tests.domain.trust.test_latest import point

GB = 10**9
PLAIN = Demands()
STEADY = [GB + n * 1_000_000 for n in range(12)]


def tree(size: int, files: int = 100) -> Amounts:
    return Amounts(files if size else 0, size)


def sizes(history: Sequence[int], current: int, demands: Demands = PLAIN) -> tuple[str, ...]:
    return judge([tree(size) for size in history], tree(current), demands)


def database(**rows: int) -> Amounts:
    return Amounts(1, GB, rows)


def tables(
    history: Sequence[Mapping[str, int]], current: Mapping[str, int], **demands: Any
) -> tuple[str, ...]:
    return judge([database(**each) for each in history], database(**current), Demands(**demands))


@pytest.mark.parametrize(
    ("current", "suspect"),
    [(0, True), (1, True), (GB // 2, True), (int(GB * 0.51), False), (GB, False), (GB * 6, False)],
)
def test_nothing_and_a_half_are_suspect(current: int, suspect: bool) -> None:
    assert bool(sizes(STEADY, current)) is suspect


def test_the_reason_says_what_there_is_and_what_there_was() -> None:
    assert sizes(STEADY, GB // 4) == ("it has 250,000,000 bytes; usual are 1,005,500,000",)
    assert sizes([GB], 0) == (
        "it holds nothing (0 files with 0 bytes); the last accepted point has 100 files with 1,000,000,000 bytes",
    )


def test_waiting_accepts_nothing() -> None:
    """What was suspect is no part of the history: the same source is suspect at each window, for ever."""
    points = [point(n, n, stats=Stats(files=3, source_bytes=GB)) for n in range(1, 31)]
    for n in range(31, 91):
        reasons = judge([Amounts.of(p.stats, p.facts) for p in baseline(points, "files")], tree(0), PLAIN)
        assert reasons
        points.append(point(n, n, stats=Stats(), suspect=reasons))


def test_an_accepted_point_is_the_new_baseline() -> None:
    points = [point(n, n, stats=Stats(files=3, source_bytes=GB)) for n in range(1, 9)]
    points.append(point(9, 9, stats=Stats(), suspect=("it is empty",), accepted="moved away"))
    assert not judge([Amounts.of(p.stats, p.facts) for p in baseline(points, "files")], tree(0), PLAIN)


def test_the_baseline_is_of_accepted_complete_points_of_the_kind_and_counts_a_window_once() -> None:
    kept = point(1, 1)
    again = [point(2, 2), point(3, 2)]
    strange = [
        point(4, 4, incomplete=True),
        point(5, 5, suspect=("x",)),
        point(6, 400, stored_at=kept.stored_at),
    ]
    assert baseline([*strange, *again, kept], "files") == [kept, again[1]]
    assert baseline([*again, kept], "files", before=3) == [kept, again[0]]
    assert not baseline([kept], "sqlite")


def test_incomplete_points_are_compared_with_and_hide_nothing() -> None:
    full = point(1, 1, stats=Stats(files=300, source_bytes=GB))
    unread = point(2, 2, stats=Stats(files=1), incomplete=True)
    emptied = point(3, 3, stats=Stats(files=1))
    assert suspicion([full, unread], emptied, PLAIN), "the complete points alone tell"
    assert suspicion([replace(full, incomplete=True)], emptied, PLAIN), "there is no complete one"
    assert suspicion([full, replace(full, sequence=2, incomplete=True)], full, PLAIN) == ()


def test_a_first_point_of_nothing_is_suspect_unless_the_plan_says_that_it_may_be() -> None:
    assert sizes([], 0)
    assert not sizes([], 0, Demands(allow_empty=True))
    assert not sizes([], 1)
    assert judge([], Amounts(1, 8192, {}), PLAIN), "a database without any table"
    assert not judge([], Amounts(1, 8192, {}, uncounted=2), PLAIN), "tables that cannot be counted are tables"
    assert not tables([], {"orders": 0}), "a new application has no rows yet"


def test_emptied_files_are_seen_when_their_names_remain() -> None:
    assert judge([Amounts(3, 500)], Amounts(3, 0), PLAIN)
    assert not judge([Amounts(3, 500), Amounts(3, 0), Amounts(3, 500)], Amounts(3, 0), PLAIN)


@pytest.mark.parametrize("points", range(1, ENOUGH))
def test_with_a_short_history_only_a_tenth_is_too_little(points: int) -> None:
    assert not sizes(STEADY[:points], GB // 4)
    assert sizes(STEADY[:points], GB // 11)


def test_one_strange_point_in_the_history_hides_nothing() -> None:
    assert sizes([*STEADY[:6], 1, *STEADY[6:]], GB // 3)
    assert sizes([*STEADY[:6], 100 * GB, *STEADY[6:]], GB // 3)


def test_a_source_that_always_varies_is_left_alone() -> None:
    dice = random.Random(4)
    history = [int(GB * 10 ** dice.uniform(-1, 1)) for _ in range(14)]
    assert not sizes(history, sorted(history)[7] // 3)


def test_what_was_as_little_twice_is_usual() -> None:
    """A table that a job clears at night, captured by the hour."""
    day = [GB // 5, *(GB // 2 + GB // 20 * hour for hour in range(23))]
    assert sizes(day, GB // 5)
    assert not sizes([*day, *day], GB // 5)


def test_growth_is_no_alarm() -> None:
    assert not any(
        sizes([int(GB * 1.03**n) for n in range(day)], int(GB * 1.03**day)) for day in range(1, 60)
    )


def test_half_of_very_little_is_no_alarm() -> None:
    few = [Amounts(10, 5_000)] * 10
    assert not judge(few, Amounts(4, 2_000), PLAIN)
    assert not tables([{"plans": 6}] * 10, {"plans": 3})


def test_the_plan_says_how_much_may_be_lost() -> None:
    assert sizes(STEADY, GB // 4)
    assert not sizes(STEADY, GB // 4, Demands(shrink=0.8))
    assert sizes(STEADY, int(GB * 0.7), Demands(shrink=0.2))
    assert sizes(STEADY, 0, Demands(shrink=1.0)), "to hold nothing is another matter"
    assert not sizes(STEADY, 0, Demands(allow_empty=True))


def test_a_table_that_was_emptied() -> None:
    history = [{"orders": 1000, "jobs": 50, "plans": 3}] * 3
    assert tables(history, {"orders": 0, "jobs": 50, "plans": 3}) == (
        "the table orders is empty; the last accepted point has 1,000 rows of it",
    )
    assert not tables(history, {"orders": 1000, "jobs": 50, "plans": 0}), "it may be a queue"
    assert tables(history * 2, {"orders": 1000, "jobs": 50, "plans": 0}), "which would have shown by now"
    assert not tables([*history, {"orders": 1000, "jobs": 0}, *history], {"orders": 1000, "jobs": 0})
    assert not tables(history, {"jobs": 50, "plans": 3}), "a table that was dropped is the schema's matter"
    assert not tables(history, {"orders": 0, "jobs": 50, "plans": 3}, may_be_empty=("ord*",))


def test_all_rows_and_all_tables() -> None:
    assert tables([{"plans": 3}], {"plans": 0})
    assert not tables([{"plans": 3}], {"plans": 0}, may_be_empty=("plans",))
    assert judge([database(orders=3)], Amounts(1, GB, {}), PLAIN)


def test_a_table_that_lost_most_of_its_rows() -> None:
    history = [{"orders": 10_000 + n, "jobs": 10} for n in range(8)]
    assert tables(history, {"orders": 400, "jobs": 10}) == (
        "the table orders has 400 rows; usual are 10,004",
    )
    assert not tables(history, {"orders": 400, "jobs": 10}, shrink=0.98)


def test_of_many_tables_the_first_are_named() -> None:
    names = [f"t{n:04d}" for n in range(3000)]
    reasons = tables([dict.fromkeys(names, 500)] * 6, {**dict.fromkeys(names, 0), "other": 1})
    assert len(reasons) == LISTED + 1
    assert reasons[-1] == "and 2,990 more of this kind"


def test_tables_that_a_database_keeps_for_itself_do_not_count() -> None:
    facts: dict[str, Any] = {
        "row_counts": {"notes": 5, "sqlite_sequence": 1, "search_data": 900, "searching": 2},
        "internal_tables": ["sqlite_sequence", "search_data"],
        "uncounted_tables": {"strange": "no such module"},
    }
    assert Amounts.of(Stats(files=1, source_bytes=9), facts) == Amounts(1, 9, {"notes": 5, "searching": 2}, 1)
    dropped: dict[str, Any] = {
        "row_counts": {"sqlite_sequence": 0},
        "internal_tables": ["sqlite_sequence"],
        "uncounted_tables": {},
    }
    assert Amounts.of(Stats(files=1, source_bytes=9), dropped).nothing


@pytest.mark.parametrize(
    ("demands", "missing"),
    [
        (Demands(files=3, bytes=100), ""),
        (Demands(files=4), "at least 4 files, and there are 3"),
        (Demands(bytes=101), "at least 101 bytes, and there are 100"),
        (Demands(paths=(".mounted",)), ""),
        (Demands(paths=("data/db",)), "data/db, which is not in it"),
    ],
)
def test_what_the_plan_expects_of_a_tree(demands: Demands, missing: str) -> None:
    reasons = judge([Amounts(3, 100)], Amounts(3, 100), demands, {".mounted"})
    assert missing in "".join(reasons)
    assert bool(reasons) is bool(missing)


def test_what_the_plan_expects_of_a_database() -> None:
    held = {"public.orders": 500, "public.events_1": 60, "public.events_2": 60}
    good = {"tables": ("orders", "public.events_*"), "rows": {"orders": 500, "public.events_*": 120}}
    assert not tables([], held, **good)
    assert tables([], held, tables=("customers",), rows={"events_*": 121}) == (
        "the plan expects a table customers, which is not in it",
        "the plan expects at least 121 rows in events_*, and there are 120",
    )


def test_growth_is_told_and_after_some_windows_is_usual() -> None:
    assert not grown(STEADY[:4], 60 * GB)
    assert not grown(STEADY, int(4.9 * GB))
    history, warned = [GB] * 30, 0
    while grown(history, 6 * GB):
        history.append(6 * GB)
        warned += 1
    assert 3 <= warned <= 8


@given(st.lists(st.integers(1, 10**12), min_size=1, max_size=40), st.integers(1, 10**12))
def test_to_hold_nothing_is_always_suspect_and_as_much_as_ever_never(
    history: list[int], current: int
) -> None:
    assert sizes(history, 0)
    assert not sizes(history, max(history))
    if current >= min(history) and len(history) < ENOUGH:
        assert not sizes(history, current)
