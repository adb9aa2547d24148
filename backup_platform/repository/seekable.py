"""A stored stream as a file that can be sought in: only the blobs that are asked for are read."""

from __future__ import annotations

import io
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

AT_ONCE = 64


class SeekableStream(io.RawIOBase):
    """Read-only. `lengths` are the sizes of the blobs `ids`; `blobs` yields their bytes in order.

    Several threads may share it through `read_at`, which has no position, if `blobs` is thread-safe.
    """

    def __init__(
        self,
        ids: Sequence[bytes],
        lengths: Sequence[int],
        blobs: Callable[[Sequence[bytes]], Iterator[memoryview]],
    ) -> None:
        self._ids, self._blobs = ids, blobs
        self._starts = [0, *accumulate(lengths)]
        self._at = 0

    @property
    def size(self) -> int:
        return self._starts[-1]

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self.size}[whence]
        if base + offset < 0:
            raise ValueError(f"seek to {base + offset}")
        self._at = base + offset
        return self._at

    def readinto(self, buffer: WriteableBuffer) -> int:
        """Fills the buffer, unless the stream ends. Raises DamageError."""
        view = memoryview(buffer).cast("B")
        filled = 0
        for part in self._parts(self._at, len(view)):
            view[filled : filled + len(part)] = part
            filled += len(part)
        self._at += filled
        return filled

    def read_at(self, offset: int, length: int) -> bytes:
        """`length` bytes from `offset`, fewer where the stream ends. Raises DamageError."""
        return b"".join(self._parts(offset, length))

    def _parts(self, at: int, length: int) -> Iterator[memoryview]:
        """`length` bytes, or up to the end, blob by blob."""
        end = min(at + length, self.size)
        first = bisect_right(self._starts, at) - 1
        last = bisect_right(self._starts, end - 1)
        for position in range(first, last if end > at else first, AT_ONCE):
            some = self._ids[position : min(position + AT_ONCE, last)]
            for number, blob in enumerate(self._blobs(some), position):
                start = self._starts[number]
                part = blob[at - start : end - start]
                at += len(part)
                yield part
