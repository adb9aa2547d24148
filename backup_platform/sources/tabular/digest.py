"""Digests of a table's rows that do not depend on their order. The memory does not grow with the table.

Every row becomes a 64-bit hash of all its values. A digest adds up the hashes, in buckets: equal digests mean equal
multisets of rows. The hash is keyed with a random seed for every comparison, so nobody can construct data that passes.
A different table passes with probability 2**-64. If digests differ, the buckets and the sums of single columns show
where the difference is.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import pyarrow as pa

Hashes: TypeAlias = npt.NDArray[np.uint64]

BUCKETS = 4096
SLICE_BYTES = 4 << 20  # of values of variable length hashed at a time; temporaries are a few times as large
LONG_VALUE = 64 << 10  # bytes; longer ones are hashed one by one
_ODD = np.uint64(0x9E3779B97F4A7C15)
_LENGTH = np.uint64(0xD6E8FEB86659FD93)
_WORD = 8


@dataclass(frozen=True, slots=True)
class Digest:
    """`buckets` are sums of row hashes by their upper bits, `columns` sums of value hashes by column."""

    rows: int
    buckets: Hashes
    columns: Hashes

    def equals(self, other: Digest) -> bool:
        return self.rows == other.rows and bool(np.array_equal(self.buckets, other.buckets))

    def __add__(self, other: Digest) -> Digest:
        return Digest(self.rows + other.rows, self.buckets + other.buckets, self.columns + other.columns)


def digest(batches: Iterable[pa.RecordBatch], width: int, seed: int) -> Digest:
    """The digest of all rows of the batches, which have `width` columns each. Raises TypeError for an unknown type."""
    buckets, columns, rows = np.zeros(BUCKETS, np.uint64), np.zeros(width, np.uint64), 0
    for batch in batches:
        hashes, sums = row_hashes(batch, seed)
        np.add.at(buckets, bucket_of(hashes), hashes)
        columns += sums
        rows += batch.num_rows
    return Digest(rows, buckets, columns)


def bucket_of(hashes: Hashes) -> npt.NDArray[np.intp]:
    return (hashes >> np.uint64(52)).astype(np.intp)


def row_hashes(batch: pa.RecordBatch, seed: int) -> tuple[Hashes, Hashes]:
    """A hash per row, and the sum of each column's. The order of the columns does not matter to a row's hash."""
    total = np.zeros(batch.num_rows, np.uint64)
    sums = np.zeros(batch.num_columns, np.uint64)
    for number, (name, column) in enumerate(zip(batch.schema.names, batch.columns, strict=True)):
        values = value_hashes(column, _key(seed, name))
        sums[number] = values.sum(dtype=np.uint64)
        total += values
    return _mix(total), sums


def value_hashes(array: pa.Array, key: np.uint64) -> Hashes:
    """A hash per value. Bits are compared: -0.0 is not 0.0, and a NaN equals itself."""
    import pyarrow as pa

    if isinstance(array, pa.ExtensionArray):  # uuid
        array = array.storage
    kind = array.type
    if len(array) == 0:
        return np.zeros(0, np.uint64)
    if pa.types.is_null(kind):
        return np.full(len(array), _mix(np.array([~key]))[0])
    valid = _bits(array.buffers()[0], array.offset, len(array))
    if pa.types.is_boolean(kind):
        values = _bits(array.buffers()[1], array.offset, len(array))
        assert values is not None
        hashes = _mix(values.astype(np.uint64) + key)
    elif _is_variable(kind):
        hashes = _variable(array, valid, key)
    elif _is_fixed(kind):
        hashes = _fixed(array, kind.bit_width // 8, key)
    else:
        raise TypeError(f"values of the type {kind} cannot be compared")
    if valid is not None:
        hashes[~valid] = _mix(np.array([~key]))[0]
    return hashes


def _is_variable(kind: Any) -> bool:
    import pyarrow.types as types

    return any(
        test(kind)
        for test in (types.is_string, types.is_large_string, types.is_binary, types.is_large_binary)
    )


def _is_fixed(kind: Any) -> bool:
    import pyarrow.types as types

    tests = (types.is_integer, types.is_floating, types.is_decimal, types.is_temporal)
    return types.is_fixed_size_binary(kind) or any(test(kind) for test in tests)


def _fixed(array: pa.Array, width: int, key: np.uint64) -> Hashes:
    raw = np.frombuffer(array.buffers()[1], np.uint8)
    raw = raw[array.offset * width : (array.offset + len(array)) * width]
    if width in (1, 2, 4, 8):
        return _mix(raw.view(f"<u{width}").astype(np.uint64) + key)
    starts = np.arange(len(array), dtype=np.int64) * width
    return _hash_slice(raw, starts, np.full(len(array), width, np.int64), key)


def _variable(array: pa.Array, valid: npt.NDArray[np.bool_] | None, key: np.uint64) -> Hashes:
    _, offsets_buffer, data_buffer = array.buffers()
    large = str(array.type).startswith("large_")
    found: npt.NDArray[Any] = np.frombuffer(offsets_buffer, np.int64 if large else np.int32)
    offsets = found[array.offset : array.offset + len(array) + 1].astype(np.int64)
    data = np.frombuffer(data_buffer, np.uint8) if data_buffer is not None else np.zeros(0, np.uint8)
    lengths: npt.NDArray[np.int64] = offsets[1:] - offsets[:-1]
    if valid is not None:
        lengths = np.where(valid, lengths, 0)
    hashes = np.empty(len(array), np.uint64)
    long = np.flatnonzero(lengths > LONG_VALUE)
    short: npt.NDArray[np.int64] = np.where(lengths > LONG_VALUE, 0, lengths)
    for first, last in _slices(short):
        hashes[first:last] = _hash_slice(data, offsets[first:last], short[first:last], key)
    for index in long:
        start = offsets[index]
        hashes[index] = _hash_long(data[start : start + lengths[index]], key)
    return hashes


def _slices(lengths: npt.NDArray[np.int64]) -> Iterator[tuple[int, int]]:
    """Ranges of rows with about SLICE_BYTES of values each."""
    ends = np.cumsum(lengths)
    first = 0
    while first < len(lengths):
        done = ends[first - 1] if first else 0
        last = int(np.searchsorted(ends, done + SLICE_BYTES, side="right"))
        last = max(first + 1, last)
        yield first, last
        first = last


def _hash_slice(
    data: npt.NDArray[np.uint8],
    starts: npt.NDArray[np.int64],
    lengths: npt.NDArray[np.int64],
    key: np.uint64,
) -> Hashes:
    """Sums of the mixed words of each value; a word's place in its value is part of what is mixed."""
    counts = (lengths + _WORD - 1) // _WORD
    sums = np.zeros(len(lengths), np.uint64)
    if counts.sum():
        firsts = np.cumsum(counts) - counts
        place = np.arange(int(counts.sum()), dtype=np.int64) - np.repeat(firsts, counts)
        words = _words(data, np.repeat(starts, counts) + place * _WORD)
        left = np.repeat(lengths, counts) - place * _WORD
        cut = left < _WORD
        words[cut] &= (np.uint64(1) << (left[cut].astype(np.uint64) * np.uint64(8))) - np.uint64(1)
        mixed = _mix(words + (place.astype(np.uint64) + np.uint64(1)) * _ODD + key)
        filled = counts > 0
        sums[filled] = np.add.reduceat(mixed, firsts[filled])
    return _mix(sums + lengths.astype(np.uint64) * _LENGTH + key)


