from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backup_platform.sources.sqlite.chunking import FixedChunks


@given(st.lists(st.binary(max_size=40)), st.integers(1, 17))
def test_every_chunk_but_the_last_has_the_size_and_nothing_is_lost(blocks: list[bytes], size: int) -> None:
    chunks = [bytes(chunk) for chunk in FixedChunks(size).cut(blocks)]
    assert b"".join(chunks) == b"".join(blocks)
    assert all(len(chunk) == size for chunk in chunks[:-1])
    assert all(0 < len(chunk) <= size for chunk in chunks)


def test_chunks_keep_their_bytes_when_they_are_collected_first() -> None:
    chunks = list(FixedChunks(4).cut([b"abc", b"defgh", memoryview(b"ijklmnop"), bytearray(b"q")]))
    assert [bytes(chunk) for chunk in chunks] == [b"abcd", b"efgh", b"ijkl", b"mnop", b"q"]


def test_a_chunk_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="0 bytes"):
        FixedChunks(0)
