"""What does not print is shown as an escape, and text of every script stays as it is."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backup_platform.domain.visible import visible, visible_lines


@pytest.mark.parametrize(
    "text",
    [
        "plain 'text' \\x",
        "Größe Ødegård",
        "漢字 かな 한글",
        "кириллица ελληνικά",
        "🎉👍🏽❤️",
        "a\u0301 ไทย हिन्दी",
    ],
)
def test_text_of_every_script_stays(text: str) -> None:
    assert visible(text) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31mred\x07", "\\x1b[31mred\\x07"),
        ("a\rb\bc\td\ne", "a\\rb\\x08c\\td\\ne"),
        ("\x9b2J\x85\x7f", "\\u009b2J\\u0085\\x7f"),
        ("x\u202egpj.exe\u2066\u2069", "x\\u202egpj.exe\\u2066\\u2069"),
        ("a\u200bb\u2060\ufeff\u00ad", "a\\u200bb\\u2060\\ufeff\\u00ad"),
        ("one\u2028two\u2029", "one\\u2028two\\u2029"),
        ("tag\U000e0041", "tag\\U000e0041"),
        ("caf\udce9 \ud800", "caf\\xe9 \\ud800"),
        ("fill\u3164\u115f", "fill\\u3164\\u115f"),
    ],
)
def test_what_does_not_print_is_an_escape(text: str, shown: str) -> None:
    assert visible(text) == shown


@given(st.text(st.characters(exclude_categories=())))
def test_nothing_acts_on_a_terminal(text: str) -> None:
    shown = visible(text)
    assert {unicodedata.category(c)[0] for c in shown if c != " "}.isdisjoint({"C", "Z"})
    shown.encode()


def test_a_second_line_cannot_pass_for_one_of_ours() -> None:
    assert visible_lines("It broke.\nhint: run \x1b[2Jthis") == "It broke.\n  hint: run \\x1b[2Jthis"
