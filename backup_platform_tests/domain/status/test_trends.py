"""Growth and forecast: robust to weekends and to what happens once."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backup_platform.domain.status.trends import SizeAt, days_until_full, growth_per_day

START = datetime(2026, 9, 1, 5, tzinfo=UTC)


def sizes(days: int, per_day: float = 10.0, weekend: float = 0.0, jitter_min: int = 0) -> list[SizeAt]:
    """A size each day; in the first two days of each week it is larger."""
    return [
        SizeAt(
            START + timedelta(days=day, minutes=jitter_min * (day % 3)),
            round(1_000_000 + per_day * day + (weekend if day % 7 < 2 else 0)),
        )
        for day in range(days)
    ]


@given(st.integers(-1_000, 1_000), st.integers(0, 500_000), st.integers(14, 120), st.integers(0, 200))
def test_a_steady_growth_is_found_whatever_a_week_looks_like(
    per_day: int, weekend: int, days: int, jitter: int
) -> None:
    found = growth_per_day(sizes(days, per_day, weekend, jitter))
    assert found == pytest.approx(per_day, rel=0.1, abs=1)


def test_what_happened_once_does_not_change_it() -> None:
    once = [
        each._replace(size=each.size + (10**9 if number > 80 else 0)) for number, each in enumerate(sizes(84))
    ]
    assert growth_per_day(once) == pytest.approx(10, rel=0.1)


def test_only_the_last_weeks_count() -> None:
    before = [SizeAt(START - timedelta(days=day), 10**12) for day in range(1, 300)]
    assert growth_per_day([*before, *sizes(85)]) == pytest.approx(10, rel=0.1)


def test_in_the_first_weeks_all_days_are_compared() -> None:
    assert growth_per_day(sizes(4)) == 10
    assert growth_per_day(sizes(2)) is None
    assert growth_per_day([]) is None


def test_a_disk_that_does_not_fill_is_never_full() -> None:
    assert days_until_full(1_000, 10.0) == 100
    assert days_until_full(1_000, 0.0) is None
    assert days_until_full(1_000, -5.0) is None
    assert days_until_full(None, 10.0) is None
    assert days_until_full(1_000, None) is None


def test_what_grows_in_a_week_and_is_pruned_on_sunday_does_not_count() -> None:
    week = [each._replace(size=each.size + day % 7 * 100_000) for day, each in enumerate(sizes(11))]
    assert growth_per_day(week) == 10
