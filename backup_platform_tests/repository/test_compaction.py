"""Indexes: which may go, which are merged; and that no pack loses its last one, whoever prunes beside."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from backup_platform.domain.ports import StoredObject
from backup_platform.repository.deletion.compaction import MOST_SMALL, SMALL_ROWS, mergeable, superfluous
from backup_platform.repository.deletion.survey import StoredIndex
from backup_platform.repository.objects.names import PackKey
from backup_platform_tests.support import START

PACKS = [PackKey.of(bytes([n]) * 32, meta=False) for n in range(6)]


def index(
    number: int, packs: Sequence[int], age_h: int = 0, rows: int = 5, *, readable: bool = True
) -> StoredIndex:
    stored = StoredObject(f"indexes/{number}", 100, START - timedelta(hours=age_h))
    return StoredIndex(stored, {PACKS[n]: rows for n in packs}, readable)


some_indexes = st.lists(st.tuples(st.sets(st.integers(0, 5)), st.integers(0, 4)), max_size=7).map(
    lambda drawn: [index(number, sorted(packs), age) for number, (packs, age) in enumerate(drawn)]
)


@settings(max_examples=80)
@given(
    indexes=some_indexes,
    seen=st.sets(st.integers(0, 6)),
    grace=st.integers(0, 3),
    gone=st.sets(st.integers(0, 5)),
)
def test_a_pack_that_is_there_never_loses_its_last_index(
    indexes: list[StoredIndex], seen: set[int], grace: int, gone: set[int]
) -> None:
    """Two prunes at once, of which one sees fewer indexes than there are."""
    packs = set(PACKS) - {PACKS[n] for n in gone}
    views = [indexes, [each for n, each in enumerate(indexes) if n in seen]]
    deleted = [
        each
        for view in views
        for each in superfluous(view, packs, START, timedelta(hours=grace), all_named=True)
    ]
    left = [each for each in indexes if each not in deleted]
    for pack in packs:
        assert any(pack in each.rows for each in left) == any(pack in each.rows for each in indexes)
    assert all(START - each.stored.modified >= timedelta(hours=grace) for each in deleted)


def test_an_index_goes_when_its_successor_is_older_than_the_grace() -> None:
    old, new = index(1, [1, 2], 30), index(2, [1, 2, 3], 10)
    assert superfluous([old, new], PACKS, START, timedelta(hours=9), all_named=True) == [old]
    assert superfluous([old, new], PACKS, START, timedelta(hours=11), all_named=True) == []


def test_an_unreadable_index_goes_only_when_no_pack_lacks_one() -> None:
    broken = index(1, [], 30, readable=False)
    assert superfluous([broken], PACKS, START, timedelta(hours=9), all_named=True) == [broken]
    assert superfluous([broken], PACKS, START, timedelta(hours=9), all_named=False) == []


def test_many_small_indexes_are_merged_once_and_few_are_not() -> None:
    many = [index(n, [n % 6], 50 - n) for n in range(MOST_SMALL + 6)]
    newest = many[-6:]
    assert mergeable(newest, PACKS) == []
    wide = [index(n, [], 50 - n) for n in range(MOST_SMALL)]
    each = [
        StoredIndex(one.stored, {PackKey.of(bytes([99, n]) * 16, meta=False): 5})
        for n, one in enumerate(wide)
    ]
    packs = {pack for one in each for pack in one.rows}
    assert mergeable(each, packs) == each
    merged = StoredIndex(StoredObject("indexes/m", 9, START), dict.fromkeys(packs, 5))
    assert mergeable([*each, merged], packs) == []


def test_an_index_of_many_packs_that_are_gone_is_written_again() -> None:
    large = index(1, [1, 2, 3], rows=SMALL_ROWS)
    assert mergeable([large], PACKS) == []
    assert mergeable([large], PACKS[:3]) == [large]
    assert mergeable([large], []) == []  # it only goes
