"""Which retentions are prolonged when: over a store in memory that notes them."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from backup_platform.actions.copy.run import Copying
from backup_platform.actions.object_locks import ObjectLocks, retained_until
from backup_platform.actions.structure import needs_of
from backup_platform.domain.ports import StoredObject
from backup_platform.errors import NotFoundError, StoreError
from backup_platform.repository.records.locks import newest_locks
from backup_platform.stores.wrapping import WrappedStore
from backup_platform_tests.actions.copy_support import make_pair
from backup_platform_tests.support import Bench

DAY = timedelta(days=1)
LOCK = 30 * DAY


class Noted:
    """`ports.ObjectLock` that remembers. The first `failures` calls fail."""

    def __init__(self) -> None:
        self.lock = LOCK
        self.until: dict[str, datetime] = {}
        self.calls: list[set[str]] = []
        self.failures = 0

    def retain(self, keys: Collection[str], until: datetime) -> None:
        self.calls.append(set(keys))
        if self.failures:
            self.failures -= 1
            raise StoreError("no answer", retryable=True)
        self.until |= {key: max(until, self.until.get(key, until)) for key in keys}


@pytest.fixture(params=[False, True], ids=["plain", "encrypted"])
def bench(tmp_path: Path, request: pytest.FixtureRequest) -> Bench:
    made = Bench(tmp_path / "repository", encrypted=request.param)
    made.source.write(b"a", b"first")
    return made


def backup(bench: Bench, locks: Noted, source: str = "docs") -> frozenset[str]:
    """What the new point needs, kept locked."""
    point = bench.backup()
    packs = needs_of(bench.open(), point).packs
    ObjectLocks(bench.open(), locks, bench.clock).keep(source, packs)
    return packs


def test_everything_is_retained_first_and_again_at_half_of_the_time(bench: Bench) -> None:
    locks = Noted()
    needed = {*backup(bench, locks), "repository.json", *bench.keys("indexes/"), *bench.keys("keys/")}
    assert locks.until == dict.fromkeys(needed, retained_until(bench.clock.now(), LOCK))
    for _ in range(4):
        bench.clock.advance(days=3)
        backup(bench, locks)
    assert len(locks.calls) == 1
    bench.clock.advance(days=4)
    backup(bench, locks)
    assert len(locks.calls) == 2
    assert needed <= locks.calls[1]


class Dated(WrappedStore):
    """Its objects have the time that the test's clock had when they were first listed."""

    def __init__(self, bench: Bench) -> None:
        super().__init__(bench.store)
        self.clock, self.times = bench.clock, dict[str, datetime]()

    def list(self, prefix: str) -> Iterator[StoredObject]:
        for found in self.inner.list(prefix):
            yield replace(found, modified=self.times.setdefault(found.key, self.clock.now()))


def test_no_needed_object_ever_has_less_than_half_ahead_of_it(tmp_path: Path) -> None:
    bench, locks = Bench(tmp_path / "repository"), Noted()
    store = Dated(bench)
    for turn in range(16):
        bench.source.write(b"file %d" % (turn % 5), b"%d" % (turn // 5))
        point = bench.backup()
        list(store.list(""))
        needed = needs_of(bench.open(), point).packs
        ObjectLocks(bench.open(store), locks, bench.clock).keep("docs", needed)
        for key, time in store.times.items():
            assert max(locks.until.get(key, time), time + LOCK) >= bench.clock.now() + LOCK / 2 or (
                key not in needed
            )
        assert locks.until["repository.json"] >= bench.clock.now() + LOCK / 2
        bench.clock.advance(days=4)
    assert len(locks.calls) == 4


def test_another_lock_in_the_plan_retains_everything_anew(bench: Bench) -> None:
    locks = Noted()
    backup(bench, locks)
    locks.lock = 50 * DAY  # half of it is less than what was recorded
    backup(bench, locks)
    assert locks.calls[0] <= locks.calls[1]


def test_an_old_pack_that_is_needed_again_is_prolonged_alone(tmp_path: Path) -> None:
    bench, locks = Bench(tmp_path / "repository"), Noted()
    store = Dated(bench)
    bench.source.write(b"comes back", b"x" * 9_000)
    old = needs_of(bench.open(), bench.backup()).packs
    list(store.list(""))
    bench.source.remove(b"comes back")
    bench.source.write(b"other", b"y")
    bench.clock.advance(days=1)
    backup(bench, locks)
    bench.source.write(b"comes back", b"x" * 9_000)
    bench.clock.advance(days=15)
    needed = needs_of(bench.open(), bench.backup()).packs
    list(store.list(""))
    ObjectLocks(bench.open(store), locks, bench.clock).keep("docs", needed)
    assert locks.calls[1:] == [{key for key in needed & old if key.startswith("packs/")}]
    ObjectLocks(bench.open(store), locks, bench.clock).keep("docs", needed)
    assert len(locks.calls) == 2


def test_another_source_retains_what_it_shares(bench: Bench) -> None:
    locks = Noted()
    packs = backup(bench, locks)
    backup(bench, locks, "others")
    assert packs <= locks.calls[1]


def test_what_failed_is_done_by_the_next_call(bench: Bench) -> None:
    locks = Noted()
    locks.failures = 1
    with pytest.raises(StoreError):
        backup(bench, locks)
    assert newest_locks(bench.open().objects, "docs") is None
    backup(bench, locks)
    assert locks.until


def test_an_index_that_prune_merged_meanwhile_fails_no_backup(bench: Bench) -> None:
    class Merged(Noted):
        def retain(self, keys: Collection[str], until: datetime) -> None:
            if not self.until and not self.calls:
                bench.store.delete(min(bench.keys("indexes/")))
            for key in sorted(set(keys) - bench.keys()):
                self.calls.append(set())
                raise NotFoundError(f"{key} is gone")
            super().retain(keys, until)

    locks = Merged()
    assert backup(bench, locks) <= locks.until.keys()
    with pytest.raises(NotFoundError):  # a pack is no index
        ObjectLocks(bench.open(), locks, bench.clock).keep("other", {"packs/00/" + "0" * 64})


def test_a_record_that_is_altered_is_none(bench: Bench) -> None:
    locks = Noted()
    backup(bench, locks)
    for key in bench.keys("ledger/locks/"):
        bench.damage(key)
    backup(bench, locks)
    assert len(locks.calls) == 2


def test_copies_keep_what_they_need_locked_also_when_that_failed_before(tmp_path: Path) -> None:
    pair = make_pair(tmp_path)
    first, second = pair.backup(), pair.backup()
    asked: list[tuple[str, set[str]]] = []

    def keep(source: str, packs: Collection[str]) -> None:
        asked.append((source, set(packs)))
        if len(asked) == 1:
            raise StoreError("no answer", retryable=True)

    def copy() -> None:
        copying = Copying(pair.bench.open(), pair.open(), pair.bench.clock, keep)
        copying.run(copying.plan(copying.origin.points.all()))

    with pytest.raises(StoreError):
        copy()
    pair.check(first, second)
    copy()
    needed = needs_of(pair.open(), second).packs
    assert [(source, packs >= needed) for source, packs in asked] == [(first.source, True)] * 2


def test_of_very_many_objects_a_record_names_as_many_as_it_may(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that is larger than a document could not be read again."""
    monkeypatch.setattr("backup_platform.repository.records.locks.LOCKED_KEYS", 2)
    locks = Noted()
    needed = backup(bench, locks)
    assert needed <= locks.until.keys()
    record = newest_locks(bench.open().objects, "docs")
    assert record is not None
    assert len(record.keys) == 2
