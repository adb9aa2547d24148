"""Packs: what was put in comes out, and nothing else is ever taken for it."""

from __future__ import annotations

import struct
from dataclasses import dataclass

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from backup_platform.domain.limits import MAX_BLOB, MAX_FRAME_STORED
from backup_platform.errors import DamageError
from backup_platform.repository.objects.names import PackKey, digest
from backup_platform.repository.packs.packs import (
    BLOB,
    FRAME,
    HEAD,
    TAIL,
    Frame,
    PackBuilder,
    check_pack,
    decode_table,
    decompress,
    encode_table,
    frames_of,
    split,
    table_length,
)
from backup_platform_tests.support import Bench, flipped, noise, text

FRAMES = st.lists(
    st.lists(st.binary(min_size=1, max_size=300), min_size=1, max_size=6), min_size=1, max_size=6
)


def make_pack(frames: list[list[bytes]]) -> bytes:
    builder = PackBuilder()
    for blobs in frames:
        data = b"".join(blobs)
        builder.add(zstandard.compress(data, 3), len(data), [(digest(b), len(b)) for b in blobs])
    return bytes(builder.finish())


@dataclass
class Decoded:
    blobs: list[tuple[bytes, bytes]]


def decoded(pack: bytes) -> list[tuple[bytes, bytes]]:
    decompressor, found = zstandard.ZstdDecompressor(), []
    for frame in check_pack(pack):
        data = decompress(pack[frame.offset : frame.offset + frame.stored], frame.plain, decompressor)
        found += [(identity, bytes(blob)) for identity, blob in split(data, frame.blobs)]
    return found


@given(frames=FRAMES)
def test_round_trip(frames: list[list[bytes]]) -> None:
    blobs = [blob for frame in frames for blob in frame]
    assert decoded(make_pack(frames)) == [(digest(blob), blob) for blob in blobs]


@given(frames=FRAMES)
def test_any_zstd_program_opens_a_pack(frames: list[list[bytes]]) -> None:
    pack = make_pack(frames)
    plain = zstandard.ZstdDecompressor().decompressobj(read_across_frames=True).decompress(pack)
    assert plain == b"".join(blob for frame in frames for blob in frame)


def test_every_flipped_byte_is_damage_or_means_nothing() -> None:
    """A few bits of zstd's frame header are unused: what they change is nothing that decodes. The pack's id sees
    them, too."""
    pack = make_pack([[b"first blob", b"second"], [text(700, 1)], [b"x"]])
    original, harmless = decoded(pack), 0
    for position in range(len(pack)):
        for bit in range(8):
            altered = bytearray(pack)
            altered[position] ^= 1 << bit
            try:
                assert decoded(bytes(altered)) == original
                harmless += 1
            except DamageError:
                continue
    assert harmless <= 3 * 4  # in each of three frames


def test_every_truncation_is_damage() -> None:
    pack = make_pack([[b"first blob", b"second"], [text(700, 1)], [b"x"]])
    for length in range(len(pack)):
        with pytest.raises(DamageError):
            check_pack(pack[:length])


def test_bytes_added_anywhere_are_damage() -> None:
    pack = make_pack([[b"first blob", b"second"], [b"x"]])
    for position in range(len(pack) + 1):
        with pytest.raises(DamageError):
            check_pack(pack[:position] + b"\0" + pack[position:])


def test_a_stored_pack_with_any_byte_changed_or_cut_is_not_verified(bench: Bench) -> None:
    """The name is the hash of the bytes: no bit is meaningless."""
    pack = make_pack([[b"first blob", b"second"], [text(200, 1)]])
    key = PackKey.of(digest(pack), meta=False)
    bench.store.create(key, pack)
    path, repository = bench.root / key, bench.open()
    assert bytes(repository.objects.verified(key)) == pack
    for position in range(len(pack)):
        path.write_bytes(flipped(pack, position))
        with pytest.raises(DamageError, match=key):
            repository.objects.verified(key)
        path.write_bytes(pack[:position])
        with pytest.raises(DamageError, match=key):
            repository.objects.verified(key)


