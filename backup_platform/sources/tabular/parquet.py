"""Parquet files as blocks, one row group at a time.

Pages are not compressed. So equal values are equal bytes, and the repository compresses only new data, in larger frames
than a page. The encodings make numbers smaller before that.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from backup_platform.domain.ports import Buffer
from backup_platform.sources.tabular.chunking import LEAST, SEAM
from backup_platform.sources.tabular.footers import AddedGroup, with_groups
from backup_platform.sources.tabular.large_rows import LargeRow, write_row
from backup_platform.sources.tabular.read_back import ReadBack

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

# Bytes of values, before they are encoded. The ends of pages between these sizes depend on the values.
PAGE_LEAST, PAGE_MOST = 32 << 10, 256 << 10
MAGIC = 4
SAMPLE = 1 << 16  # rows
# A PageHeader up to `num_values`: type 0, two sizes, perhaps a checksum, DataPageHeader. Decoding all of it takes as
# long as making a small page does.
_DATA_PAGE = re.compile(
    rb"\x15\x00(?:\x15[\x80-\xff]*[\x00-\x7f]){2,3}[\x1c\x2c]\x15([\x80-\xff]*[\x00-\x7f])"
)
REPEATS = 8  # a dictionary pays where a value comes so often


def parquet_blocks(
    schema: pa.Schema, groups: Iterable[pa.Table | LargeRow], table: str = "a table"
) -> Iterator[Buffer]:
    """A Parquet file of one row group per table, as blocks of one page each; the same bytes for the same values.

    Pages of large values come in several blocks. There is a seam, an empty block, on both sides of a column's pages,
    unless they are small together. Raises SourceError, before the last block, when what large values made of the file
    is not what pyarrow reads; `table` is its name there.
    """
    file = _File(schema, table)
    for group in groups:
        if isinstance(group, LargeRow):
            yield from file.add_large(group)
        else:
            yield from file.add(group)
        del group
    yield from file.close()


class _File:
    def __init__(self, schema: pa.Schema, table: str) -> None:
        self._schema, self._sink = schema, _Sink()
        self._writer: pq.ParquetWriter | None = None
        self._options: dict[str, Any] = {}
        self._count = 0
        self._large: list[AddedGroup] = []
        self._read_back = ReadBack(table)

    def add(self, group: pa.Table) -> Iterator[Buffer]:
        self._open(group).write_table(group, row_group_size=max(1, group.num_rows))
        self._count += 1
        return self._sink.columns(group.num_rows)

    def add_large(self, group: LargeRow) -> Iterator[Buffer]:
        self._open(group.row)
        yield from self._sink.pages()
        for block in write_row(group, self._options, self._count, self._sink.tell(), self._read_back):
            if isinstance(block, AddedGroup):
                self._large.append(block)
            else:
                self._sink.skip(len(block))
                yield block
        self._count += 1

    def close(self) -> Iterator[Buffer]:
        self._open(None).close()
        if not self._large:
            return self._sink.pages()
        written = b"".join(self._sink.pages())
        patched = with_groups(written, self._large)
        self._read_back.footer(written, patched, self._large, self._sink.tell() - len(written))
        return iter([patched])

    def _open(self, first: pa.Table | None) -> pq.ParquetWriter:
        import pyarrow.parquet as pq

        if self._writer is None:
            self._options = _options(self._schema, first)
            self._writer = pq.ParquetWriter(self._sink, self._schema, **self._options)
        return self._writer


class _Sink:
    """A file that the writer writes to, and that keeps only what was not taken from it.

    The writer writes the header of a page, then the page.
    """

    closed = False

    def __init__(self) -> None:
        self._written: list[bytes] = []
        self._position = 0

    def write(self, data: bytes) -> int:
        self._written.append(data)
        self._position += len(data)
        return len(data)

    def pages(self) -> Iterator[bytes]:
        written, self._written = self._written, []
        written.reverse()
        if written and len(written[-1]) == MAGIC:
            yield written.pop()
        while written:
            header = written.pop()
            yield header + written.pop() if written else header

    def columns(self, rows: int) -> Iterator[bytes]:
        """Pages of a row group, with seams."""
        seams = _seams(self._written, rows)
        for number, page in enumerate(self.pages()):
            if number in seams:
                yield SEAM
            yield page
            del page

    def tell(self) -> int:
        return self._position

    def skip(self, size: int) -> None:
        """What somebody else wrote."""
        self._position += size

    def flush(self) -> None:
        """Nothing is held back."""

    def close(self) -> None:
        """What was written stays."""


def _seams(written: Sequence[bytes], rows: int) -> set[int]:
    """Of the pages of a row group, with the file's magic before the first group: numbers of those that begin a column
    of LEAST bytes or more, or come after one."""
    found = set()
    first = number = len(written) % 2  # a file begins with its magic
    size = values = 0
    for at in range(number, len(written) - 1, 2):
        number += 1
        size += len(written[at + 1])
        values += _values(written[at])
        if values >= rows:
            found |= {first, number} if size >= LEAST else set()
            first, size, values = number, 0, 0
    return found


def _values(header: bytes) -> int:
    """How many values a page has, with its nulls; none when it is a dictionary."""
    found = _DATA_PAGE.match(header)
    return sum((byte & 127) << 7 * n for n, byte in enumerate(found[1])) >> 1 if found else 0


def _options(schema: pa.Schema, first: pa.Table | None) -> dict[str, Any]:
    dictionary = _repeating(first) if first is not None else []
    encodings = {f.name: _encoding(f.type) for f in schema if f.name not in dictionary}
    return {
        "compression": "none",
        "use_dictionary": dictionary,
        "column_encoding": {name: encoding for name, encoding in encodings.items() if encoding},
        "write_statistics": [f.name for f in schema if _fixed(f.type)],
        "store_decimal_as_integer": True,
        "write_page_index": False,  # `footers` would not move its offsets
        "use_content_defined_chunking": {"min_chunk_size": PAGE_LEAST, "max_chunk_size": PAGE_MOST},
    }


def _repeating(first: pa.Table) -> list[str]:
    """Columns of text whose values repeat."""
    import pyarrow.compute as pc

    sample = first.slice(0, SAMPLE)
    return [
        field.name
        for field, column in zip(sample.schema, sample.columns, strict=True)
        if not _fixed(field.type) and pc.count_distinct(column).as_py() * REPEATS <= sample.num_rows
    ]


def _encoding(kind: pa.DataType) -> str | None:
    import pyarrow as pa

    whole = (pa.types.is_integer, pa.types.is_date, pa.types.is_time, pa.types.is_timestamp)
    if any(check(kind) for check in whole) or (pa.types.is_decimal(kind) and kind.precision <= 18):
        return "DELTA_BINARY_PACKED"
    # Of longer decimals, too, it would be smaller, but DuckDB does not read that.
    return "BYTE_STREAM_SPLIT" if pa.types.is_floating(kind) else None


def _fixed(kind: pa.DataType) -> bool:
    import pyarrow as pa

    return not (pa.types.is_string(kind) or pa.types.is_binary(kind))


GROUP_BYTES = 32 << 20  # of Arrow data; at most half as much again, or one row


def row_groups(
    batches: Iterable[pa.RecordBatch | LargeRow], target: int = GROUP_BYTES
) -> Iterator[pa.Table | LargeRow]:
    """The batches' rows in groups of one number of rows, a power of two that the first batch decides.

    Values that grow or shrink then move no row into another group. Only rows that are much wider than the first
    ones end a group early, and rows with large values are groups of their own.
    """
    import pyarrow as pa

    held: list[pa.RecordBatch] = []
    rows = size = limit = 0
    for batch in batches:
        if isinstance(batch, LargeRow):
            if held:
                yield pa.Table.from_batches(held)
                held, rows, size = [], 0, 0
            yield batch
            continue
        limit = limit or _rows_for(batch, target)
        while batch.num_rows:
            part = batch.slice(0, limit - rows)
            batch = batch.slice(part.num_rows)
            held.append(part)
            rows, size = rows + part.num_rows, size + part.nbytes
            if rows == limit or size >= target * 3 // 2:
                yield pa.Table.from_batches(held)
                held, rows, size = [], 0, 0
        del batch, part
    if held:
        yield pa.Table.from_batches(held)


def _rows_for(batch: pa.RecordBatch, target: int) -> int:
    width: int = max(1, batch.nbytes // max(1, batch.num_rows))
    return 1 << max(0, (target // width).bit_length() - 1)
