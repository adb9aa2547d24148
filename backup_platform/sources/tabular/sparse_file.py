"""A file of which only some parts are available, for pyarrow to read."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence


class SparseFile:
    """A file of which some parts are given, by their offsets. All other bytes read as zeros. pyarrow reads a
    whole column at once, but does not look at the bytes of a large value. So the memory for these zeros is never
    allocated."""

    closed = False

    def __init__(self, parts: Sequence[tuple[int, bytes]]) -> None:
        """In the order of their offsets."""
        self._parts = _joined(parts)
        self._ends = [at + len(data) for at, data in self._parts]
        self._at = 0

    def read(self, size: int = -1) -> memoryview:
        import numpy as np

        start, most = self._at, self._ends[-1] - self._at
        size = most if size < 0 else max(0, min(size, most))
        found = np.zeros(size, np.uint8)
        for at, data in self._parts[bisect_right(self._ends, start) :]:
            if at >= start + size:
                break
            piece = data[max(0, start - at) : start + size - at]
            first = max(0, at - start)
            found[first : first + len(piece)] = np.frombuffer(piece, np.uint8)
        self._at += size
        return found.data

    def seek(self, offset: int, whence: int = 0) -> int:
        self._at = offset + (0, self._at, self._ends[-1])[whence]
        return self._at

    def tell(self) -> int:
        return self._at

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def close(self) -> None:
        """Nothing is open."""


def _joined(parts: Sequence[tuple[int, bytes]]) -> list[tuple[int, bytes]]:
    """Parts that touch each other as one: a row may have a thousand columns."""
    found: list[tuple[int, list[bytes]]] = []
    end = -1
    for at, data in parts:
        if at != end:
            found.append((at, []))
        found[-1][1].append(data)
        end = at + len(data)
    return [(at, b"".join(pieces)) for at, pieces in found]
