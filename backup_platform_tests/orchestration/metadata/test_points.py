from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import dagster as dg
import pytest

from backup_platform.domain.model import (
    EMPTY,
    Json,
    Problem,
    RecoveryPoint,
    Stats,
    Status,
    StreamRef,
    Window,
)
from backup_platform.orchestration.metadata.points import check_metadata, point_metadata

DAY = datetime(2026, 11, 22, tzinfo=UTC)
POINT = RecoveryPoint(
    id="ab" * 32,
    sequence=7,
    predecessor="",
    source="shop",
    kind="sqlite",
    window=Window("2026-11-22", DAY, DAY.replace(day=23)),
    timezone="Europe/Berlin",
    captured_at=DAY.replace(hour=2, minute=15),
    committed_at=DAY.replace(hour=2, minute=16),
    lateness_s=0.0,
    incomplete=False,
    problem_count=0,
    problems=(),
    facts={},
    stats=Stats(
        files=1, source_bytes=100_000_000, new_bytes=25_000_000, stored_bytes=9_000_000, duration_s=2.0
    ),
    inventory=StreamRef(0, EMPTY),
    versions={},
)


def plain(point: RecoveryPoint, *, created: bool = True) -> dict[str, object]:
    metadata = point_metadata(point, created=created, manifest="/repo/manifests/shop/7")
    return {name: value.value for name, value in metadata.items()}


def test_the_numbers_that_the_ui_plots_have_their_promised_names() -> None:
    numbers = {
        name: value.value
        for name, value in point_metadata(POINT, created=True, manifest="").items()
        if isinstance(value, dg.IntMetadataValue | dg.FloatMetadataValue)
    }
    assert numbers == {
        "source_bytes": 100_000_000,
        "new_bytes": 25_000_000,
        "stored_bytes": 9_000_000,
        "files": 1,
        "duration_s": 2.0,
        "throughput_mb_s": 50.0,
        "dedup_ratio": 0.75,
        "lateness_s": 0.0,
        "problems": 0,
    }


def test_every_number_is_there_for_an_empty_source_too() -> None:
    empty = plain(replace(POINT, stats=Stats()))
    assert (empty["throughput_mb_s"], empty["dedup_ratio"]) == (0.0, 0.0)


def test_the_point_can_be_found_again() -> None:
    metadata = point_metadata(POINT, created=True, manifest="/repo/manifests/shop/7")
    assert metadata["manifest"] == dg.MetadataValue.path("/repo/manifests/shop/7")
    assert metadata["recovery_point"].value == POINT.id
    assert metadata["window"].value == "2026-11-22"


def test_the_summary_is_for_people() -> None:
    summary = str(plain(POINT)["summary"])
    assert summary.startswith("Recovery point `abababababab` of `shop` captured.")
    assert "| New | 25.0 MB, stored as 9.0 MB |" in summary
    assert "| Captured | 2026-11-22 03:15 CET |" in summary
    assert "| Source | 100.0 MB in 1 file |" in summary
    assert "after the window's end" not in summary
    database = replace(POINT, facts={"tables": 3, "rows": 5216})
    assert "| Source | 100.0 MB in 3 tables with 5,216 rows |" in str(plain(database)["summary"])


@pytest.mark.parametrize(
    ("start", "hours", "text"),
    [
        (DAY, 1, "2026-11-22 01:00 to 02:00 CET"),
        (DAY.replace(hour=20), 6, "2026-11-22 21:00 to 2026-11-23 03:00 CET"),
        (datetime(2026, 10, 25, tzinfo=UTC), 1, "2026-10-25 02:00 CEST to 02:00 CET"),
    ],
)
def test_the_summary_tells_the_window_in_few_words(start: datetime, hours: int, text: str) -> None:
    point = replace(POINT, window=Window("key", start, start + timedelta(hours=hours)))
    assert f"| Window | {text} |" in str(plain(point)["summary"])


def test_the_summary_tells_of_problems_first() -> None:
    problems = tuple(Problem(f"a`{n}\n", Status.UNREADABLE, "permission denied") for n in range(30))
    point = replace(POINT, incomplete=True, problem_count=1234, problems=problems, lateness_s=90.0)
    summary = str(plain(point)["summary"])
    assert summary.startswith("**Incomplete** recovery point")
    assert "- `a'0\\n`: unreadable (permission denied)" in summary
    assert "- and 1,214 more" in summary
    assert "90 s after the window's end" in summary


def test_a_point_that_was_kept_is_not_shown_as_new() -> None:
    kept = plain(POINT, created=False)
    assert kept["created"] is False
    assert "was there already" in str(kept["summary"])


@pytest.mark.parametrize(
    ("name", "value", "shown"),
    [
        ("drill_s", 1.5, dg.MetadataValue.float(1.5)),
        ("packs", 3, dg.MetadataValue.int(3)),
        ("ok", True, dg.MetadataValue.bool(True)),
        ("ratio", float("inf"), dg.MetadataValue.text("inf")),
        ("policy", "weekly", dg.MetadataValue.text("weekly")),
        ("schema_diff", "-a\n+b", dg.MetadataValue.md("````diff\n-a\n+b\n````")),
        ("listed", ["x", "y`z"], dg.MetadataValue.md("- `x`\n- `y'z`")),
        ("unchecked", [], dg.MetadataValue.text("none")),
        ("rows", {"t": 1}, dg.MetadataValue.json({"t": 1})),
    ],
)
def test_what_a_check_measured_is_shown_as_what_it_is(
    name: str, value: Json, shown: dg.MetadataValue
) -> None:
    assert check_metadata({name: value}, window="2026-11-22", point="ab")[name] == shown


def test_a_check_names_its_window_and_point_and_omits_what_is_unknown() -> None:
    metadata = check_metadata({"ratio": None}, window="2026-11-22", point="ab")
    assert {name: value.value for name, value in metadata.items()} == {
        "window": "2026-11-22",
        "recovery_point": "ab",
    }