def test_a_table_alone_leads_to_every_blob() -> None:
    pack = make_pack([[b"first", b"second"], [b"third"]])
    table = pack[-table_length(pack[-8:]) :]
    assert decode_table(table) == frames_of(pack)


@pytest.mark.parametrize("tail", [b"", b"BPT1", b"\0\0\0\0BPT1", b"\xff\xff\xff\x00BPT2"])
def test_a_tail_that_is_none(tail: bytes) -> None:
    with pytest.raises(DamageError):
        table_length(tail)


def test_a_table_longer_than_the_pack() -> None:
    with pytest.raises(DamageError, match="cut short"):
        frames_of(struct.pack("<I4s", 5_000, b"BPT1"))


def pack_with(frame: bytes, plain: int, blobs: list[tuple[bytes, int]]) -> bytes:
    builder = PackBuilder()
    builder.add(frame, plain, blobs)
    return bytes(builder.finish())


@pytest.mark.parametrize(
    ("frame", "plain", "blobs"),
    [
        (zstandard.compress(b"ab"), 2, [(digest(b"ab"), 1)]),
        (zstandard.compress(b"ab"), 2, [(digest(b"a"), 1)]),
        (zstandard.compress(b"ab"), 2, [(digest(b"a"), 1), (digest(b"c"), 1)]),
        (zstandard.compress(b"ab"), 2, [(digest(b"ab"), 2), (digest(b""), 1)]),
        (zstandard.compress(b"ab"), 3, [(digest(b"ab"), 2)]),
        (zstandard.compress(b"ab"), 1, [(digest(b"a"), 1)]),
        (zstandard.compress(b"ab") * 2, 2, [(digest(b"ab"), 2)]),
        (b"no zstd", 7, [(digest(b"no zstd"), 7)]),
        (b"", 0, []),
        (zstandard.ZstdCompressor(write_content_size=False).compress(b"ab"), 2, [(digest(b"ab"), 2)]),
        (
            zstandard.compress(bytes((4 << 20) + 1)),
            (4 << 20) + 1,
            [(digest(bytes((4 << 20) + 1)), (4 << 20) + 1)],
        ),
    ],
)
def test_a_frame_that_does_not_hold_what_the_table_says(
    frame: bytes, plain: int, blobs: list[tuple[bytes, int]]
) -> None:
    with pytest.raises(DamageError):
        check_pack(pack_with(frame, plain, blobs))


@pytest.mark.parametrize("counts", [(1, 1), (0, 1), (2, 0), (1, 3)])
def test_a_table_whose_frames_claim_another_number_of_blobs(counts: tuple[int, int]) -> None:
    blobs = [BLOB.pack(digest(b"a"), 1), BLOB.pack(digest(b"b"), 1)]
    body = (
        HEAD.pack(b"BPTOC\x00\x00\x01", 2, 2)
        + b"".join(FRAME.pack(10, 1, n) for n in counts)
        + b"".join(blobs)
    )
    table = body + TAIL.pack(len(body) + TAIL.size, b"BPT1")
    if sum(counts) == 2 and counts != (2, 0):
        assert len(decode_table(table)) == 2
    elif sum(counts) != 2:
        with pytest.raises(DamageError):
            decode_table(table)


@given(
    sizes=st.lists(
        st.tuples(
            st.integers(1, MAX_FRAME_STORED), st.lists(st.integers(1, MAX_BLOB), min_size=1, max_size=2)
        ),
        min_size=1,
        max_size=20,
    )
)
def test_tables_round_trip(sizes: list[tuple[int, list[int]]]) -> None:
    offset, frames = 0, []
    for stored, lengths in sizes:
        blobs = tuple((noise(32, n), length) for n, length in enumerate(lengths))
        frames.append(Frame(offset, stored, sum(lengths), blobs))
        offset += stored
    assert decode_table(encode_table(frames)) == frames
