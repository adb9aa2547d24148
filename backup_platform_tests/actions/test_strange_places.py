"""What somebody who can only add objects puts among the manifests: it ends no chain, and costs no memory."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace
from pathlib import Path

import pytest

from backup_platform.actions.evidence import Evidence
from backup_platform.actions.forget.give_up import LostPoints
from backup_platform.actions.forget.run import Retention
from backup_platform.actions.points.find import find_point
from backup_platform.domain.keep.retention import KeepRules, SourceRules
from backup_platform.domain.limits import MAX_SEQUENCE
from backup_platform.errors import DamageError, RepositoryError
from backup_platform.repository.points.chains import REACH
from backup_platform_tests.actions.prune_support import planned
from backup_platform_tests.support import Bench

STRANGE = ["a..b", "x#y", "l" * 250, "0000000000", "00000000001", "1"]


@pytest.fixture(params=[False, True], ids=["plain", "encrypted"])
def bench(tmp_path: Path, request: pytest.FixtureRequest) -> Bench:
    made = Bench(tmp_path / "repository", encrypted=request.param)
    for number in range(3):
        made.source.write(b"a", b"%d" % number)
        made.backup()
    return made


def folder(bench: Bench) -> str:
    return min(bench.keys("manifests/")).rpartition("/")[0]


def put(bench: Bench, place: int, data: bytes = b"") -> str:
    key = f"{folder(bench)}/{place:010d}"
    bench.store.create(key, data)
    return key


def giving_up(bench: Bench) -> LostPoints:
    return LostPoints(bench.open(), bench.clock)


def test_names_that_no_manifest_has_stop_nothing_and_are_told(bench: Bench) -> None:
    for key in [*(f"{folder(bench)}/{name}" for name in STRANGE), "manifests/elsewhere/0000000001"]:
        (bench.root / key).parent.mkdir(exist_ok=True)
        (bench.root / key).write_bytes(b"")
    repository = bench.open()
    points = repository.points.all()
    assert find_point(repository, "docs@latest") == points[-1]
    retention = Retention(repository, {"docs": SourceRules(KeepRules(last=2))}, bench.clock)
    assert len(retention.run_forget(retention.plan_forget()).forgotten) == 2
    survey = planned(bench).survey
    assert survey
    assert survey.problems == ()
    assert bench.backup().sequence == 4
    (note,) = Evidence(bench.open()).of_all().notes()
    assert "below manifests/ are not named like a manifest" in note
    assert Evidence(bench.open()).of_all().findings() == []


@pytest.mark.parametrize("place", [MAX_SEQUENCE, 3 + REACH + 2])
def test_a_place_far_above_ends_no_chain_and_can_be_given_up(bench: Bench, place: int) -> None:
    key = put(bench, place)
    assert bench.backup().sequence == 4
    tracemalloc.start()
    (lost,) = giving_up(bench).lost("docs")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (lost.sequence, lost.key) == (place, key)
    assert peak < 20_000_000
    assert giving_up(bench).run([lost]) == [lost]
    assert [point.sequence for point in bench.open().points.all()] == [1, 2, 3, 4]
    assert giving_up(bench).lost("docs") == []
    assert bench.backup().sequence == 5


def test_a_damaged_place_within_reach_is_not_given_again(bench: Bench) -> None:
    """It may be a point that a repair brings back."""
    put(bench, 3 + REACH)
    put(bench, 3 + REACH + 1)
    assert bench.backup().sequence == 3 + REACH + 2


def test_with_no_point_that_can_be_read_the_places_of_the_damaged_are_not_given_again(bench: Bench) -> None:
    for key in bench.keys("manifests/"):
        bench.damage(key)
    assert bench.open().points.next_sequence("docs") == 4
    put(bench, MAX_SEQUENCE)
    assert bench.open().points.next_sequence("docs") == 4


def test_above_the_last_place_nothing_is_written(bench: Bench) -> None:
    """A writer with the key made the manifest below it."""
    repository = bench.open()
    last = repository.points.commit(replace(repository.points.all()[-1], sequence=MAX_SEQUENCE))
    key = repository.points.key(last)
    before = bench.keys("manifests/")
    with pytest.raises(RepositoryError, match="no number left") as caught:
        bench.backup()
    assert key in caught.value.hint
    assert bench.keys("manifests/") == before
    assert giving_up(bench).lost("docs") == []
    bench.store.delete(key)
    assert bench.backup().sequence == 4


def test_where_a_damaged_manifest_stops_latest_the_error_tells_what_works(bench: Bench) -> None:
    window = bench.open().points.all()[-1].window.key
    put(bench, 9)
    with pytest.raises(DamageError) as caught:
        find_point(bench.open(), "docs@latest")
    assert "docs@WINDOW" in caught.value.hint
    assert "`backup-platform points docs`" in caught.value.hint
    assert find_point(bench.open(), f"docs@{window}").sequence == 3


def test_a_gap_below_a_damaged_place_is_recorded_place_by_place(bench: Bench) -> None:
    put(bench, 7)
    bench.backup()
    found = giving_up(bench).lost("docs")
    assert [(each.sequence, bool(each.key)) for each in found] == [
        (4, False), (5, False), (6, False), (7, True)
    ]  # fmt: skip
    assert len(giving_up(bench).run(found)) == 4
    assert giving_up(bench).lost("docs") == []
