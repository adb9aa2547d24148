"""Content-defined chunking: nothing is lost, the cuts depend on the content alone, and changes stay local."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backup_platform.repository.points import chunking
from backup_platform.repository.points.chunking import CONTENTS, METADATA, ContentDefined
from backup_platform_tests.support import noise, text

FINE = ContentDefined(minimum=1 << 10, average=4 << 10, maximum=32 << 10)
DATA = st.builds(
    lambda size, seed, kind: kind(size, seed),
    st.integers(0, 700_000),
    st.integers(0, 50),
    st.sampled_from([noise, text, lambda size, seed: bytes(size)]),
)


@pytest.fixture(autouse=True)
def _small_window(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many windows in little data: what happens between them is what can go wrong."""
    monkeypatch.setattr(chunking, "WINDOW", 64 << 10)


def blocks_of(data: bytes, sizes: list[int]) -> Iterator[bytes]:
    position = 0
    for size in sizes:
        yield data[position : position + size]
        position += size
    yield data[position:]


def cut(data: bytes, sizes: list[int] | None = None, how: ContentDefined = FINE) -> list[bytes]:
    return [bytes(chunk) for chunk in how.cut(blocks_of(data, sizes or []))]


@given(data=DATA, sizes=st.lists(st.integers(0, 200_000), max_size=20))
def test_the_cuts_joined_are_the_data_however_it_came(data: bytes, sizes: list[int]) -> None:
    chunks = cut(data, sizes)
    assert b"".join(chunks) == data
    assert chunks == cut(data)


@given(data=DATA)
def test_sizes_stay_within_the_limits(data: bytes) -> None:
    chunks = cut(data)
    assert all(FINE.minimum <= len(chunk) <= FINE.maximum for chunk in chunks[:-1])
    assert all(0 < len(chunk) <= FINE.maximum for chunk in chunks)


@settings(max_examples=40)
@given(seed=st.integers(0, 50), where=st.integers(0, 600_000), what=st.binary(min_size=1, max_size=5_000))
def test_an_insertion_changes_few_chunks(seed: int, where: int, what: bytes) -> None:
    data = noise(600_000, seed)
    before = set(cut(data))
    after = cut(data[:where] + what + data[where:])
    assert len([chunk for chunk in after if chunk not in before]) <= 8


@settings(max_examples=20)
@given(data=DATA, end=st.integers(0, 700_000))
def test_a_prefix_has_the_same_cuts_until_near_its_end(data: bytes, end: int) -> None:
    whole, part = cut(data), cut(data[:end])
    same = [chunk for chunk, other in zip(whole, part, strict=False) if chunk == other]
    assert len(same) >= len(part) - 1 - FINE.maximum // FINE.minimum


def test_nothing_gives_nothing() -> None:
    assert cut(b"") == []
    assert list(FINE.cut([])) == []


@pytest.mark.parametrize("window", [64 << 10, 8 << 20])
def test_the_window_is_no_part_of_the_format(monkeypatch: pytest.MonkeyPatch, window: int) -> None:
    data = noise(20_000_000, 1) + bytes(9_000_000) + text(5_000_000, 2)
    monkeypatch.setattr(chunking, "WINDOW", 64 << 20)
    whole = cut(data, how=CONTENTS)
    monkeypatch.setattr(chunking, "WINDOW", max(window, 2 * CONTENTS.maximum))
    assert cut(data, [1_000_003] * 30, CONTENTS) == whole


def test_the_average_of_random_data() -> None:
    """Average plus minimum, as the documentation of the class says."""
    data = noise(60_000_000, 3)
    for how in (CONTENTS, METADATA):
        chunks = cut(data[: 100 * (how.average + how.minimum)], how=how)
        mean = sum(map(len, chunks[:-1])) / len(chunks[:-1])
        assert 0.75 * (how.average + how.minimum) < mean < 1.25 * (how.average + how.minimum)


def test_chunks_do_not_change_when_the_caller_reuses_its_block() -> None:
    buffer, chunks, expected = bytearray(50_000), [], bytearray()

    def blocks() -> Iterator[bytearray]:
        chance = random.Random(1)
        for _ in range(20):
            buffer[:] = chance.randbytes(len(buffer))
            expected.extend(buffer)
            yield buffer

    chunks = list(FINE.cut(blocks()))
    assert b"".join(chunks) == bytes(expected)