def _words(data: npt.NDArray[np.uint8], at: npt.NDArray[np.int64]) -> Hashes:
    """The eight bytes from each of these places, in memory of the range that they span; zeros beyond the end."""
    low, high = int(np.min(at)), int(np.max(at)) + _WORD
    span = np.zeros(high - low, np.uint8)
    part = data[low:high]
    span[: len(part)] = part
    everywhere: Hashes = np.ndarray((high - low - _WORD + 1,), "<u8", span.data, strides=(1,))
    return everywhere[at - low]


def _hash_long(value: npt.NDArray[np.uint8], key: np.uint64) -> np.uint64:
    found = hashlib.blake2b(value.data, digest_size=8, key=key.tobytes())
    return np.uint64(int.from_bytes(found.digest(), "little"))


def _key(seed: int, name: str) -> np.uint64:
    text = f"{seed} {name}".encode()
    return np.uint64(int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "little"))


def _mix(values: Hashes) -> Hashes:
    """The finaliser of splitmix64: every bit of the input moves half of the output's."""
    mixed = values ^ (values >> np.uint64(30))
    mixed *= np.uint64(0xBF58476D1CE4E5B9)
    mixed ^= mixed >> np.uint64(27)
    mixed *= np.uint64(0x94D049BB133111EB)
    mixed ^= mixed >> np.uint64(31)
    return mixed


def _bits(buffer: pa.Buffer | None, offset: int, length: int) -> npt.NDArray[np.bool_] | None:
    if buffer is None:
        return None
    start, skipped = divmod(offset, 8)
    packed = np.frombuffer(buffer, np.uint8)[start : start + (skipped + length + 7) // 8]
    return np.unpackbits(packed, bitorder="little")[skipped : skipped + length].astype(np.bool_)
