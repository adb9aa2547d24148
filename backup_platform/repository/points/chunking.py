"""Content-defined chunking (FastCDC 2020, Xia et al., IEEE TPDS) over streams of blocks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from backup_platform.domain.model import Json
from backup_platform.domain.ports import Buffer
from backup_platform.fastcdc import cutter

WINDOW = 8 << 20


@dataclass(frozen=True, slots=True)
class ContentDefined:
    """Cut where the content says so, so that an insertion moves one boundary and not all that follow.

    Sizes in bytes. The mean chunk of random data measures `average + minimum` (§3.4 of the paper).
    """

    minimum: int
    average: int
    maximum: int
    normalization: int = 1
    seed: int = 0

    def seeded(self, seed: int) -> ContentDefined:
        """A chunker with the same sizes that cuts at other, secret places (FORMAT.md §3)."""
        return replace(self, seed=seed)

    def parameters(self) -> dict[str, Json]:
        return {
            "algorithm": "fastcdc-2020",
            "average": self.average,
            "maximum": self.maximum,
            "minimum": self.minimum,
            "normalization": self.normalization,
        }

    def cut(self, blocks: Iterable[Buffer]) -> Iterator[Buffer]:
        """Chunks of the joined blocks. The cuts depend on the content only, not on the sizes of the blocks."""
        chosen = cutter(
            self.minimum, self.average, self.maximum, normalization=self.normalization, seed=self.seed
        )
        pending = bytearray()
        for block in blocks:
            pending += block
            if len(pending) < WINDOW:
                continue
            window, pending = memoryview(pending), bytearray()
            start = 0
            for end in chosen.ends(window):
                # A cut that the window's end made, and not the content, is no cut.
                if len(window) - start < self.maximum:
                    pending += window[start:]
                    break
                yield window[start:end]
                start = end
            del window
        start, last = 0, memoryview(pending)
        for end in chosen.ends(last):
            yield last[start:end]
            start = end


CONTENTS = ContentDefined(minimum=128 << 10, average=512 << 10, maximum=4 << 20)
METADATA = ContentDefined(minimum=16 << 10, average=64 << 10, maximum=512 << 10)
