"""Messages are for people: none is longer than they read."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backup_platform.errors import MOST, BackupError, SourceBusyError, TargetError, bounded


@given(st.text(max_size=40), st.integers(20, 30))
def test_a_text_is_cut_in_the_middle_and_says_so(text: str, most: int) -> None:
    cut = bounded(text, most)
    if len(text) <= most:
        assert cut == text
    else:
        assert cut.startswith(text[: most - most // 4])
        assert cut.endswith(text[-(most // 4) :])
        assert f"({len(text) - most} characters are left out here)" in cut


@pytest.mark.parametrize("kind", [BackupError, SourceBusyError, TargetError])
def test_no_message_is_longer_than_people_read(kind: type[BackupError]) -> None:
    error = kind("LOCK TABLE " + "public.t, " * 6000 + "the end", hint="x" * 60_000)
    assert len(error.message) < MOST + 100
    assert len(error.hint) < MOST + 100
    assert len(str(error)) < 2 * MOST + 200
    assert error.message.endswith("the end")
    assert "58,018 characters are left out" in error.message
