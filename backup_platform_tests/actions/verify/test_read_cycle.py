"""The cycle of reading: every stored byte in turn, resumable, and a number that says how old the oldest proof is."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest

from backup_platform.actions.checks.repositories import read_recently
from backup_platform.actions.verify import packs
from backup_platform.actions.verify.read_cycle import CycleRun, ReadCycle
from backup_platform.actions.verify.run import VerifyResult, verify_due
from backup_platform.domain.ports import Buffer, Store
from backup_platform.errors import StoreError
from backup_platform.repository.objects.names import READS
from backup_platform.repository.repository import Repository
from backup_platform.stores.object_store import DirectoryStore
from backup_platform_tests.support import (
    Bench,
    Call,
    Do,
    Killed,
    ManualClock,
    QuietProgress,
    ScriptedStore,
    noise,
    writer_keys,
)

DAY = timedelta(days=1)
CYCLE = 10 * DAY


class DatedStore(DirectoryStore):
    """A directory whose clock is the test's."""

    clock: ManualClock

    def create(self, key: str, data: Buffer) -> None:
        super().create(key, data)
        seconds = self.clock.now().timestamp()
        os.utime(os.path.join(self.location, key), (seconds, seconds))


@dataclass
class Yard:
    """A repository of `count` packs of contents, all written now, and its reading."""

    bench: Bench

    def cycle(self, store: Store | None = None) -> ReadCycle:
        return ReadCycle(self.repository(store), CYCLE, self.bench.clock)

    def repository(self, store: Store | None = None) -> Repository:
        return self.bench.open(store)

    def run(self, store: Store | None = None, budget: int | None = None) -> CycleRun:
        return self.cycle(store).run(QuietProgress(), budget=budget)

    def verify(self, store: Store | None = None) -> VerifyResult:
        cycle = self.cycle(store)
        points, errors = cycle.repository.points.readable()
        return verify_due(cycle, points, QuietProgress(), unreadable=[error.message for error in errors])

    def pass_time(self, days: float) -> None:
        self.bench.clock.advance(days=days)

    def damage(self, key: str) -> None:
        """The store does not notice: the time of the object stays."""
        path = self.bench.root / key
        times = (path.stat().st_atime, path.stat().st_mtime)
        self.bench.damage(key)
        os.utime(path, times)

    @property
    def packs(self) -> set[str]:
        return self.bench.keys("packs/") | self.bench.keys("meta/")


def yard_of(root: Path, count: int, *, encrypted: bool = False) -> Yard:
    bench = Bench(root, encrypted=encrypted)
    store = DatedStore(str(root))
    store.clock = bench.clock
    bench.store = store
    for n in range(count):
        bench.source.write(b"part%d" % n, noise(30_000, n))
        bench.backup()
    return Yard(bench)


@pytest.fixture
def yard(tmp_path: Path) -> Yard:
    return yard_of(tmp_path, 6)


def test_in_a_cycle_everything_is_read_a_part_each_day(yard: Yard) -> None:
    read: list[str] = []
    for _ in range(9):
        yard.pass_time(1)
        run = yard.run()
        assert len(run.reading.sound) <= 4
        read += run.reading.sound
    assert set(read) == yard.packs
    status = yard.cycle().status()
    assert (status.size_read, status.size_never, status.packs) == (status.size, 0, len(yard.packs))
    assert status.size == sum((yard.bench.root / key).stat().st_size for key in yard.packs)
    assert not status.overdue


def test_the_age_of_the_oldest_unread_byte_grows_until_it_is_read(yard: Yard) -> None:
    yard.pass_time(12)
    status = yard.cycle().status()
    assert status.oldest_s == pytest.approx(12 * 86400, abs=3600)
    assert status.overdue
    assert status.size_due == status.size == status.size_never
    after = yard.run().status
    assert (after.oldest_s, after.size_due, after.overdue) == (0, 0, False)
    assert yard.cycle().status() == after


def test_the_run_reads_no_more_than_its_budget_but_something(yard: Yard) -> None:
    yard.pass_time(12)
    size = sum(held.size for held in yard.cycle().due()[:3])
    assert len(yard.run(budget=size).reading.sound) == 3
    assert len(yard.run(budget=1).reading.sound) == 1
    assert len(yard.cycle().due()) == len(yard.packs) - 4


def test_an_interrupted_run_goes_on_where_it_was(yard: Yard, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packs, "SLICE", 2)
    yard.pass_time(12)

    def dies(call: Call) -> Do | None:
        return Do.DIE if call.verb == "create" and len(yard.bench.keys(READS)) == 2 else None

    with pytest.raises(Killed):
        yard.run(ScriptedStore(yard.bench.store, dies))
    assert len(yard.cycle().due()) == len(yard.packs) - 4
    assert len(yard.run().reading.sound) == len(yard.packs) - 4


