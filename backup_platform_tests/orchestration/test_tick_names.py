from __future__ import annotations

import zoneinfo

import pytest

from backup_platform.domain.windows.cadence import CADENCES
from backup_platform.orchestration.tick_names import tick_name


@pytest.mark.parametrize(
    ("cron", "name"),
    [
        ("0 0 * * *", "day_0000"),
        ("15 2 * * *", "day_0215"),
        ("0 * * * *", "hour_00"),
        ("5 * * * *", "hour_05"),
        ("*/15 * * * *", "every_15min"),
        ("5,20,35,50 * * * *", "every_15min_05"),
        ("0 */6 * * *", "every_6h_00_00"),
        ("30 1,7,13,19 * * *", "every_6h_01_30"),
        ("15 2 * * 1", "week_1_0215"),
        ("15 2 1 * *", "month_01_0215"),
    ],
)
def test_usual_crons_have_readable_names(cron: str, name: str) -> None:
    assert tick_name(cron, "Europe/Berlin") == f"{name}_europe_berlin"


def test_crons_that_tick_alike_have_one_name() -> None:
    assert tick_name("0,15,30,45 * * * *", "UTC") == tick_name("*/15 * * * *", "UTC")
    assert tick_name("00 2 * * *", "UTC") == tick_name("0 2 * * *", "UTC")


UNUSUAL = [
    "15 2,15 * * *",
    "*/7 * * * *",
    "*/45 * * * *",
    "0 0 * 1 *",
    "0 0 1 * 1",
    "0 0 1,15 * *",
    "0 9-17 * * 1-5",
    "0 9 * * 1-5",
    "* * * * *",
    "0 0-23 * * *",
    "0 0,12 * * 1",
    "1,31 3 * * *",
    "0 0 L * *",
]


def test_other_crons_get_names_of_their_own() -> None:
    usual = [cadence.cron for cadence in CADENCES.values()]
    names = [tick_name(cron, "UTC") for cron in UNUSUAL + usual]
    assert len(set(names)) == len(names)
    assert all(name.isidentifier() for name in names)
    assert all(tick_name(cron, "UTC").startswith("cron_") for cron in UNUSUAL)


def test_every_time_zone_has_a_name_of_its_own() -> None:
    zones = sorted(zoneinfo.available_timezones())
    names = {tick_name("0 0 * * *", zone) for zone in zones}
    assert len(names) == len(zones)
    assert all(name.isidentifier() for name in names)
