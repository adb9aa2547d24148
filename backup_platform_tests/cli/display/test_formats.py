from __future__ import annotations

from datetime import UTC, datetime

import pytest

from backup_platform.cli.display import formats


@pytest.mark.parametrize(("seconds", "text"), [(6.6, "0:07"), (723, "12:03"), (11_109, "3:05:09")])
def test_clocks(seconds: float, text: str) -> None:
    assert formats.clock(seconds) == text


def test_instants_are_in_the_zone_of_the_source() -> None:
    summer = datetime(2026, 7, 1, 22, 30, tzinfo=UTC)
    assert formats.instant(summer, "Europe/Berlin") == "2026-07-02 00:30"
    assert formats.instant_full(summer, "Europe/Berlin") == "2026-07-02 00:30:00 +0200"


def test_an_unknown_zone_is_shown_as_utc() -> None:
    summer = datetime(2026, 7, 1, tzinfo=UTC)
    assert formats.instant_full(summer, "Mars/Phobos") == "2026-07-01 00:00:00 +0000"
