"""Chunks of one size, so that the unchanged pages of a database repeat from one capture to the next."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from backup_platform.domain.ports import Buffer

SMALL, LARGE = 16 << 10, 64 << 10
LARGE_DATABASE = 4 << 30


def page_chunks(size: int) -> FixedChunks:
    """The chunking of a database of so many bytes; every chunk begins or lies within a page.

    A changed row stores its chunk again, so chunks are small: an application's inserts touch index pages all over
    the file. But every chunk costs 68 bytes of memory in each later backup, so those of large databases are larger.
    """
    return FixedChunks(SMALL if size <= LARGE_DATABASE else LARGE)


@dataclass(frozen=True, slots=True)
class FixedChunks:
    """Cuts a stream into chunks of `size` bytes; only the last may be shorter. A `ports.Chunking`."""

    size: int

    def __post_init__(self) -> None:
        if self.size < 1:
            raise ValueError(f"a chunk of {self.size} bytes")

    def cut(self, blocks: Iterable[Buffer]) -> Iterator[Buffer]:
        """The chunks, as views of the blocks wherever a chunk lies within one block."""
        rest = bytearray()
        for block in blocks:
            view = memoryview(block).cast("B")
            start = min(-len(rest) % self.size, len(view))
            rest += view[:start]
            if len(rest) == self.size:
                yield bytes(rest)
                rest.clear()
            whole = start + (len(view) - start) // self.size * self.size
            for at in range(start, whole, self.size):
                yield view[at : at + self.size]
            rest += view[whole:]
        if rest:
            yield bytes(rest)
