"""JSON from others, read within limits. Its size, its number of values and its depth are checked before memory is
allocated for it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any, TypeAlias

from backup_platform.domain.limits import MAX_NESTING

STRING = re.compile(rb'"(?:[^"\\]|\\.)*+"')
MAX_DIGITS = 40  # sums of hashes have more than 64 bits
NO_BRACKETS = bytes(byte for byte in range(256) if byte not in b"[]{}")


Block: TypeAlias = bytes | bytearray | memoryview


class TooLargeError(ValueError):
    """The document is larger, has more values or is nested deeper than the limit."""


def joined(blocks: Iterable[Block], size: int) -> bytes:
    """All blocks, joined. Raises TooLargeError before the first one that would exceed `size` bytes."""
    text = bytearray()
    for block in blocks:
        if len(text) + len(block) > size:
            raise TooLargeError(f"it has more than {size:,} bytes")
        text += block
    return bytes(text)


def require_bounded(text: bytes, size: int, values: int) -> None:
    """Raises TooLargeError."""
    if len(text) > size or text.count(b",") + text.count(b"[") + text.count(b"{") > values:
        raise TooLargeError("it is larger than the limit for a document")
    if nesting(text) > MAX_NESTING:
        raise TooLargeError("it is nested deeper than the limit for a document")


def loads(text: bytes) -> Any:
    """The value of a bounded text. Raises ValueError, also for a number with too many digits."""
    return json.loads(text, parse_int=_integer)


def _integer(text: str) -> int:
    if len(text) > MAX_DIGITS:
        raise ValueError("it has a number with too many digits")
    return int(text)


def nesting(text: bytes) -> int:
    """The depth of nested brackets. Those in strings do not count."""
    if text.count(b"[") + text.count(b"{") <= MAX_NESTING:
        return 0
    depth = deepest = 0
    for bracket in STRING.sub(b"", text).translate(None, NO_BRACKETS):
        depth += 1 if bracket in b"[{" else -1
        deepest = max(deepest, depth)
    return deepest
