from __future__ import annotations

from datetime import UTC, datetime

import pytest

from backup_platform.cli.display import formats


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (999_949, "999.9 kB"),
        (999_950, "1.0 MB"),
        (104_857_600, "104.9 MB"),
        (45e9, "45.0 GB"),
        (2e18, "2000.0 PB"),
    ],
)
def test_sizes(amount: float, text: str) -> None:
    assert formats.size(amount) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0, "0.00 s"),
        (0.94, "0.94 s"),
        (0.96, "1.0 s"),
        (59.94, "59.9 s"),
        (59.96, "1 min 00 s"),
        (3599.6, "1 h 00 min"),
        (11_100, "3 h 05 min"),
        (187_200, "2 d 04 h"),
    ],
)
def test_durations(seconds: float, text: str) -> None:
    assert formats.duration(seconds) == text


@pytest.mark.parametrize(("seconds", "text"), [(6.6, "0:07"), (723, "12:03"), (11_109, "3:05:09")])
def test_clocks(seconds: float, text: str) -> None:
    assert formats.clock(seconds) == text


def test_a_rate_without_time_is_not_a_number() -> None:
    assert formats.rate(5_000_000, 2) == "2.5 MB/s"
    assert formats.rate(5, 0) == "-"


def test_shares() -> None:
    assert formats.share(0.9704) == "97.0 %"
    assert formats.share(1) == "100.0 %"


def test_instants_are_in_the_zone_of_the_source() -> None:
    summer = datetime(2026, 7, 1, 22, 30, tzinfo=UTC)
    assert formats.instant(summer, "Europe/Berlin") == "2026-07-02 00:30"
    assert formats.instant_full(summer, "Europe/Berlin") == "2026-07-02 00:30:00 +0200"


def test_an_unknown_zone_is_shown_as_utc() -> None:
    summer = datetime(2026, 7, 1, tzinfo=UTC)
    assert formats.instant_full(summer, "Mars/Phobos") == "2026-07-01 00:00:00 +0000"
