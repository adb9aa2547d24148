"""Row groups of one row with large values, written piece by piece.

pyarrow needs a value several times in memory to write it. Here it writes the row with empty values in place of the
large ones, and each of their pages, a header and one value, is made from that of the empty value. The specification is
Parquet's (github.com/apache/parquet-format): PageHeader, ColumnChunk, RowGroup, FileMetaData.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from backup_platform.domain import thrift
from backup_platform.domain.ports import Buffer
from backup_platform.domain.thrift import Struct

if TYPE_CHECKING:
    import pyarrow as pa

_LENGTH = struct.Struct("<I")
_TAIL = 8  # length of the footer, and the magic
_PAGE_PLAIN, _PAGE_STORED = 2, 3
_FILE_ROWS, _FILE_GROUPS = 3, 4
_GROUP_COLUMNS, _GROUP_BYTES, _GROUP_OFFSET, _GROUP_STORED, _GROUP_ORDINAL = 1, 2, 5, 6, 7
_CHUNK_META = 3
_META_PLAIN, _META_STORED, _META_OFFSET, _META_SIZES = 6, 7, 9, 16
_META_OFFSETS = (9, 10, 11)  # of data pages, index and dictionary


@dataclass(frozen=True, slots=True)
class LargeValue:
    """A value of `size` bytes, 1 or more, which `pieces` gives anew at each call."""

    size: int
    pieces: Callable[[], Iterator[Buffer]]


@dataclass(frozen=True, slots=True)
class LargeRow:
    """`row` has one row, in which the values of the columns of `values`, by number, are empty texts."""

    row: pa.Table
    values: Mapping[int, LargeValue]

    num_rows = 1

    @property
    def nbytes(self) -> int:
        return int(self.row.nbytes) + sum(value.size for value in self.values.values())


def write_row(large: LargeRow, options: Mapping[str, Any], at: int) -> Iterator[Buffer | Struct]:
    """The bytes of a row group that begins at offset `at` of its file, and last its entry of the footer."""
    stub = _file(large.row, options)
    group = footer(stub)[_FILE_GROUPS][1][1][0]
    begin = at
    for number, chunk in enumerate(group[_GROUP_COLUMNS][1][1]):
        meta = chunk[_CHUNK_META][1]
        offset = meta[_META_OFFSET][1]
        page = stub[offset : offset + meta[_META_STORED][1]]
        value = large.values.get(number)
        head = page if value is None else _head(page, value.size)
        yield head
        if value is not None:
            yield from value.pieces()
            meta.pop(_META_SIZES, None)
        size = len(head) + (value.size if value is not None else 0)
        _place(meta, at, size)
        at += size
    _place_group(group, begin, at - begin)
    yield group


def _file(row: pa.Table, options: Mapping[str, Any]) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    sink = pa.BufferOutputStream()
    changes = {"use_dictionary": False, "use_content_defined_chunking": False, "write_statistics": False}
    with pq.ParquetWriter(sink, row.schema, **{**options, **changes}) as writer:
        writer.write_table(row)
    return bytes(sink.getvalue())


def _head(page: bytes, size: int) -> bytes:
    """What comes before the bytes of the value: page header, levels, length."""
    header, length = thrift.decode(page)
    for field in (_PAGE_PLAIN, _PAGE_STORED):
        header[field] = (thrift.I32, header[field][1] + size)
    levels = page[length : -_LENGTH.size]
    return thrift.encode(header) + levels + _LENGTH.pack(size)


def _place(meta: Struct, at: int, size: int) -> None:
    for field, value in ((_META_PLAIN, size), (_META_STORED, size), (_META_OFFSET, at)):
        meta[field] = (thrift.I64, value)


def _place_group(group: Struct, at: int, size: int) -> None:
    for field, value in ((_GROUP_BYTES, size), (_GROUP_STORED, size), (_GROUP_OFFSET, at)):
        group[field] = (thrift.I64, value)


def footer(file: bytes) -> Struct:
    """The metadata of a file, or of its end."""
    [length] = _LENGTH.unpack_from(file, len(file) - _TAIL)
    return thrift.decode(file[len(file) - _TAIL - length :])[0]


def with_groups(end: bytes, added: Sequence[tuple[int, Struct]]) -> bytes:
    """The end of a file, from its footer on, with further row groups, each with its place among all groups.

    The writer knew nothing of them: the offsets of those that follow one are too small by its size.
    """
    meta = footer(end)
    _, written = meta[_FILE_GROUPS][1]
    groups = _merge(written, added)
    for group in groups:
        group.pop(_GROUP_ORDINAL, None)  # two bytes, and optional
    meta[_FILE_GROUPS] = (thrift.LIST, (thrift.STRUCT, groups))
    meta[_FILE_ROWS] = (thrift.I64, meta[_FILE_ROWS][1] + len(added))
    data = thrift.encode(meta)
    return data + _LENGTH.pack(len(data)) + end[-4:]


def _merge(written: Sequence[Struct], added: Sequence[tuple[int, Struct]]) -> list[Struct]:
    places, rest, merged, shift = dict(added), iter(written), [], 0
    for place in range(len(written) + len(added)):
        if place in places:
            shift += places[place][_GROUP_BYTES][1]
            merged.append(places[place])
        else:
            merged.append(_shifted(next(rest), shift))
    return merged


def _shifted(group: Struct, shift: int) -> Struct:
    for chunk in group[_GROUP_COLUMNS][1][1]:
        _shift(chunk[_CHUNK_META][1], _META_OFFSETS, shift)
    _shift(group, (_GROUP_OFFSET,), shift)
    return group


def _shift(fields: Struct, numbers: Sequence[int], shift: int) -> None:
    for number in numbers:
        if number in fields:
            fields[number] = (thrift.I64, fields[number][1] + shift)
