"""The rotation of reading: nothing is unread for longer than a cycle, and the work is even."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from backup_platform.domain.trust.rotation import LastSeen, due

START = datetime(2026, 11, 22, 5, tzinfo=UTC)
DAY = timedelta(days=1)
CYCLE = 30 * DAY


def written(count: int, at: datetime = START, size: int = 1000) -> list[LastSeen]:
    return [LastSeen(f"packs/{n:04d}", size, at) for n in range(count)]


def read(
    objects: list[LastSeen], now: datetime, cycle: timedelta = CYCLE
) -> tuple[list[LastSeen], list[LastSeen]]:
    """What a run reads, and all objects after it."""
    chosen = due(objects, now, cycle)
    keys = {held.key for held in chosen}
    return chosen, [replace(held, proven_at=now) if held.key in keys else held for held in objects]


def test_what_was_written_at_once_is_read_in_even_parts() -> None:
    objects, amounts = written(2900), []
    for day in range(1, 60):
        chosen, objects = read(objects, START + day * DAY)
        amounts.append(len(chosen))
    assert max(amounts) <= 110
    assert min(amounts) >= 90
    assert sum(amounts[:29]) == 2900


def test_a_few_objects_are_read_about_once_a_cycle_and_not_each_day() -> None:
    for count in (1, 2, 5):
        objects, total = written(count), 0
        for day in range(1, 291):
            chosen, objects = read(objects, START + day * DAY)
            total += len(chosen)
        assert count * 9 <= total <= count * 11


def test_nothing_is_due_of_what_was_just_written_and_all_after_a_long_rest() -> None:
    assert due(written(10), START, CYCLE) == []
    assert len(due(written(10), START + 90 * DAY, CYCLE)) == 10
    assert due([], START, CYCLE) == []


def test_the_oldest_comes_first_and_the_answer_does_not_depend_on_the_order() -> None:
    objects = [replace(held, proven_at=START - n * DAY) for n, held in enumerate(written(40))]
    chosen = due(objects, START, CYCLE)
    assert chosen == due(list(reversed(objects)), START, CYCLE)
    assert [held.proven_at for held in chosen] == sorted(held.proven_at for held in objects)[: len(chosen)]
    assert chosen


def test_a_clock_that_is_behind_asks_for_nothing() -> None:
    assert due(written(10), START - 400 * DAY, CYCLE) == []


@settings(max_examples=30)
@given(
    arrivals=st.lists(st.tuples(st.integers(0, 40), st.integers(0, 5000)), min_size=1, max_size=15),
    pauses=st.lists(st.floats(0.05, 1.0), min_size=70, max_size=70),
    cycle=st.sampled_from([DAY, 2 * DAY, 7 * DAY, 30 * DAY]),
)
def test_nothing_is_ever_unread_for_longer_than_the_cycle(
    arrivals: list[tuple[int, int]], pauses: list[float], cycle: timedelta
) -> None:
    """Whatever arrives whenever, as long as somebody asks once a day."""
    now, objects = START, [LastSeen("packs/first", 1, START)]
    for step, pause in enumerate(pauses):
        objects += [
            LastSeen(f"packs/{n}", size, now) for n, (day, size) in enumerate(arrivals) if day == step
        ]
        now += pause * DAY
        assert all(now - held.proven_at <= cycle for held in objects)
        _, objects = read(objects, now, cycle)


@given(
    ages=st.lists(st.tuples(st.integers(0, 29 * 24), st.integers(0, 5000)), max_size=30),
)
def test_no_smaller_share_would_do(ages: list[tuple[int, int]]) -> None:
    """One object less, and somebody who reads at an even pace would be late with what is left."""
    objects = [
        LastSeen(f"packs/{n:02d}", size, START - timedelta(hours=age)) for n, (age, size) in enumerate(ages)
    ]
    chosen = due(objects, START, CYCLE)
    period, total = CYCLE - DAY, sum(max(held.size, 1) for held in objects)

    def in_time(rest: list[LastSeen]) -> bool:
        before = 0
        for held in rest:
            if before * period >= total * (held.proven_at + period - START):
                return False
            before += max(held.size, 1)
        return True

    ordered = sorted(objects, key=lambda held: (held.proven_at, held.key))
    assert in_time(ordered[len(chosen) :])
    assert not chosen or not in_time(ordered[len(chosen) - 1 :])
