"""Chunks of a table's stream: its Parquet pages, which end at positions that depend on the content of the column.

A page holds values of one column only. So the pages of an unchanged column repeat, whatever changed in other columns.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from backup_platform.domain.ports import Buffer
from backup_platform.fastcdc import cutter

LEAST, AVERAGE, MOST = 16 << 10, 64 << 10, 1 << 20
TINY = 16  # less than this part of `least` is joined across a seam, too
SEAM = b""


@dataclass(frozen=True, slots=True)
class PageChunks:
    """Takes blocks that are pages; each is a chunk. A `ports.Chunking`.

    Pages of less than `least` bytes are joined, though not across a seam, which is an empty block: what changes before
    it then moves no end after it. Pages of more than `most` bytes are cut where their content says so.
    """

    least: int = LEAST
    most: int = MOST

    def cut(self, blocks: Iterable[Buffer]) -> Iterator[Buffer]:
        small = bytearray()
        for block in blocks:
            if small and (len(block) >= self.least or (not block and len(small) >= self.least // TINY)):
                yield bytes(small)
                small.clear()
            if len(block) > self.most:
                yield from self._cut_large(block)
            elif len(block) >= self.least:
                yield block
            else:
                small += block
            if len(small) >= self.least:
                yield bytes(small)
                small.clear()
        if small:
            yield bytes(small)

    def _cut_large(self, block: Buffer) -> Iterator[Buffer]:
        view, start = memoryview(block), 0
        for end in cutter(LEAST, AVERAGE, self.most).ends(block):
            yield bytes(view[start:end])  # a view would keep a page of any size in memory
            start = end
