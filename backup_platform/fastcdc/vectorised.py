"""FastCDC 2020 on numpy: the hashes of many positions at once."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from math import floor, log2

import numpy as np
import numpy.typing as npt

from backup_platform.domain.ports import Buffer

Hashes = npt.NDArray[np.uint64]
Bytes = npt.NDArray[np.uint8]

# By their number of bits, from 5 on: those of the authors' implementation, which pyfastcdc and fastcdc-rs have, too.
_LEAST_BITS = 5
_MASKS = (
    *(0x0000000001804110, 0x0000000001803110, 0x0000000018035100, 0x0000001800035300, 0x0000019000353000),
    *(0x0000590003530000, 0x0000D90003530000, 0x0000D90103530000, 0x0000D90303530000, 0x0000D90313530000),
    *(0x0000D90F03530000, 0x0000D90303537000, 0x0000D90703537000, 0x0000D90707537000, 0x0000D91707537000),
    *(0x0000D91747537000, 0x0000D91767537000, 0x0000D93767537000, 0x0000D93777537000, 0x0000D93777577000),
    0x0000DB3777577000,
)
_REACH = 64  # bytes that a hash depends on: each later one shifts it by a bit
_BLOCK = 1 << 14  # positions whose hashes are computed at once: they fit into the processor's cache


def mask(bits: int) -> int:
    """The mask that a hash of random bytes has no bit in common with, with the probability 1 / 2^bits."""
    return _MASKS[bits - _LEAST_BITS]


def gear(seed: int = 0) -> Hashes:
    """The word of each byte: the first half of the MD5 of 64 bytes of its value, XORed with the seed."""
    digests = (hashlib.md5(bytes([byte]) * 64, usedforsecurity=False).digest() for byte in range(256))
    return np.array([int.from_bytes(digest[:8], "big") ^ seed for digest in digests], np.uint64)


class VectorisedCutter:
    """A `Cutter`. Sizes in bytes, as `cutter` takes them."""

    def __init__(self, minimum: int, average: int, maximum: int, normalization: int, seed: int) -> None:
        self._minimum, self._average, self._maximum = minimum, average, maximum
        bits = floor(log2(average) + 0.5)
        self._before = np.uint64(mask(bits + normalization))
        self._after = np.uint64(mask(bits - normalization))
        self._gear = gear(seed)
        self._block = min(_BLOCK, max(_REACH, average))

    def ends(self, data: Buffer) -> Iterator[int]:
        content, at = np.frombuffer(data, np.uint8), 0
        while at < len(content):
            at += self._length(content[at : at + self._maximum])
            yield at

    def _length(self, content: Bytes) -> int:
        """Of the chunk that begins the content, which is no longer than a chunk may be."""
        if len(content) <= self._minimum:
            return len(content)
        first = _even(self._minimum)
        for begin, end, chosen in self._blocks(first, len(content)):
            reached = max(first, begin - _REACH + 1)
            hashes = self._hashes(content[reached:end])[begin - reached :]
            if len(found := np.flatnonzero((hashes & chosen) == 0)):
                return begin + int(found[0])
        return len(content)

    def _blocks(self, first: int, size: int) -> Iterator[tuple[int, int, np.uint64]]:
        """Ranges of positions at which the content may be cut, each with the mask that decides."""
        middle = _even(min(self._average, size))
        for start, stop, chosen in ((first, middle, self._before), (middle, _even(size), self._after)):
            for begin in range(start, stop, self._block):
                yield begin, min(begin + self._block, stop), chosen

    def _hashes(self, content: Bytes) -> Hashes:
        """At each byte that of all bytes up to it: the sum of their words, each shifted by its distance.

        The sums of 1, 2, 4, … bytes each come from those of half as many.
        """
        hashes = self._gear[content]
        width = 1
        while width < min(_REACH, len(hashes)):
            hashes[width:] += hashes[:-width] << np.uint64(width)
            width *= 2
        return hashes


def _even(position: int) -> int:
    """The algorithm takes two bytes at a time."""
    return position // 2 * 2
