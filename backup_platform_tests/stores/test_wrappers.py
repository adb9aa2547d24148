"""What is added to a store by wrapping it: repetition, limits, single and blind writers, copies."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from obstore.store import MemoryStore

from backup_platform.domain.ports import Buffer, Store
from backup_platform.errors import ConflictError, NotFoundError, StoreError, StoreRefusedError
from backup_platform.stores.caching import LIFETIME_S, CachingStore
from backup_platform.stores.limits import SingleWriterStore, ThrottledStore, WriteOnlyStore
from backup_platform.stores.object_store import ObjectStore
from backup_platform.stores.retrying import ATTEMPTS, LONGEST_PAUSE_S, RetryingStore
from backup_platform.stores.wrapping import WrappedStore
from backup_platform_tests.contracts.store_contract import StoreContract
from backup_platform_tests.support import Call, Do, ScriptedStore

PACK = "packs/ab/abcd"
INDEX = "indexes/abcd"


def memory() -> Store:
    return ObjectStore(MemoryStore(), "memory://")


class TestWrapped(StoreContract):
    """Those that change nothing for who uses them, one around the other."""

    @pytest.fixture
    def store(self, tmp_path: Path) -> Store:
        store: Store = ThrottledStore(memory(), 10**12)
        return CachingStore(RetryingStore(store), str(tmp_path))


class TestRetrying:
    @pytest.fixture
    def pauses(self) -> list[float]:
        return []

    def failing(self, pauses: list[float], times: int, do: Do = Do.FAIL) -> tuple[Store, ScriptedStore]:
        scripted = ScriptedStore(memory(), lambda call: do if call.number <= times else None)
        return RetryingStore(scripted, pauses.append), scripted

    @pytest.mark.parametrize("verb", ["create", "replace"])
    def test_what_may_pass_is_repeated(self, pauses: list[float], verb: str) -> None:
        store, _ = self.failing(pauses, ATTEMPTS - 1)
        getattr(store, verb)(PACK, b"1")
        assert bytes(store.get(PACK)) == b"1"
        assert len(pauses) == ATTEMPTS - 1

    def test_pauses_grow_and_differ(self, pauses: list[float]) -> None:
        for _ in range(20):
            self.failing(pauses, ATTEMPTS - 1)[0].create(PACK, b"1")
        first, last = pauses[:: ATTEMPTS - 1], pauses[ATTEMPTS - 2 :: ATTEMPTS - 1]
        assert max(first) < min(last)
        assert max(last) <= LONGEST_PAUSE_S
        assert len(set(first)) > 10

    def test_it_ends(self, pauses: list[float]) -> None:
        store, scripted = self.failing(pauses, 1_000)
        with pytest.raises(StoreError, match="broke"):
            store.create(PACK, b"1")
        assert len(scripted.calls) == ATTEMPTS

    def test_what_lasts_is_not_repeated(self, pauses: list[float]) -> None:
        class Refusing(WrappedStore):
            def get(self, key: str) -> Buffer:
                raise StoreRefusedError("no")

        with pytest.raises(StoreRefusedError):
            RetryingStore(Refusing(memory()), pauses.append).get(PACK)
        assert pauses == []

    def test_a_creation_whose_answer_was_lost_has_happened(self, pauses: list[float]) -> None:
        store, _ = self.failing(pauses, 1, Do.FAIL_AFTER)
        store.create(PACK, b"1")
        assert bytes(store.get(PACK)) == b"1"

    def test_unless_it_was_somebody_elses(self, pauses: list[float]) -> None:
        inner = memory()

        def script(call: Call) -> Do | None:
            if call.number == 1:
                inner.create(PACK, b"theirs")
                return Do.FAIL
            return None

        with pytest.raises(ConflictError):
            RetryingStore(ScriptedStore(inner, script), pauses.append).create(PACK, b"ours")
        assert bytes(inner.get(PACK)) == b"theirs"

    def test_an_object_that_was_there_is_a_conflict_whatever_it_holds(self, pauses: list[float]) -> None:
        store, _ = self.failing(pauses, 0)
        store.create(PACK, b"1")
        with pytest.raises(ConflictError):
            store.create(PACK, b"1")


class TestThrottled:
    def test_the_average_is_kept_over_all_threads_and_both_directions(self) -> None:
        now, lock = [100.0], threading.Lock()

        def sleep(seconds: float) -> None:
            with lock:
                now[0] = max(now[0], now[0] + seconds)

        store = ThrottledStore(memory(), 1000, monotonic=lambda: now[0], sleep=sleep)
        for n in range(4):
            store.create(f"k{n}", bytes(1000))
        assert now[0] == pytest.approx(103)
        store.get("k0")
        store.get_range("k0", 0, 500)
        store.head("k0")
        store.get_tail("k0", 10)
        assert now[0] == pytest.approx(105.5)

    def test_what_was_saved_up_is_lost(self) -> None:
        """A night without traffic is no allowance for the morning."""
        now, slept = [0.0], list[float]()
        store = ThrottledStore(memory(), 1000, monotonic=lambda: now[0], sleep=slept.append)
        store.create("a", bytes(1000))
        now[0] = 10_000.0
        store.create("b", bytes(1000))
        store.create("c", bytes(1000))
        assert slept == [pytest.approx(1.0)]


class Blind(WrappedStore):
    """A store whose credentials may not read packs."""

    def get(self, key: str) -> Buffer:
        if key.startswith("packs/"):
            raise StoreRefusedError("no")
        return self.inner.get(key)


class TestWriteOnly:
    def test_what_was_sent_is_read_back_once(self) -> None:
        store = WriteOnlyStore(Blind(memory()))
        store.create(PACK, b"1")
        assert bytes(store.get(PACK)) == b"1"
        with pytest.raises(StoreRefusedError):
            store.get(PACK)

    def test_a_pack_that_is_there_is_written_again(self) -> None:
        inner = memory()
        inner.create(PACK, b"damaged")
        store = WriteOnlyStore(Blind(inner))
        store.create(PACK, b"1")
        assert bytes(store.get(PACK)) == b"1" == bytes(inner.get(PACK))

    def test_what_is_no_pack_is_read_from_the_store(self) -> None:
        store = WriteOnlyStore(Blind(memory()))
        store.create(INDEX, b"1")
        with pytest.raises(ConflictError):
            store.create(INDEX, b"2")

    def test_what_may_be_read_is_read(self) -> None:
        inner = memory()
        store = WriteOnlyStore(inner)
        store.create(PACK, b"1")
        inner.replace(PACK, b"altered")
        assert bytes(store.get(PACK)) == b"altered"


class TestSingleWriter:
    def test_it_looks_before_it_creates(self) -> None:
        class Overwriting(WrappedStore):
            def create(self, key: str, data: Buffer) -> None:
                self.inner.replace(key, data)

        store = SingleWriterStore(Overwriting(memory()))
        store.create(PACK, b"1")
        with pytest.raises(ConflictError, match=PACK):
            store.create(PACK, b"2")
        assert bytes(store.get(PACK)) == b"1"


class TestCaching:
    @pytest.fixture
    def now(self) -> list[float]:
        return [0.0]

    @pytest.fixture
    def inner(self) -> ScriptedStore:
        store = ScriptedStore(memory())
        store.create(INDEX, b"index")
        store.create(PACK, b"pack")
        return store

    @pytest.fixture
    def make(self, inner: ScriptedStore, tmp_path: Path) -> Callable[[], CachingStore]:
        """A store as a new process has it."""
        return lambda: CachingStore(inner, str(tmp_path / "cache"))

    def gets(self, inner: ScriptedStore) -> int:
        return sum(call.verb == "get" for call in inner.calls)

    def warm(self, make: Callable[[], CachingStore]) -> CachingStore:
        store = make()
        list(store.list("indexes/"))
        assert bytes(store.get(INDEX)) == b"index"
        return store

    def test_a_listed_object_is_read_once(
        self, make: Callable[[], CachingStore], inner: ScriptedStore
    ) -> None:
        self.warm(make)
        self.warm(make)
        assert self.gets(inner) == 1

    def test_only_what_was_listed_now_is_taken_from_a_copy(
        self, make: Callable[[], CachingStore], inner: ScriptedStore
    ) -> None:
        self.warm(make)
        inner.delete(INDEX)
        with pytest.raises(NotFoundError):
            make().get(INDEX)

    def test_packs_are_never_copied(self, make: Callable[[], CachingStore], inner: ScriptedStore) -> None:
        for _ in range(2):
            store = make()
            list(store.list("packs/"))
            store.get(PACK)
        assert self.gets(inner) == 2

    def test_a_check_goes_past_it_and_what_it_finds_stays(
        self, make: Callable[[], CachingStore], inner: ScriptedStore
    ) -> None:
        store = self.warm(make)
        list(store.list("indexes/"))
        with store.direct():
            store.get(INDEX)
        assert self.gets(inner) == 2
        store.get(INDEX)
        assert self.gets(inner) == 2

    def test_what_was_just_written_is_read_back(
        self, make: Callable[[], CachingStore], inner: ScriptedStore
    ) -> None:
        store = self.warm(make)
        with pytest.raises(ConflictError):
            store.create(INDEX, b"index")
        store.get(INDEX)
        assert self.gets(inner) == 2

    def test_an_object_that_changed_is_another_one(
        self, make: Callable[[], CachingStore], inner: ScriptedStore
    ) -> None:
        self.warm(make)
        inner.replace(INDEX, b"other")
        store = make()
        list(store.list("indexes/"))
        assert bytes(store.get(INDEX)) == b"other"

    def test_copies_of_what_is_gone_are_removed(
        self, make: Callable[[], CachingStore], inner: ScriptedStore, tmp_path: Path
    ) -> None:
        self.warm(make)
        assert [p for p in tmp_path.rglob("*") if p.is_file()]
        inner.delete(INDEX)
        list(make().list("indexes/"))
        assert not [p for p in tmp_path.rglob("*") if p.is_file()]

    def test_copies_are_read_anew_after_a_week(self, inner: ScriptedStore, tmp_path: Path) -> None:
        """So that damage in the store does not hide behind them for longer."""
        import time

        late = time.time() + LIFETIME_S + timedelta(minutes=1).total_seconds()
        for clock in (time.time, time.time, lambda: late):
            self.warm(lambda clock=clock: CachingStore(inner, str(tmp_path), clock))  # type: ignore[misc]
        assert self.gets(inner) == 2

    def test_a_copy_that_was_cut_short_is_not_used(
        self, make: Callable[[], CachingStore], inner: ScriptedStore, tmp_path: Path
    ) -> None:
        self.warm(make)
        (copy,) = (p for p in tmp_path.rglob("*") if p.is_file())
        copy.write_bytes(b"in")
        self.warm(make)

    def test_copies_are_for_the_owner_only(self, make: Callable[[], CachingStore], tmp_path: Path) -> None:
        old = os.umask(0)
        try:
            self.warm(make)
        finally:
            os.umask(old)
        for path in (tmp_path / "cache").rglob("*"):
            assert path.stat().st_mode & 0o077 == 0

    def test_a_directory_that_cannot_be_used_costs_requests_only(
        self, inner: ScriptedStore, tmp_path: Path
    ) -> None:
        (tmp_path / "file").write_text("")
        for _ in range(2):
            self.warm(lambda: CachingStore(inner, str(tmp_path / "file")))
        assert self.gets(inner) == 2