def test_a_store_that_does_not_answer_is_an_error_and_no_read(yard: Yard) -> None:
    yard.pass_time(12)
    broken = ScriptedStore(
        yard.bench.store, lambda c: Do.FAIL if c.verb == "get" and "packs/" in c.key else None
    )
    with pytest.raises(StoreError):
        yard.run(broken)
    assert not yard.bench.keys(READS)
    assert not yard.bench.open().marks.damaged()


@pytest.mark.parametrize("days", [-400, 400])
def test_a_clock_that_is_wrong_hides_nothing(yard: Yard, days: float) -> None:
    """Behind: nothing is younger than the store says. Ahead: what is read then is dated by the store."""
    yard.pass_time(12)
    yard.run(budget=1)
    right = yard.cycle().status()
    wrong = ReadCycle(yard.repository(), CYCLE, ManualClock(yard.bench.clock.now() + timedelta(days=days)))
    assert wrong.run(QuietProgress(), budget=1).status.oldest_s >= right.oldest_s - 3600
    yard.pass_time(1)
    assert yard.cycle().status().oldest_s == pytest.approx(right.oldest_s + 86400, abs=3600)


def test_a_damaged_pack_is_marked_told_of_and_does_not_hold_up_the_others(yard: Yard) -> None:
    yard.pass_time(12)
    bad = yard.cycle().due()[0].key
    yard.damage(bad)
    run = yard.run(budget=1)
    assert run.reading.damaged.keys() == {bad} == yard.bench.open().marks.damaged()
    assert run.status.damaged == (bad,)
    assert bad not in {held.key for held in yard.cycle().due()}
    verdict = read_recently(yard.run().status)
    assert (verdict.passed, verdict.severity) == (False, "error")
    assert bad in verdict.summary


def test_what_prune_deletes_meanwhile_is_no_damage(yard: Yard) -> None:
    yard.pass_time(12)
    gone = yard.cycle().due()[0].key
    listed: list[str] = []

    def vanishes(call: Call) -> Do | None:
        if call.verb == "get" and call.key == gone and not listed:
            listed.append(call.key)
            (yard.bench.root / gone).unlink()
        return None

    run = yard.run(ScriptedStore(yard.bench.store, vanishes))
    assert run.reading.gone.keys() == {gone}
    assert not run.reading.damaged
    assert not yard.bench.open().marks.damaged()
    assert run.status == yard.cycle().status()


# As part of a verify


def test_verify_tells_which_points_damage_concerns_and_records_it(yard: Yard) -> None:
    yard.pass_time(12)
    assert yard.verify().passed
    assert yard.bench.open().proofs.by_point() == {}  # not all of a point's packs are read in one run
    points = yard.bench.open().points.all()
    newest = max(yard.bench.keys("packs/"), key=lambda key: (yard.bench.root / key).stat().st_mtime)
    yard.damage(newest)
    yard.pass_time(12)
    for _ in range(2):  # also when it was found before
        result = yard.verify()
        assert result.findings.keys() == {points[-1].id}
        assert result.rotation is not None
        assert result.rotation.damaged == (newest,)
    proofs = yard.bench.open().proofs.by_point()
    assert proofs.keys() == {points[-1].id}
    assert not any(proof.passed for proof in proofs[points[-1].id])


def test_what_is_missing_is_found_although_nothing_is_due(yard: Yard) -> None:
    (yard.bench.root / min(yard.bench.keys("packs/"))).unlink()
    assert not yard.verify().passed


def test_a_host_without_an_identity_reads_and_compares_hashes(tmp_path: Path) -> None:
    yard = yard_of(tmp_path, 2, encrypted=True)
    yard.bench.held = writer_keys()
    yard.pass_time(12)
    result = yard.verify()
    assert result.passed
    assert result.packs_not_decoded == len(yard.bench.keys("packs/"))
    assert result.rotation is not None
    assert result.rotation.size_never == 0
    yard.damage(min(yard.bench.keys("packs/")))
    yard.pass_time(12)
    assert not yard.verify().passed


# The check


def test_the_check_passes_while_everything_was_read_in_time(yard: Yard) -> None:
    yard.pass_time(5)
    verdict = read_recently(yard.run().status)
    assert verdict.passed
    assert verdict.metadata["cycle_s"] == CYCLE.total_seconds()
    yard.pass_time(12)
    late = read_recently(yard.cycle().status())
    assert (late.passed, late.severity) == (False, "warn")
    assert late.metadata["oldest_unverified_s"] == pytest.approx(17 * 86400, abs=86400 * 6)


def test_the_requests_do_not_grow_with_the_number_of_runs(yard: Yard) -> None:
    """Listings, and a handful of objects of the ledger; of packs only what is due is read."""
    for _ in range(30):
        yard.pass_time(1)
        yard.run()
    store = ScriptedStore(yard.bench.store)
    cycle = yard.cycle(store)
    before = len(store.calls)
    cycle.status()
    calls = store.calls[before:]
    assert {call.verb for call in calls} == {"list", "get"}
    assert sum(call.verb == "list" for call in calls) == 4
    assert {call.key.rpartition("/")[0] + "/" for call in calls if call.verb == "get"} == {READS}
    assert sum(call.verb == "get" for call in calls) <= 8
