"""Prune deletes what no recovery point needs, and nothing else."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from backup_platform.actions.prune.plan import PruneSettings
from backup_platform.errors import RepositoryError
from backup_platform.repository.records.tombstones import read_tombstones
from backup_platform_tests.actions.prune_support import (
    AT_ONCE,
    History,
    age,
    forget,
    packs,
    planned,
    prune,
    pruning,
)
from backup_platform_tests.support import Bench, QuietProgress, noise, text

DAILY = PruneSettings(grace=timedelta(days=1), max_waste=1.0)


@pytest.fixture
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> Bench:
    return Bench(tmp_path / "repository", encrypted=getattr(request, "param", False))


both = pytest.mark.parametrize("bench", [False, True], indirect=True, ids=["plain", "encrypted"])


def two_points(bench: Bench) -> History:
    """Two points that share a file; each has one of its own."""
    history = History(bench)
    bench.source.write(b"shared", text(30_000, 1))
    history.backup()
    bench.source.write(b"old", noise(50_000, 2))
    history.backup()
    bench.source.remove(b"old")
    bench.source.write(b"new", noise(60_000, 3))
    history.backup()
    return history


def test_nothing_is_deleted_while_every_point_is_kept(bench: Bench) -> None:
    history = two_points(bench)
    before = packs(bench)
    assert planned(bench).empty
    for _ in range(3):
        prune(bench)
    assert packs(bench) == before
    history.check()


@both
def test_what_only_a_forgotten_point_needed_goes_in_two_runs(bench: Bench) -> None:
    history = two_points(bench)
    before = packs(bench)
    history.forget(1)
    first = prune(bench)
    assert packs(bench) == before
    assert (first.packs_deleted, first.packs_condemned, first.condemned_bytes > 50_000) == (0, 2, True)
    second = prune(bench)
    assert (second.packs_deleted, second.packs_condemned) == (2, 0)
    assert second.freed_bytes > 50_000
    assert packs(bench) < before
    assert not read_tombstones(bench.open().objects).condemned & packs(bench)
    history.check()


def test_a_plan_changes_nothing(bench: Bench) -> None:
    history = two_points(bench)
    history.forget(1)
    prune(bench)
    before = bench.keys()
    plan = planned(bench)
    assert plan.delete
    assert bench.keys() == before


def test_the_grace_lies_between_marking_and_deleting_by_the_clock_of_the_store(bench: Bench) -> None:
    history = two_points(bench)
    history.forget(1)
    assert not planned(bench, DAILY).condemn  # its packs are younger than the grace
    age(bench, days=2)
    prune(bench, DAILY)
    bench.clock.advance(days=30)  # the client's clock is of no importance
    assert not planned(bench, DAILY).delete
    assert len(planned(bench, DAILY).waiting) == 2
    age(bench, "tombstones/", hours=23)
    assert not planned(bench, DAILY).delete
    age(bench, "tombstones/", hours=25)
    assert prune(bench, DAILY).packs_deleted == 2
    history.check()


def test_a_final_tombstone_stays_for_an_hour_and_until_a_later_run(bench: Bench) -> None:
    history = two_points(bench)
    history.forget(1)
    prune(bench)
    prune(bench)
    prune(bench)
    (final,) = bench.keys("tombstones/")
    assert final.endswith(".final")
    age(bench, "tombstones/", hours=2)
    prune(bench)
    assert not bench.keys("tombstones/")


def test_a_condemned_pack_that_is_needed_again_is_reprieved(bench: Bench) -> None:
    history = two_points(bench)
    manifest = (bench.root / sorted(bench.keys("manifests/"))[1]).read_bytes()
    place = sorted(bench.keys("manifests/"))[1]
    forget(bench, [history.points[1][0]])
    age(bench, days=2)
    prune(bench, DAILY)
    (bench.root / place).write_bytes(manifest)  # as if its writer had been slow
    prune(bench, DAILY)
    assert not read_tombstones(bench.open().objects).condemned
    history.check()


@pytest.mark.parametrize("what", ["manifests/", "meta/", "packs/"])
@pytest.mark.parametrize("harm", ["damage", "remove"])
def test_nothing_is_done_while_something_cannot_be_read_that_may_need_anything(
    bench: Bench, what: str, harm: str
) -> None:
    history = two_points(bench)
    history.forget(1)
    prune(bench)
    plan = planned(bench)
    needed = next(key for key in sorted(bench.keys(what)) if key not in {pack.key for pack in plan.delete})
    if harm == "damage":
        bench.damage(needed)
    elif what != "manifests/":
        (bench.root / needed).unlink()
    if (what, harm) in (("packs/", "damage"), ("manifests/", "remove")):
        return  # contents are not read, and a manifest that is gone cannot be missed
    before = bench.keys()
    assert planned(bench).refusals
    with pytest.raises(RepositoryError, match="Nothing was pruned"):
        pruning(bench).run(planned(bench), QuietProgress())
    assert bench.keys() == before


def test_a_plan_that_is_carried_out_late_spares_what_new_points_need(bench: Bench) -> None:
    history = two_points(bench)
    place = sorted(bench.keys("manifests/"))[1]
    manifest = (bench.root / place).read_bytes()
    forget(bench, [history.points[1][0]])
    prune(bench)
    plan = planned(bench)
    assert plan.delete
    (bench.root / place).write_bytes(manifest)
    summary = pruning(bench).run(plan, QuietProgress())
    assert summary.packs_deleted == 0
    assert not [key for key in bench.keys("tombstones/") if key.endswith(".final")]
    history.check()


@both
def test_of_two_packs_with_the_same_blobs_one_goes_and_the_other_is_read_before(bench: Bench) -> None:
    history = History(bench)
    bench.source.write(b"file", noise(40_000, 1))
    history.backup()
    (first,) = bench.keys("packs/")
    bench.open().marks.mark(first, "for a test")
    bench.source.write(b"more", noise(30_000, 2))
    history.backup()
    (second,) = bench.keys("packs/") - {first}
    bench.open().marks.unmark(first)
    bench.damage(second)  # it would be preferred, and nobody knows yet
    bench.open().marks.mark(first, "for a test")
    assert prune(bench).damaged == 1
    assert bench.open().marks.damaged() == {first, second}
    assert prune(bench).damaged == 0
    assert first in packs(bench)
    bench.open().marks.unmark(first)
    prune(bench)
    assert first in packs(bench)
    assert bench.content(history.points[0][0]) == {b"file": noise(40_000, 1)}


def mostly_waste(bench: Bench) -> History:
    """Of a pack of 100 kB, the only point that is left needs 40."""
    history = History(bench)
    bench.source.write(b"goes", noise(60_000, 1))
    bench.source.write(b"stays", noise(40_000, 2))
    history.backup()
    bench.source.remove(b"goes")
    history.backup()
    history.forget(0)
    return history


@both
def test_a_pack_that_is_cut_short_stands_in_for_no_other(bench: Bench) -> None:
    """It would be preferred, and nobody read it since it was cut."""
    history = mostly_waste(bench)
    (first,) = bench.keys("packs/")
    bench.open().marks.mark(first, "for a test")
    history.backup()
    (second,) = bench.keys("packs/") - {first}
    bench.open().marks.unmark(first)
    (bench.root / second).write_bytes((bench.root / second).read_bytes()[:-200])
    for _ in range(2):
        prune(bench)
    assert first in packs(bench)
    history.check()


@both
def test_partly_used_packs_are_rewritten_above_the_limit_only(bench: Bench) -> None:
    history = mostly_waste(bench)
    assert not planned(bench, PruneSettings(timedelta(0), 0.7)).rewrite
    settings = PruneSettings(timedelta(0), 0.1)
    plan = planned(bench, settings)
    assert len(plan.rewrite) >= 1
    assert plan.rewrite_saves == pytest.approx(60_000, rel=0.1)
    summary = prune(bench, settings)
    assert summary.packs_rewritten >= 1
    history.check()
    assert prune(bench, settings).freed_bytes > 100_000
    history.check()
    assert sum((bench.root / key).stat().st_size for key in bench.keys("packs/")) < 45_000
    assert not planned(bench, settings).rewrite


def test_damage_that_rewriting_meets_is_marked(tmp_path: Path) -> None:
    bench = Bench(tmp_path / "repository")
    mostly_waste(bench)
    [pack] = bench.keys("packs/")
    size = (bench.root / pack).stat().st_size
    for position in range(8, size - 2000, 10_000):
        bench.damage(pack, position)
    assert prune(bench, PruneSettings(timedelta(0), 0.1)).damaged == 1
    assert pack in bench.open().marks.damaged()
    assert bench.keys(pack)


def test_without_an_identity_contents_are_not_rewritten_and_the_plan_says_so(tmp_path: Path) -> None:
    from backup_platform_tests.support import writer_keys

    bench = Bench(tmp_path / "repository", encrypted=True)
    history = mostly_waste(bench)
    everything, bench.held = bench.held, writer_keys()
    settings = PruneSettings(timedelta(0), 0.1)
    plan = planned(bench, settings)
    assert not any(pack.key.startswith("packs/") for pack in plan.rewrite)
    assert plan.needs_identity == pytest.approx(60_000, rel=0.1)
    for _ in range(2):
        prune(bench, settings)
    bench.held = everything
    history.check()


@both
def test_an_interrupted_backups_packs_go_after_the_grace(bench: Bench) -> None:
    history = two_points(bench)
    before = packs(bench)
    bench.source.write(b"large", noise(300_000, 9))

    def die() -> None:
        raise KeyboardInterrupt

    bench.source.during = die
    with pytest.raises(KeyboardInterrupt):
        bench.backup()
    bench.source.during = lambda: None
    extra = packs(bench) - before
    for _ in range(2):
        prune(bench)
    assert not extra & packs(bench)
    history.check()


def test_foreign_objects_and_fresh_drafts_are_left_alone(bench: Bench) -> None:
    history = two_points(bench)
    foreign = bench.root / "packs" / "aa" / "notes.txt"
    foreign.parent.mkdir(exist_ok=True)
    foreign.write_text("keep")
    drafts = [bench.root / "packs" / "aa" / f"{'a' * 64}#{n}" for n in (1, 2)]
    for draft in drafts:
        draft.write_text("half")
    age(bench, f"packs/aa/{'a' * 64}#1", hours=2)
    history.forget(0)
    assert prune(bench, AT_ONCE).drafts_deleted == 1
    prune(bench)
    assert foreign.exists()
    assert [draft.exists() for draft in drafts] == [False, True]
