"""Parquet files of unknown origin: the memory for reading them is known before it is allocated (FORMAT.md §12).

A few bytes can stand for any number of values: a compressed page, a run of one value, a dictionary. Arrow believes the
headers of the pages, which say how large the pages become. So these headers are read and checked first.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import zstandard

from backup_platform.domain.limits import (
    MAX_BATCH,
    MAX_CHUNK_VALUES,
    MAX_FOOTER,
    MAX_FOOTER_VALUES,
    MAX_PAGES,
    MAX_ROW_GROUP,
)
from backup_platform.domain.thrift import LIST, STRUCT, Struct, decode
from backup_platform.errors import DamageError

HEADER = 512  # bytes, of a page; without statistics it has some thirty
DATA, DICTIONARY = 0, 2
PLAIN, PLAIN_DICTIONARY, RLE, RLE_DICTIONARY = 0, 2, 3, 8
ENCODINGS = (PLAIN, PLAIN_DICTIONARY, RLE, RLE_DICTIONARY)
UNCOMPRESSED, ZSTD, BYTE_ARRAY = 0, 6, 6
DAMAGE = (
    pa.ArrowException,
    zstandard.ZstdError,
    OSError,
    LookupError,
    ValueError,
    TypeError,
    OverflowError,
    RuntimeError,
)
TAIL = struct.Struct("<I4s")


@dataclass(frozen=True, slots=True)
class BoundedFile:
    """A Parquet file, and its footer as we read it: Arrow ends the process over some that are altered."""

    source: Any
    arrow: pq.ParquetFile
    groups: tuple[tuple[int, tuple[ColumnChunk, ...]], ...]  # rows and columns of each row group

    def metadata(self, key: bytes) -> bytes | None:
        found: bytes | None = (self.arrow.metadata.metadata or {}).get(key)
        return found


@dataclass(frozen=True, slots=True)
class ColumnChunk:
    """A column chunk of a row group, as the footer describes it."""

    path: tuple[bytes, ...]
    physical: int
    codec: int
    values: int
    start: int
    length: int


def open_parquet(source: Any, rows: int) -> BoundedFile:
    """A file of at most so many rows. Raises DamageError."""
    try:
        size = source.seek(0, 2)
        source.seek(max(0, size - TAIL.size))
        length, magic = TAIL.unpack(source.read(TAIL.size).ljust(TAIL.size))
        if magic != b"PAR1" or length > min(size - TAIL.size, MAX_FOOTER):
            raise DamageError("Its footer is cut short or altered.")
        source.seek(size - TAIL.size - length)
        groups = _groups(decode(source.read(length), MAX_FOOTER_VALUES)[0], size, rows)
        source.seek(0)
        return BoundedFile(source, pq.ParquetFile(source, pre_buffer=False), groups)
    except DAMAGE as error:
        raise DamageError(f"Its footer cannot be decoded: {error}.") from error


def _groups(footer: Struct, size: int, rows: int) -> tuple[tuple[int, tuple[ColumnChunk, ...]], ...]:
    """Raises ValueError, or what a field that is missing or of another type raises."""
    leaves = sum(5 not in element for element in _structs(footer[2]))
    groups = tuple((int(group[3][1]), _columns(group)) for group in _structs(footer[4]))
    for count, columns in groups:
        if not 0 <= count <= MAX_ROW_GROUP or len(columns) != leaves:
            raise ValueError("a row group has too many rows or the wrong columns")
        if any(
            column.start < 4 or column.length < 0 or column.start + column.length > size for column in columns
        ):
            raise ValueError("a column is not within the file")
    if not sum(count for count, _ in groups) == footer[3][1] <= rows:
        raise ValueError("its number of rows is wrong")
    return groups


def _columns(group: Struct) -> tuple[ColumnChunk, ...]:
    return tuple(_column(chunk[3][1]) for chunk in _structs(group[1]))


def _column(meta: Struct) -> ColumnChunk:
    physical, codec, values, length = (int(meta[field][1]) for field in (1, 4, 5, 7))
    start = min(int(meta[field][1]) for field in (9, 11) if field in meta)
    return ColumnChunk(tuple(bytes(name) for name in meta[3][1][1]), physical, codec, values, start, length)


def _structs(field: tuple[int, Any]) -> list[Struct]:
    kind, (inner, values) = field
    if kind != LIST or (inner != STRUCT and values):
        raise ValueError("a list has elements of the wrong type")
    return list(values)


def require_columns(file: BoundedFile, types: Mapping[str, pa.DataType]) -> None:
    """Raises DamageError unless it has these columns, of these types."""
    try:
        schema = file.arrow.schema_arrow
        wrong = sorted(name for name, kind in types.items() if _type(schema, name) != _plain(kind))
    except DAMAGE as error:
        raise DamageError(f"Its columns cannot be read: {error}.") from error
    if wrong:
        raise DamageError(f"It lacks the columns {', '.join(wrong)}, or they have other types.")


def _type(schema: pa.Schema, name: str) -> str:
    places = schema.get_all_field_indices(name)
    return _plain(schema.field(places[0]).type) if len(places) == 1 else ""


def _plain(kind: pa.DataType) -> str:
    """Without the names that releases of Arrow give to the elements of lists."""
    return str(kind).replace("item:", "element:").replace("list<element: ", "list<")


def batches(file: BoundedFile, columns: Sequence[str], most: int) -> Iterator[pa.RecordBatch]:
    """The rows of some columns, at most so many at once, in a bounded amount of memory. Raises DamageError."""
    names = [name.encode() for name in columns]
    try:
        for number, (rows, chunks) in enumerate(file.groups):
            width = sum(_widths(file.source, rows, [each for each in chunks if each.path[0] in names]))
            count = max(1, min(most, MAX_BATCH // max(1, width)))
            yield from file.arrow.iter_batches(
                count, row_groups=[number], columns=list(columns), use_threads=False
            )
    except DAMAGE as error:
        raise DamageError(f"It cannot be decoded: {error}.") from error


def _widths(source: Any, rows: int, chunks: Sequence[ColumnChunk]) -> Iterator[int]:
    """Of each column of a row group, the most bytes that one value can take. Raises DamageError."""
    pages = 0
    for column in chunks:
        chunk = _Chunk(column, rows, source)
        chunk.examine()
        pages += chunk.largest
        yield chunk.width
    if pages > MAX_PAGES:
        raise DamageError("It decompresses to more than the limit.")


@dataclass
class _Chunk:
    """A column of a row group: its pages, which it has one after the other."""

    column: ColumnChunk
    rows: int
    source: Any
    largest: int = 0
    total: int = 0
    width: int = 0
    dictionary: int = 0  # the length of its longest value

    @property
    def nested(self) -> bool:
        return len(self.column.path) > 1

    def examine(self) -> None:
        column, values = self.column, 0
        if column.codec not in (UNCOMPRESSED, ZSTD):
            raise DamageError("A column has the wrong compression.")
        at, end = column.start, column.start + column.length
        while at < end and values < max(column.values, 1):
            header, length = self._header(at)
            values += self._page(header, at + length)
            at += length + header[3]
        if self.nested and self.total > MAX_PAGES:
            raise DamageError("A list is larger than the limit.")
        if not values == column.values <= (MAX_CHUNK_VALUES if self.nested else self.rows):
            raise DamageError("A column does not have the number of values that its metadata says.")

    def _header(self, at: int) -> tuple[dict[int, Any], int]:
        self.source.seek(at)
        fields, length = decode(self.source.read(HEADER))
        header = {number: value for number, (_, value) in fields.items()}
        if not (0 <= header[2] <= MAX_PAGES and 0 <= header[3] <= MAX_PAGES):
            raise DamageError("A page is larger than the limit.")
        return header, length

    def _page(self, header: Mapping[int, Any], start: int) -> int:
        """The number of its values, none of a dictionary's."""
        size, kind = header[2], header[1]
        inner = header[5 if kind == DATA else 7]
        count, encoding = inner[1][1], inner[2][1]
        if kind not in (DATA, DICTIONARY) or encoding not in ENCODINGS or not 0 <= count <= MAX_CHUNK_VALUES:
            raise DamageError("A page has the wrong type.")
        self.total += size
        self.largest = max(self.largest, size)
        if kind == DICTIONARY:
            if self.nested:
                raise DamageError("A list has a dictionary.")
            self.dictionary = self._longest(start, header[3], size)
            return 0
        width = (
            self.dictionary if encoding in (PLAIN_DICTIONARY, RLE_DICTIONARY) else -(-size // max(1, count))
        )
        self.width = max(self.width, width)
        return int(count)

    def _longest(self, start: int, stored: int, size: int) -> int:
        """The length of the longest value of a dictionary."""
        if self.column.physical != BYTE_ARRAY:
            return 32
        self.source.seek(start)
        data = self.source.read(stored)
        if self.column.codec == ZSTD:
            if zstandard.frame_content_size(data) != size:
                raise DamageError("A dictionary does not decompress to the size that its header says.")
            data = zstandard.ZstdDecompressor().decompress(data)
        longest = at = 0
        while at + 4 <= len(data):
            length = int.from_bytes(data[at : at + 4], "little")
            longest, at = max(longest, length), at + 4 + length
        return longest
