"""The index: every blob is found where it is, also among equal prefixes and in several packs."""

from __future__ import annotations

from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backup_platform.errors import DamageError
from backup_platform.repository.objects.names import PackKey
from backup_platform.repository.packs.index import ABSENT, BlobIndex, IndexedPack, Location, index_pack
from backup_platform.repository.packs.index_objects import decode_index, encode_index
from backup_platform.repository.packs.packs import Frame
from backup_platform_tests.support import flipped, noise

# Few prefixes, so that many ids share theirs: found by the rest of the id only.
IDS = st.builds(
    lambda prefix, rest: prefix * 8 + rest.to_bytes(24, "big"),
    st.sampled_from([b"\0", b"\x01", b"\xff"]),
    st.integers(0, 12),
)
FRAMES = st.lists(
    st.lists(st.tuples(IDS, st.integers(1, 1000)), min_size=1, max_size=5), min_size=1, max_size=4
)
PACKS = st.lists(st.tuples(FRAMES, st.booleans()), max_size=6)


def key_of(number: int, *, meta: bool = False) -> PackKey:
    return PackKey.of(noise(32, number), meta=meta)


def pack_of(number: int, shape: list[list[tuple[bytes, int]]], meta: bool = False) -> IndexedPack:
    frames, offset = [], 0
    for blobs in shape:
        plain = sum(length for _, length in blobs)
        frames.append(Frame(offset, plain // 2 + 9, plain, tuple(blobs)))
        offset += plain // 2 + 9
    return index_pack(key_of(number, meta=meta), frames)


def places(number: int, shape: list[list[tuple[bytes, int]]]) -> dict[bytes, Location]:
    """Where the blobs of a pack are, computed another way; the first of equal ones."""
    found: dict[bytes, Location] = {}
    start = 0
    for blobs in shape:
        plain, offset = sum(length for _, length in blobs), 0
        stored = plain // 2 + 9
        for identity, length in blobs:
            found.setdefault(identity, Location(key_of(number), start, stored, plain, offset, length))
            offset += length
        start += stored
    return found


@given(shapes=st.lists(FRAMES, max_size=5), at_once=st.booleans(), asked=st.lists(IDS, max_size=30))
def test_find_find_all_and_locate_agree(
    shapes: list[list[list[tuple[bytes, int]]]], at_once: bool, asked: list[bytes]
) -> None:
    packs = [pack_of(n, shape) for n, shape in enumerate(shapes)]
    index = BlobIndex()
    for batch in [packs] if at_once else [[pack] for pack in packs]:
        index.add(batch)
    expected: dict[bytes, Location] = {}
    for n, shape in enumerate(shapes):
        for identity, place in places(n, shape).items():
            expected.setdefault(identity, place)  # the pack that was added first
    rows = index.find_all(b"".join(asked))
    for identity, row in zip(asked, rows.tolist(), strict=True):
        assert index.find(identity) == row
        assert index.locate(identity) == expected.get(identity)
        assert (row == ABSENT) is (identity not in expected)
        if row != ABSENT:
            assert index.packs[index.pack_number(row)] == expected[identity].pack
    present = [identity for identity in asked if identity in expected]
    assert index.locate_all(b"".join(present)) == [expected[identity] for identity in present]
    assert index.pack_numbers(rows[rows != ABSENT]) == {index.packs.index(expected[i].pack) for i in present}


def test_what_is_missing_is_named() -> None:
    index = BlobIndex()
    index.add([pack_of(0, [[(bytes(32), 1)]])])
    missing = b"\xab" * 32
    with pytest.raises(DamageError, match=r"1 needed blob is.*abababababab"):
        index.locate_all(bytes(32) + missing)


def test_an_empty_index_has_nothing() -> None:
    index = BlobIndex()
    assert index.find(bytes(32)) == ABSENT
    assert index.find_all(bytes(64)).tolist() == [ABSENT, ABSENT]
    assert index.find_all(b"").tolist() == []
    assert index.locate(bytes(32)) is None


@given(shapes=PACKS.filter(bool))
def test_round_trip(shapes: list[tuple[list[list[tuple[bytes, int]]], bool]]) -> None:
    packs = [pack_of(n, shape, meta) for n, (shape, meta) in enumerate(shapes)]
    found = list(decode_index(encode_index(packs)))
    assert [p.key for p in found] == [p.key for p in packs]
    for before, after in zip(packs, found, strict=True):
        np.testing.assert_array_equal(before.rows, after.rows)


def test_round_trip_of_several_row_groups() -> None:
    shape = [[(noise(32, n), 1) for n in range(2_000)]]
    packs = [pack_of(n, shape) for n in range(600)]
    found = list(decode_index(encode_index(packs)))
    assert [p.key for p in found] == [p.key for p in packs]
    assert all(len(p.rows) == 2_000 for p in found)


def test_equal_packs_give_equal_bytes() -> None:
    shape = [[(noise(32, n), n + 1) for n in range(50)]]
    assert encode_index([pack_of(1, shape)]) == encode_index([pack_of(1, shape)])


def test_garbage_is_damage() -> None:
    data = encode_index([pack_of(1, [[(noise(32, 1), 5)]])])
    for broken in (b"", b"PAR1", data[:-1], data[:100], flipped(data, -6), bytes(len(data))):
        with pytest.raises(DamageError):
            list(decode_index(broken))
    for position in range(len(data)):
        with suppress(DamageError):  # and nothing else; what it decodes to, the object's hash does not allow
            list(decode_index(flipped(data, position)))


def test_a_table_of_another_kind_is_damage() -> None:
    import io

    import pyarrow as pa
    import pyarrow.parquet as pq

    sink = io.BytesIO()
    pq.write_table(pa.table({"other": pa.nulls(3)}), sink)
    with pytest.raises(DamageError):
        list(decode_index(sink.getvalue()))


def test_the_stored_size_of_blobs_is_their_share_of_their_frames() -> None:
    index, shape = BlobIndex(), [[(b"\1" * 32, 100), (b"\2" * 32, 300)], [(b"\3" * 32, 82)]]
    index.add([pack_of(1, shape)])
    # Frames of 400 and 82 bytes are stored in 209 and 50 (pack_of).
    assert index.stored_size(b"\1" * 32) == round(209 / 4)
    assert index.stored_size(b"\1" * 32 + b"\2" * 32 + b"\3" * 32) == 209 + 50
    assert index.stored_size(b"\4" * 32) == index.stored_size(b"") == 0
