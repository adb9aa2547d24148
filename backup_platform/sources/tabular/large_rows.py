"""Row groups of one row with large values, written piece by piece.

pyarrow needs several copies of a value in memory to write it. So it writes the row here with empty values instead of
the large ones. Each page of a large value, a header and one value, is made from the page of the empty value. The
specification is Parquet's (github.com/apache/parquet-format): PageHeader, ColumnChunk, RowGroup. pyarrow reads the
result before the file is recorded (`read_back`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from backup_platform.domain import thrift
from backup_platform.domain.ports import Buffer
from backup_platform.domain.thrift import Struct
from backup_platform.sources.tabular import footers
from backup_platform.sources.tabular.footers import AddedGroup
from backup_platform.sources.tabular.read_back import ReadBack, WrittenPage

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True, slots=True)
class LargeValue:
    """A value of `size` bytes, at least 1. Each call of `pieces` gives its bytes from the beginning."""

    size: int
    pieces: Callable[[], Iterator[Buffer]]


@dataclass(frozen=True, slots=True)
class LargeRow:
    """`row` has one row. The values of the columns in `values`, given by number, are empty texts in it."""

    row: pa.Table
    values: Mapping[int, LargeValue]

    num_rows = 1

    @property
    def nbytes(self) -> int:
        return int(self.row.nbytes) + sum(value.size for value in self.values.values())


def write_row(
    large: LargeRow, options: Mapping[str, Any], place: int, at: int, read_back: ReadBack
) -> Iterator[Buffer | AddedGroup]:
    """The bytes of row group `place`, which begins at offset `at` of its file, and last its entry of the footer.

    Raises SourceError when that is not what pyarrow would have written.
    """
    stub = _file(large.row, options)
    meta = footers.footer(stub)
    [original] = footers.structs(meta, footers.FILE_GROUPS)
    written = list[WrittenPage]()
    for number, chunk in enumerate(footers.structs(original, footers.GROUP_COLUMNS)):
        fields = chunk[footers.CHUNK_META][1]
        offset = fields[footers.META_OFFSET][1]
        page = stub[offset : offset + fields[footers.META_STORED][1]]
        value, size = large.values.get(number), 0
        head = page if value is None else _head(page, value.size)
        yield head
        for piece in value.pieces() if value is not None else ():
            yield piece
            size += len(piece)
        written.append(WrittenPage(at, head, size))
        at += len(head) + size
    entry = thrift.encode(_placed(original, written))
    read_back.row(stub, meta, entry, written)
    yield AddedGroup(place, entry, sum(page.size for page in written))


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
    for field in (footers.PAGE_PLAIN, footers.PAGE_STORED):
        header[field] = (thrift.I32, header[field][1] + size)
    levels = page[length : -footers.LENGTH.size]
    return thrift.encode(header) + levels + footers.LENGTH.pack(size)


def _placed(group: Struct, pages: Sequence[WrittenPage]) -> Struct:
    """The entry of a row group with other pages. Its number among all groups is optional, and not known yet."""
    chunks = [
        _placed_chunk(chunk, page)
        for chunk, page in zip(footers.structs(group, footers.GROUP_COLUMNS), pages, strict=True)
    ]
    size = sum(page.size for page in pages)
    numbers = {footers.GROUP_BYTES: size, footers.GROUP_STORED: size, footers.GROUP_OFFSET: pages[0].at}
    columns = {footers.GROUP_COLUMNS: (thrift.LIST, (thrift.STRUCT, chunks))}
    placed = group | columns | footers.longs(numbers)
    placed.pop(footers.GROUP_ORDINAL, None)
    return placed


def _placed_chunk(chunk: Struct, page: WrittenPage) -> Struct:
    numbers = {
        footers.META_PLAIN: page.size,
        footers.META_STORED: page.size,
        footers.META_OFFSET: page.at,
    }
    meta = chunk[footers.CHUNK_META][1] | footers.longs(numbers)
    if page.value:
        meta.pop(footers.META_SIZES, None)
    return {**chunk, footers.CHUNK_META: (thrift.STRUCT, meta)}
