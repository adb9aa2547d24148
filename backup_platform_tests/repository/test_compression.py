"""How blobs are put into frames, and at which level."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import suppress

import pytest
import zstandard

from backup_platform.repository.objects.names import PackKey, digest
from backup_platform.repository.packs.blob_writer import BlobWriter, Workers
from backup_platform.repository.packs.compression import Compressor
from backup_platform.repository.packs.index import BlobIndex, IndexedPack, index_pack
from backup_platform.repository.packs.packs import Frame, PackBuilder, check_pack
from backup_platform_tests.support import noise


def numbers(size: int) -> bytes:
    """Random digits with words between them, as keys and hashes in a table."""
    chance = random.Random(1)
    rows = (
        b"path=/shop/%d session=%016x " % (chance.randrange(900), chance.getrandbits(64)) for _ in range(size)
    )
    return b"".join(rows)[:size]


def prose(size: int) -> bytes:
    chance = random.Random(2)
    words = [bytes(chance.choices(b"etaoinshrdlu", k=chance.randrange(2, 9))) for _ in range(500)]
    return b" ".join(chance.choices(words, k=size // 3 + 1))[:size]


def plainly(data: bytes, level: int) -> bytes:
    return zstandard.ZstdCompressor(level=level).compress(data)


def test_random_digits_take_less_room_than_their_level_gives() -> None:
    data = numbers(1 << 20)
    compressed = Compressor(3).compress(data)
    assert zstandard.ZstdDecompressor().decompress(compressed) == data
    assert len(compressed) < len(plainly(data, 3)) * 0.99


@pytest.mark.parametrize("data", [prose(1 << 20), prose(900), noise(1 << 20, 3), b"x"], ids=len)
def test_what_repeats_is_compressed_at_the_level_of_the_repository(data: bytes) -> None:
    assert Compressor(3).compress(data) == plainly(data, 3)


@pytest.fixture
def frames() -> list[Frame]:
    """Of the packs that `writer` stored."""
    return []


@pytest.fixture
def writer(frames: list[Frame]) -> Iterator[BlobWriter]:
    def store(pack: PackBuilder) -> IndexedPack:
        data = bytes(pack.finish())
        frames.extend(check_pack(data))
        return index_pack(PackKey.of(digest(data), meta=False), pack.frames, len(data))

    workers = Workers(2)
    yield BlobWriter(BlobIndex(), workers, store, 3)
    workers.close()


def test_streams_that_are_written_together_share_a_frame_at_their_ends_only(
    writer: BlobWriter, frames: list[Frame]
) -> None:
    with writer.run() as one, writer.run() as other:
        added = [
            (writer.add(noise(400_000, n), one), writer.add(noise(400_000, 100 + n), other))
            for n in range(1, 9)
        ]
    writer.flush()
    ones, others = (set(ids) for ids in zip(*added, strict=True))
    inside = [{blob for blob, _ in frame.blobs} for frame in frames]
    assert sorted(len(blobs) for blobs in inside) == [2, 2, 3, 3, 3, 3]
    assert all(blobs <= ones or blobs <= others for blobs in inside)


def test_short_streams_share_a_frame(writer: BlobWriter, frames: list[Frame]) -> None:
    for n in range(20):
        with writer.run() as run:
            writer.add(noise(1000, n), run)
    writer.flush()
    assert [len(frame.blobs) for frame in frames] == [20]


def test_what_a_stream_stored_before_it_failed_is_stored(writer: BlobWriter, frames: list[Frame]) -> None:
    """Others may have found the blob known already, and need it."""
    with suppress(ValueError), writer.run() as failing:
        writer.add(b"shared", failing)
        raise ValueError
    writer.add(b"shared")
    writer.flush()
    assert [blob for frame in frames for blob in frame.blobs] == [(digest(b"shared"), 6)]


def test_nothing_is_left_behind_in_a_run_that_has_not_ended(writer: BlobWriter, frames: list[Frame]) -> None:
    with writer.run() as run:
        writer.add(b"early", run)
        writer.flush()
        assert [blob for frame in frames for blob in frame.blobs] == [(digest(b"early"), 5)]
