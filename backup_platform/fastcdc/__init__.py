"""Where the content of a buffer says that it is cut: FastCDC 2020 (Xia et al., IEEE TPDS), as FORMAT.md §2 has it.

There are two implementations, and both cut at the same bytes: the package pyfastcdc, which is compiled, and
`vectorised`, which needs numpy only. The second one is used where the first one is not installed or not compiled.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from functools import cache
from typing import Any, Protocol

from backup_platform.domain.ports import Buffer

SLOW = (
    "the compiled chunker of pyfastcdc is not installed: content is cut at the same bytes by numpy, at about 250 MB/s. "
    "Run `pip install pyfastcdc` for the usual speed"
)


class Cutter(Protocol):
    def ends(self, data: Buffer) -> Iterator[int]:
        """The end of each chunk of `data`, as offsets in it; the last one is its size. None where it is empty."""
        ...


def cutter(minimum: int, average: int, maximum: int, *, normalization: int = 1, seed: int = 0) -> Cutter:
    """Sizes in bytes: `minimum` from 64, `average` from 256 to 4 MiB, `maximum` to 16 MiB."""
    compiled = _compiled()
    if compiled is not None:
        return _Compiled(
            compiled(
                average, min_size=minimum, max_size=maximum, normalized_chunking=normalization, seed=seed
            )
        )
    from backup_platform.fastcdc.vectorised import VectorisedCutter

    _tell_once()
    return VectorisedCutter(minimum, average, maximum, normalization, seed)


def is_slow() -> bool:
    """Whether the compiled implementation is missing."""
    return _compiled() is None


def _compiled() -> Any:
    """pyfastcdc's class, unless it is not installed, or has only its own Python code: that cuts some 2 MB/s."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that it is not compiled
            from pyfastcdc import FastCDC
    except ImportError:
        return None
    return None if FastCDC.__module__.startswith("pyfastcdc.py.") else FastCDC


@cache
def _tell_once() -> None:
    logging.getLogger("backup_platform").warning("%s.", SLOW[0].upper() + SLOW[1:])


class _Compiled:
    def __init__(self, chunker: Any) -> None:
        self._chunker = chunker

    def ends(self, data: Buffer) -> Iterator[int]:
        for chunk in self._chunker.cut_buf(data):
            yield chunk.offset + chunk.length
