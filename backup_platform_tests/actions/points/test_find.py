"""Naming a recovery point: one, or an error that says which there are."""

from __future__ import annotations

import os
from datetime import datetime
from pathlib import Path

import pytest

from backup_platform.actions.points.find import find_point
from backup_platform.domain.model import RecoveryPoint
from backup_platform.domain.trust.latest import Skipped
from backup_platform.errors import DamageError, NotFoundError, UsageError
from backup_platform.repository.objects.names import ManifestKey
from backup_platform_tests.support import Bench, ClockedStore, QuietProgress, small_bench


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    made = small_bench(tmp_path)
    made.store = ClockedStore(str(made.root), made.clock)
    return made


@pytest.fixture
def points(bench: Bench) -> list[RecoveryPoint]:
    """Three hours, the second captured twice."""
    made = [bench.backup()]
    bench.clock.advance(hours=1)
    made += [bench.backup(), bench.backup()]
    bench.clock.advance(days=1)
    return [*made, bench.backup()]


def test_the_latest(bench: Bench, points: list[RecoveryPoint]) -> None:
    assert find_point(bench.open(), "docs@latest") == points[-1]


def test_the_latest_is_complete_if_any_is(bench: Bench, points: list[RecoveryPoint]) -> None:
    bench.source.broken.add(b"large")
    bench.clock.advance(hours=5)
    incomplete = bench.backup()
    assert find_point(bench.open(), "docs@latest") == points[-1]
    assert find_point(bench.open(), f"docs@{incomplete.window.key}") == incomplete


def test_when_all_are_incomplete_the_latest_is(bench: Bench) -> None:
    bench.source.broken.add(b"large")
    bench.backup()
    newest = bench.backup()
    assert find_point(bench.open(), "docs@latest") == newest


def test_a_window(bench: Bench, points: list[RecoveryPoint]) -> None:
    assert find_point(bench.open(), "docs@2026-11-22T02:00") == points[0]
    assert find_point(bench.open(), "docs@2026-11-22T03:00") == points[2], "what replaced the first capture"


def test_a_date_with_one_window(bench: Bench, points: list[RecoveryPoint]) -> None:
    assert find_point(bench.open(), "docs@2026-11-23") == points[3]


def test_a_date_with_several_windows_is_ambiguous_and_lists_them(
    bench: Bench, points: list[RecoveryPoint]
) -> None:
    with pytest.raises(UsageError, match=r"2 recovery points.*2026-11-22T02:00.*2026-11-22T03:00"):
        find_point(bench.open(), "docs@2026-11-22")


def test_the_start_of_an_id(bench: Bench, points: list[RecoveryPoint]) -> None:
    for point in points:
        assert find_point(bench.open(), point.id) == point
        assert find_point(bench.open(), point.id[:12]) == point


def test_a_superseded_point_is_found_by_its_id(bench: Bench, points: list[RecoveryPoint]) -> None:
    assert find_point(bench.open(), points[1].id[:10]) == points[1]


def test_the_start_of_two_ids_is_ambiguous(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ids are hashes, so that this needs many points: one digit in common comes soon."""
    from backup_platform.actions.points import find

    monkeypatch.setattr(find, "MIN_PREFIX", 1)
    made = [bench.backup() for _ in range(17)]
    digit = next(d for d in "0123456789abcdef" if sum(p.id.startswith(d) for p in made) > 1)
    with pytest.raises(UsageError, match="recovery points"):
        find_point(bench.open(), digit)


@pytest.mark.parametrize("spec", ["", "abc", "docs", "ABCDEF", "12345g", "latest", "a" * 65])
def test_what_names_no_point(bench: Bench, points: list[RecoveryPoint], spec: str) -> None:
    with pytest.raises(UsageError, match="does not name"):
        find_point(bench.open(), spec)


@pytest.mark.parametrize(("spec", "missing"), [("@latest", "source"), ("docs@", "window"), ("@", "source")])
def test_no_part_of_a_name_is_empty(
    bench: Bench, points: list[RecoveryPoint], spec: str, missing: str
) -> None:
    """`$SRC@latest` without SRC must not be the point of another source."""
    with pytest.raises(UsageError, match=f"a {missing} is missing"):
        find_point(bench.open(), spec)


def test_what_is_not_there(bench: Bench, points: list[RecoveryPoint]) -> None:
    with pytest.raises(NotFoundError, match="Did you mean 'docs'"):
        find_point(bench.open(), "docz@latest")
    with pytest.raises(NotFoundError, match="newest is docs@2026-11-23"):
        find_point(bench.open(), "docs@2025-01-01")
    with pytest.raises(NotFoundError):
        find_point(bench.open(), "0123456789abcdef")


def test_a_damaged_manifest_hides_only_itself(bench: Bench, points: list[RecoveryPoint]) -> None:
    """But what is the latest, nobody can say any more: an older point must not pass for it."""
    bench.damage(ManifestKey.of("docs", 4))
    assert find_point(bench.open(), points[0].id[:12]) == points[0]
    assert find_point(bench.open(), "docs@2026-11-22T02:00") == points[0]
    for spec in ("docs@latest", "docs@2026-11-23", points[3].id):
        with pytest.raises(DamageError, match=ManifestKey.of("docs", 4)):
            find_point(bench.open(), spec)


def test_the_latest_goes_by_the_instant_of_capture(bench: Bench) -> None:
    newest = bench.backup()
    bench.clock.instant = datetime.fromisoformat("2026-11-22T02:00:00+00:00")
    bench.schedule = bench.schedule.__class__(bench.schedule.cadence, since=bench.clock.now())
    bench.backup()
    assert find_point(bench.open(), "docs@latest").sequence == newest.sequence + 1


def test_an_error_says_what_to_write_next(bench: Bench) -> None:
    bench.backup()
    with pytest.raises(UsageError) as caught:
        find_point(bench.open(), "docs")
    assert "docs@latest" in caught.value.hint
    with pytest.raises(NotFoundError, match=bench.open().store.location) as missing:
        find_point(bench.open(), "other@latest")
    assert "points" in missing.value.hint


def test_what_the_latest_passes_over_is_told(bench: Bench, points: list[RecoveryPoint]) -> None:
    bench.clock.advance(days=400)
    ahead = bench.job().run(None, force=True, progress=QuietProgress()).point
    store = bench.root / ManifestKey.of(ahead.source, ahead.sequence)
    bench.clock.advance(days=-400)
    os.utime(store, (bench.clock.now().timestamp(),) * 2)
    told: list[Skipped] = []
    assert find_point(bench.open(), "docs@latest", told.append) == points[-1]
    assert [each.point for each in told] == [ahead]
    assert find_point(bench.open(), f"docs@{ahead.window.key}", told.append) == ahead
    assert len(told) == 1, "who names a point means it"
