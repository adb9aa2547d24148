from __future__ import annotations

import random
import subprocess
import sys

import pytest

from backup_platform.actions.plausibility import MINIMUM, assess

GB = 10**9
STEADY = [GB + n * 1_000_000 for n in range(12)]


def test_a_usual_size_is_plausible_and_measured() -> None:
    verdict = assess(STEADY, GB + 20_000_000)
    assert verdict.ok
    assert verdict.metadata["points"] == 12
    assert verdict.metadata["usual_bytes"] == GB + 5_500_000
    assert verdict.metadata["ratio"] == pytest.approx(1.0144, abs=1e-3)


@pytest.mark.parametrize(
    ("current", "ok"),
    [
        (0, False),
        (1, False),
        (GB // 2, False),
        (int(GB * 0.51), True),
        (int(GB * 4.9), True),
        (GB * 6, False),
    ],
)
def test_nothing_a_half_and_five_times_are_implausible(current: int, ok: bool) -> None:
    assert assess(STEADY, current).ok is ok


def test_the_summary_says_how_far_it_is_off() -> None:
    assert assess(STEADY, GB // 4).summary == "250,000,000 bytes are 25% of the usual 1,005,500,000"
    assert "6.0 times" in assess(STEADY, GB * 6).summary
    assert "is empty" in assess(STEADY, 0).summary


def test_the_first_point_has_nothing_to_be_compared_with() -> None:
    assert assess([], 0).ok
    assert assess([], GB).metadata == {"points": 0}


@pytest.mark.parametrize("points", range(1, MINIMUM))
def test_a_short_history_only_judges_emptiness(points: int) -> None:
    assert assess(STEADY[:points], GB // 10).ok
    assert not assess(STEADY[:points], 0).ok


def test_one_bad_point_in_the_history_hides_nothing() -> None:
    """Mean and standard deviation of such a history would excuse nearly everything."""
    assert not assess([*STEADY[:6], 0, *STEADY[6:]], GB // 3).ok
    assert not assess([*STEADY[:6], 100 * GB, *STEADY[6:]], GB * 6).ok


def test_a_source_that_always_varies_is_left_alone() -> None:
    dice = random.Random(4)
    history = [int(GB * 10 ** dice.uniform(-1, 1)) for _ in range(14)]
    usual = sorted(history)[7]
    assert assess(history, usual // 3).ok


def test_growth_by_the_day_is_no_alarm() -> None:
    """A quarter a week: the median is a week behind."""
    assert all(assess([int(GB * 1.03**n) for n in range(day)], int(GB * 1.03**day)).ok for day in range(60))


def test_a_lasting_change_is_accepted_after_some_windows() -> None:
    history, warned = [GB] * 30, 0
    while not assess(history, 6 * GB).ok:
        history.append(6 * GB)
        warned += 1
    assert 3 <= warned <= 8


def test_an_empty_source_that_stays_empty_is_plausible() -> None:
    assert assess([0] * 8, 0).ok
    assert assess([0] * 8, GB).ok


def test_importing_it_imports_no_pandas() -> None:
    code = "import backup_platform.actions.plausibility, sys; sys.exit('pandas' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
