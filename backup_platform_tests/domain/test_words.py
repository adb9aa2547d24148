"""Amounts, times and lists are said in one way."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path

import pytest

import backup_platform
from backup_platform.domain import words
from backup_platform_tests.cli.fake import make_point

PACKAGE = Path(backup_platform.__file__).parent


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
        (-1500, "-1.5 kB"),
    ],
)
def test_sizes(amount: float, text: str) -> None:
    assert words.size(amount) == text


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
    assert words.duration(seconds) == text


@pytest.mark.parametrize(
    ("lasted", "text"),
    [
        (timedelta(), "0 s"),
        (timedelta(seconds=59.9), "59 s"),
        (timedelta(minutes=5, seconds=40), "5 min"),
        (timedelta(hours=3), "3 h"),
        (timedelta(hours=3, minutes=5), "3 h 5 min"),
        (timedelta(days=2, minutes=5), "2 d 5 min"),
        (timedelta(days=9, hours=7, minutes=5), "9 d 7 h"),
    ],
)
def test_spans(lasted: timedelta, text: str) -> None:
    assert words.span(lasted) == text


def test_amounts_have_their_plural() -> None:
    assert words.how_many(1, "file") == "1 file"
    assert words.how_many(2000, "file") == "2,000 files"
    assert words.how_many(0, "index", "indexes") == "0 indexes"
    assert [words.are(amount) for amount in (0, 1, 2)] == ["are", "is", "are"]
    assert [words.were(amount) for amount in (0, 1, 2)] == ["were", "was", "were"]
    assert [words.days(amount) for amount in (1, 1.02, 2.5, 0)] == ["1 day", "1 day", "2.5 days", "0 days"]


def test_a_rate_without_time_is_not_a_number() -> None:
    assert words.rate(5_000_000, 2) == "2.5 MB/s"
    assert words.rate(5, 0) == "-"


def test_shares() -> None:
    assert words.share(0.9704) == "97.0 %"
    assert words.share(1) == "100.0 %"


def test_lists() -> None:
    assert [words.listing("abc"[:n]) for n in range(4)] == ["", "a", "a and b", "a, b and c"]
    assert words.listing("ab", "or") == "a or b"


def test_what_is_left_out_of_a_list_is_counted() -> None:
    assert words.first_of(["a", "b"], 2) == "a, b"
    assert words.first_of(["a", "b", "c", "d"], 2) == "a, b and 2 more"
    assert words.first_of(["a", "b"] * 1000, 1, "; ") == "a and 1,999 more"
    assert words.first_of(["a", "b"], 2, total=1000) == "a, b and 998 more"
    assert words.at_most(["a", "b"], 2) == ["a", "b"]
    assert words.at_most(["a", "b", "c"], 1, "differences") == ["a", "and 2 more differences"]
    assert words.with_others([]) == ""
    assert words.with_others(["one is damaged"]) == "one is damaged"
    assert words.with_others(["one is damaged", "x", "y"]) == "one is damaged (and 2 more)"


def test_points_have_one_name() -> None:
    point = make_point()
    assert words.point_label(point) == "shop@2026-11-22"
    in_full = f"shop, window 2026-11-22 (Europe/Berlin), point {point.id[:12]}"
    assert words.point_in_full(point) == in_full
    assert words.point_name(point) == f"shop@2026-11-22 ({point.id[:12]})"


SAID_ELSEWHERE = {
    "plurals": r"""\}s' if |else ['"]s['"]|['"]s['"] if |'is' if |"is" if """,
    "what a list leaves out": r"""(and |\()\{[^{}"']*\} more""",
    "sizes": r"""\("B", "kB"|\d[eE]9:?[^}]*\} GB""",
    "durations": r"""/ 86_?400""",
    "names of points": r"""\.source\}@\{[\w.]*window\.key\}""",
}


@pytest.mark.parametrize("what", SAID_ELSEWHERE)
def test_nothing_else_says_it_in_its_own_way(what: str) -> None:
    found = [
        f"{path.relative_to(PACKAGE)}:{number}: {line.strip()}"
        for path in sorted(PACKAGE.rglob("*.py"))
        if path.name not in ("words.py", "rescue.py")  # rescue.py imports nothing of this project
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if re.search(SAID_ELSEWHERE[what], line)
    ]
    assert found == []
