"""What every store does. A subclass in a test module gives the fixture `store`, empty."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest

from backup_platform.domain.ports import Store, StoredObject
from backup_platform.errors import ConflictError, DamageError, NotFoundError
from backup_platform_tests.support import noise

KEY = "packs/ab/abcd"


class StoreContract:
    MANY = 1_010  # more objects than a store lists in one answer

    @pytest.fixture
    def store(self) -> Store:
        raise NotImplementedError

    @pytest.mark.parametrize("data", [b"", b"x", noise(100_000, 1)])
    def test_what_is_created_is_read(self, store: Store, data: bytes) -> None:
        store.create(KEY, data)
        assert bytes(store.get(KEY)) == data

    @pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
    def test_any_buffer_is_taken(self, store: Store, kind: type) -> None:
        store.create(KEY, kind(b"abc"))
        store.replace("packs/ab/other", memoryview(bytearray(b"-abc-"))[1:4])
        assert bytes(store.get(KEY)) == bytes(store.get("packs/ab/other")) == b"abc"

    def test_a_large_object(self, store: Store) -> None:
        data = noise(40_000_000, 2)
        store.create(KEY, data)
        assert bytes(store.get(KEY)) == data
        assert store.head(KEY).size == len(data)

    def test_a_second_creation_is_a_conflict_and_changes_nothing(self, store: Store) -> None:
        store.create(KEY, b"first")
        with pytest.raises(ConflictError, match=KEY):
            store.create(KEY, b"second")
        assert bytes(store.get(KEY)) == b"first"

    def test_of_many_creations_at_once_one_succeeds(self, store: Store) -> None:
        start, outcomes = threading.Barrier(8), []

        def create(n: int) -> None:
            start.wait()
            try:
                store.create(KEY, b"%d" % n)
                outcomes.append(n)
            except ConflictError:
                outcomes.append(-1)

        threads = [threading.Thread(target=create, args=(n,)) for n in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        (winner,) = (n for n in outcomes if n >= 0)
        assert len(outcomes) == 8
        assert bytes(store.get(KEY)) == b"%d" % winner

    def test_replace_writes_whether_or_not_the_key_exists(self, store: Store) -> None:
        store.replace(KEY, b"first")
        store.replace(KEY, b"second, longer")
        store.replace(KEY, b"third")
        assert bytes(store.get(KEY)) == b"third"

    @pytest.mark.parametrize(("start", "length"), [(0, 10), (0, 1), (9, 1), (3, 4), (0, 0), (5, 0), (10, 0)])
    def test_a_range(self, store: Store, start: int, length: int) -> None:
        store.create(KEY, b"0123456789")
        assert bytes(store.get_range(KEY, start, length)) == b"0123456789"[start : start + length]

    @pytest.mark.parametrize(("start", "length"), [(0, 11), (5, 6), (9, 2), (10, 1), (500, 1), (0, 1 << 30)])
    def test_a_range_beyond_the_end_is_damage(self, store: Store, start: int, length: int) -> None:
        """The object is shorter than it was: no retry helps."""
        store.create(KEY, b"0123456789")
        with pytest.raises(DamageError, match=KEY):
            store.get_range(KEY, start, length)

    def test_a_range_of_an_empty_object_is_damage(self, store: Store) -> None:
        store.create(KEY, b"")
        with pytest.raises(DamageError, match=KEY):
            store.get_range(KEY, 0, 1)

    @pytest.mark.parametrize("length", [1, 4, 10, 11, 1_000_000])
    def test_the_tail(self, store: Store, length: int) -> None:
        store.create(KEY, b"0123456789")
        assert bytes(store.get_tail(KEY, length)) == b"0123456789"[-length:]

    def test_the_tail_of_an_empty_object(self, store: Store) -> None:
        store.create(KEY, b"")
        assert bytes(store.get_tail(KEY, 8)) == b""

    def test_head_tells_size_and_time(self, store: Store) -> None:
        store.create(KEY, b"12345")
        found = store.head(KEY)
        assert (found.key, found.size) == (KEY, 5)
        assert abs(found.modified - datetime.now(UTC)) < timedelta(minutes=5)

    def test_what_is_not_there(self, store: Store) -> None:
        store.create("packs/ab/abcde", b"a key that starts the same")
        for read in (
            lambda: store.get(KEY),
            lambda: store.get_range(KEY, 0, 1),
            lambda: store.get_tail(KEY, 1),
            lambda: store.head(KEY),
            lambda: store.get("packs/ab"),
            lambda: store.get("packs"),
        ):
            with pytest.raises(NotFoundError):
                read()

    def test_delete_succeeds_when_there_is_nothing(self, store: Store) -> None:
        store.create(KEY, b"1")
        store.delete(KEY)
        store.delete(KEY)
        with pytest.raises(NotFoundError):
            store.get(KEY)
        store.create(KEY, b"2")
        assert bytes(store.get(KEY)) == b"2"

    def test_list_gives_everything_below_a_prefix(self, store: Store) -> None:
        keys = {"packs/ab/1", "packs/cd/2", "packs/cd/3"}
        for key in keys | {"packs2/ab/1", "pack", "meta/packs/4", "repository.json"}:
            store.create(key, key.encode())
        listed = list(store.list("packs/"))
        assert {found.key for found in listed} == keys
        assert all(found.size == len(found.key) for found in listed)
        assert all(isinstance(found, StoredObject) for found in listed)
        assert {found.key for found in store.list("packs/cd/")} == {"packs/cd/2", "packs/cd/3"}

    @pytest.mark.parametrize("prefix", ["nothing/", "nothing/below/"])
    def test_list_below_a_prefix_that_has_nothing(self, store: Store, prefix: str) -> None:
        store.create(KEY, b"1")
        assert list(store.list(prefix)) == []

    def test_list_of_more_than_a_page(self, store: Store) -> None:
        keys = {f"many/{n % 7}/{n}" for n in range(self.MANY)}
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda key: store.replace(key, b""), keys))
        listed = [found.key for found in store.list("many/")]
        assert len(listed) == self.MANY
        assert set(listed) == keys

    def test_list_while_objects_are_deleted(self, store: Store) -> None:
        for n in range(50):
            store.create(f"many/{n}", b"")
        for found in store.list("many/"):
            store.delete(found.key)
        assert list(store.list("many/")) == []

    def test_its_location_is_told(self, store: Store) -> None:
        assert store.location
