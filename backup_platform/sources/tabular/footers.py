"""The footer of a Parquet file, and the numbers of the fields in Parquet's structures.

The specification is Parquet's (github.com/apache/parquet-format): PageHeader, ColumnChunk, ColumnMetaData, RowGroup,
FileMetaData.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from backup_platform.domain import thrift
from backup_platform.domain.thrift import Struct

LENGTH = struct.Struct("<I")
MAGIC = b"PAR1"
PAGE_PLAIN, PAGE_STORED = 2, 3
FILE_ROWS, FILE_GROUPS = 3, 4
GROUP_COLUMNS, GROUP_BYTES, GROUP_OFFSET, GROUP_STORED, GROUP_ORDINAL = 1, 2, 5, 6, 7
CHUNK_META = 3
META_PLAIN, META_STORED, META_OFFSET, META_SIZES = 6, 7, 9, 16
META_OFFSETS = (9, 10, 11)  # of data pages, index and dictionary
TAIL = LENGTH.size + len(MAGIC)


def footer(file: bytes) -> Struct:
    """The metadata of a file, or of its end."""
    [length] = LENGTH.unpack_from(file, len(file) - TAIL)
    return thrift.decode(file[len(file) - TAIL - length :])[0]


@dataclass(frozen=True, slots=True)
class AddedGroup:
    """A row group that pyarrow's writer knows nothing of: its place among all, its entry of the footer, its size."""

    place: int
    entry: bytes
    size: int


def with_groups(end: bytes, added: Sequence[AddedGroup]) -> bytes:
    """The end of a file, from its footer on, with further row groups.

    The offsets of row groups that follow an added one are too small by its size.
    """
    meta = footer(end)
    groups = _merge(structs(meta, FILE_GROUPS), added)
    return end_of(with_entries(meta, groups, meta[FILE_ROWS][1] + len(added)))


def with_entries(meta: Struct, groups: Sequence[Struct | bytes], rows: int) -> Struct:
    """The metadata of a file with other row groups."""
    return {**meta, FILE_ROWS: (thrift.I64, rows), FILE_GROUPS: (thrift.LIST, (thrift.STRUCT, list(groups)))}


def structs(fields: Struct, number: int) -> list[Struct]:
    """What a list of structs holds."""
    found: list[Struct] = fields[number][1][1]
    return found


def longs(numbers: Mapping[int, int]) -> Struct:
    """Fields that hold numbers of 64 bits."""
    return {field: (thrift.I64, number) for field, number in numbers.items()}


def end_of(meta: Struct) -> bytes:
    """The end of a file with this metadata: the footer, its length and the magic."""
    data = thrift.encode(meta)
    return data + LENGTH.pack(len(data)) + MAGIC


def _merge(written: Sequence[Struct], added: Sequence[AddedGroup]) -> list[Struct | bytes]:
    places, rest, shift = {group.place: group for group in added}, iter(written), 0
    merged: list[Struct | bytes] = []
    for place in range(len(written) + len(added)):
        if group := places.get(place):
            shift += group.size
            merged.append(group.entry)
        else:
            merged.append(_shifted(next(rest), shift))
    return merged


def _shifted(group: Struct, shift: int) -> Struct:
    for chunk in structs(group, GROUP_COLUMNS):
        _shift(chunk[CHUNK_META][1], META_OFFSETS, shift)
    _shift(group, (GROUP_OFFSET,), shift)
    group.pop(GROUP_ORDINAL, None)  # two bytes, and optional
    return group


def _shift(fields: Struct, numbers: Sequence[int], shift: int) -> None:
    fields.update(longs({number: fields[number][1] + shift for number in numbers if number in fields}))
