"""A stored stream as a file: reads and seeks equal those of a file with the same bytes."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence

from hypothesis import given
from hypothesis import strategies as st

from backup_platform.repository.points.point_reader import SeekableStream

Step = tuple[int, int, int]  # offset, whence, length to read
steps = st.lists(st.tuples(st.integers(-40, 300), st.sampled_from([0, 1, 2]), st.integers(-1, 300)))


class Blobs:
    """Yields blobs by id, and notes which ones were asked for."""

    def __init__(self, parts: Sequence[bytes]) -> None:
        self.parts = {number.to_bytes(32, "big"): part for number, part in enumerate(parts)}
        self.asked: list[bytes] = []

    def __call__(self, ids: Sequence[bytes]) -> Iterator[memoryview]:
        for identity in ids:
            self.asked.append(identity)
            yield memoryview(self.parts[identity])

    def stream(self) -> SeekableStream:
        return SeekableStream(list(self.parts), [len(part) for part in self.parts.values()], self)


@given(st.lists(st.binary(min_size=1, max_size=40), max_size=200), steps)
def test_reads_and_seeks_equal_those_of_a_file(parts: list[bytes], walk: list[Step]) -> None:
    stream, file = Blobs(parts).stream(), io.BytesIO(b"".join(parts))
    for offset, whence, length in walk:
        base = {0: 0, 1: file.tell(), 2: len(file.getvalue())}[whence]
        if base + offset >= 0:
            assert stream.seek(offset, whence) == file.seek(base + offset)
        assert stream.read(length) == file.read(length)
        assert stream.tell() == file.tell()


@given(st.lists(st.binary(min_size=1, max_size=40), max_size=200), st.integers(0, 300), st.integers(0, 300))
def test_reading_at_an_offset_moves_nothing(parts: list[bytes], offset: int, length: int) -> None:
    stream, whole = Blobs(parts).stream(), b"".join(parts)
    stream.seek(3)
    assert stream.read_at(offset, length) == whole[offset : offset + length]
    assert stream.tell() == 3


def test_only_the_blobs_that_are_asked_for_are_read() -> None:
    blobs = Blobs([bytes([n]) * 10 for n in range(100)])
    stream = blobs.stream()
    stream.seek(499)
    assert stream.read(2) == bytes([49, 50])
    assert [int.from_bytes(identity, "big") for identity in blobs.asked] == [49, 50]
