"""Frames compressed at one of two levels: the repository's, and the lowest.

A higher level looks for shorter matches, and where values are mostly random (keys, hashes, amounts, digits) those cost
more than they save: level 1 is then both smaller and twice as fast. A sample of each frame tells.
"""

from __future__ import annotations

import zstandard

from backup_platform.domain.ports import Buffer

LOWEST = 1
SLICES, SLICE = 8, 4 << 10
WORTH = 1.01  # a sample misleads by less: the lowest level has to be so much smaller
TYPICAL = 1 << 20  # bytes of a frame, for which a sample is compressed as well


class Compressor:
    """One thread's; the same bytes for the same bytes. `level` is zstd's."""

    def __init__(self, level: int) -> None:
        self._chosen = zstandard.ZstdCompressor(level=level)
        self._lowest = zstandard.ZstdCompressor(level=LOWEST)
        self._samples = (_sampling(level), _sampling(LOWEST)) if level > LOWEST else None

    def compress(self, data: Buffer) -> bytes:
        return (self._lowest if self._is_random(data) else self._chosen).compress(data)

    def _is_random(self, data: Buffer) -> bool:
        if self._samples is None:
            return False
        sample = _sample(data)
        chosen, lowest = (len(compressor.compress(sample)) for compressor in self._samples)
        return lowest * WORTH <= chosen


def _sampling(level: int) -> zstandard.ZstdCompressor:
    # By itself zstd would take other parameters for so little data.
    parameters = zstandard.ZstdCompressionParameters.from_level(level, source_size=TYPICAL)
    return zstandard.ZstdCompressor(compression_params=parameters)


def _sample(data: Buffer) -> bytes:
    """Pieces from everywhere in the data; all of it when it is small."""
    view = memoryview(data)
    return b"".join(view[at : at + SLICE] for at in range(0, len(view), max(SLICE, len(view) // SLICES)))
