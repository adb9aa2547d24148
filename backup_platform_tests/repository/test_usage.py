"""Which packs stay for the needed blobs: a rule over random packs; and what it costs."""

from __future__ import annotations

import tracemalloc

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from backup_platform.repository.deletion.usage import Usage, blobs_of
from backup_platform.repository.objects.names import PackKey, digest
from backup_platform.repository.packs.index import ROW, BlobIndex, IndexedPack

BLOBS = [digest(bytes([n])) for n in range(12)]


def indexed(number: int, blobs: list[int]) -> IndexedPack:
    rows = np.zeros(len(blobs), ROW)
    rows["blob"] = np.frombuffer(b"".join(BLOBS[n] for n in blobs), "<u8").reshape(-1, 4)
    rows["length"] = rows["frame_plain"] = rows["frame_stored"] = 10
    return IndexedPack(PackKey.of(digest(b"pack %d" % number), meta=False), rows)


packs_of_blobs = st.lists(st.lists(st.integers(0, 9), min_size=1, max_size=5), min_size=1, max_size=6)


@settings(max_examples=60)
@given(packs=packs_of_blobs, wanted=st.sets(st.integers(0, 11)), weak=st.sets(st.integers(0, 5)))
def test_every_needed_blob_stays_in_a_pack_that_is_not_weak_or_in_all_that_hold_it(
    packs: list[list[int]], wanted: set[int], weak: set[int]
) -> None:
    index = BlobIndex()
    index.add(indexed(number, blobs) for number, blobs in enumerate(packs))
    usage = Usage(index)
    missing = usage.need(b"".join(BLOBS[n] for n in sorted(wanted)))
    held = {blob for blobs in packs for blob in blobs}
    assert missing == len(wanted - held)
    kept = usage.settle(lambda n, share: (n in weak, -share), lambda n: n in weak)
    needed = set(np.flatnonzero(kept.needed).tolist())
    for blob in wanted & held:
        holders = {n for n, blobs in enumerate(packs) if blob in blobs}
        assert holders & needed - weak or (holders <= needed and holders <= weak)
    for n in needed:
        assert set(packs[n]) & wanted
    taken = [blob for n in range(len(packs)) for blob in blobs_of(index, n, kept.taken)]
    assert sorted(taken) == sorted(BLOBS[n] for n in wanted & held)


def test_of_two_packs_the_one_that_is_needed_more_stays_and_stands_in_for_the_other() -> None:
    index = BlobIndex()
    index.add([indexed(0, [1, 2, 3]), indexed(1, [1, 4])])
    usage = Usage(index)
    usage.need(BLOBS[1] + BLOBS[4])
    kept = usage.settle(lambda n, share: (-share,), lambda n: False)
    assert kept.needed.tolist() == [False, True]
    assert kept.stand_ins.tolist() == [[0, 1]]
    assert kept.unused.tolist() == [30, 0]


def test_it_costs_little_memory() -> None:
    """Per million blobs 0.15 GB for all of a survey (docs/prune.md); here what comes on top of the index."""
    count, per = 200_000, 500
    chance = np.random.default_rng(1)
    index = BlobIndex()

    def pack(number: int) -> IndexedPack:
        rows = np.zeros(per, ROW)
        rows["blob"] = chance.integers(0, 2**63, (per, 4), "<u8")
        rows["frame_plain"] = rows["length"] = rows["frame_stored"] = 10
        return IndexedPack(PackKey.of(digest(b"%d" % number), meta=False), rows)

    index.add(pack(number) for number in range(count // per))
    tracemalloc.start()
    try:
        usage = Usage(index)
        usage.need(np.ascontiguousarray(index.rows["blob"]).tobytes())
        usage.settle(lambda n, share: (-share, n), lambda n: False)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak / count < 150
