"""pyarrow reads what we patched in a Parquet file before the file is recorded.

The pages and the footer of rows with large values are not written by pyarrow (`large_rows`, `footers`). A mistake there
would only be noticed when the table is needed. So pyarrow opens each such row group, reads every page of it up to the
value, and reads the new footer. The result must be what pyarrow itself wrote, except for positions and sizes. Large
values are not read: memory that is never touched takes their place.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from backup_platform.domain import thrift
from backup_platform.domain.thrift import Struct
from backup_platform.errors import SourceError
from backup_platform.sources.tabular import footers
from backup_platform.sources.tabular.footers import AddedGroup
from backup_platform.sources.tabular.sparse_file import SparseFile

if TYPE_CHECKING:
    import pyarrow.parquet as pq

HELD = 1 << 20  # bytes of pages that wait to be read


@dataclass(frozen=True, slots=True)
class WrittenPage:
    """A page that begins at offset `at`; `head` is all of it but the `value` bytes of a large value at its end."""

    at: int
    head: bytes
    value: int

    @property
    def size(self) -> int:
        return len(self.head) + self.value


class ReadBack:
    """Reads back one file, that of `table`. It reads several rows at a time, because opening a file costs more than
    reading a row."""

    def __init__(self, table: str) -> None:
        self._table = table
        self._meta: Struct = {}
        self._entries: list[bytes] = []
        self._pages: list[WrittenPage] = []
        self._held = 0  # bytes of their heads

    def row(self, stub: bytes, meta: Struct, entry: bytes, pages: Sequence[WrittenPage]) -> None:
        """A row with large values was written: `stub` is the file of the row with empty ones, as pyarrow wrote it,
        `meta` its footer, and `entry` what the footer will have for `pages`. Raises SourceError."""
        with _refusing(self._table, "a row"):
            _require_columns(stub, meta, entry, pages)
        self._meta = meta
        self._entries.append(entry)
        self._pages += pages
        self._held += sum(len(page.head) for page in pages)
        if self._held > HELD:
            self._read()

    def footer(self, written: bytes, patched: bytes, added: Sequence[AddedGroup], begin: int) -> None:
        """`written` is the end of the file as pyarrow wrote it, `patched` the one to be stored, which begins at offset
        `begin` and has the row groups `added`, too. Raises SourceError."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        self._read()
        with _refusing(self._table, "its footer"):
            # First by ourselves: pyarrow ends the process over some bytes that no footer has.
            _require(patched == _expected(written, added), "another footer than expected")
            was, now = (pq.read_metadata(pa.BufferReader(end)) for end in (written, patched))
            _require(was.serialized_size + footers.TAIL == len(written), "more than a footer at its end")
            _require(now.schema.equals(was.schema) and now.metadata == was.metadata, "another schema")
            _require(now.num_rows == was.num_rows + len(added), "another number of rows")
            _require(now.num_row_groups == was.num_row_groups + len(added), "another number of row groups")
            _require_seamless(now, begin)

    def _read(self) -> None:
        """Rows that wait."""
        import pyarrow.parquet as pq

        pages, entries = self._pages, self._entries
        if not entries:
            return
        self._pages, self._entries, self._held = [], [], 0
        with _refusing(self._table, "a row"):
            end = footers.end_of(footers.with_entries(self._meta, entries, len(entries)))
            parts = [*((page.at, page.head) for page in pages), (pages[-1].at + pages[-1].size, end)]
            file = pq.ParquetFile(SparseFile(parts), pre_buffer=False)
            _require_pages(file.metadata, pages)
            _require(file.scan_contents(batch_size=1) == len(entries), "another number of rows")


def _require_columns(stub: bytes, meta: Struct, entry: bytes, pages: Sequence[WrittenPage]) -> None:
    """What was written is what pyarrow wrote, with the large values in place of empty ones."""
    [original] = footers.structs(meta, footers.FILE_GROUPS)
    size, chunks = 0, list[Struct]()
    for number, (chunk, page) in enumerate(
        zip(footers.structs(original, footers.GROUP_COLUMNS), pages, strict=True)
    ):
        fields = chunk[footers.CHUNK_META][1]
        start = fields[footers.META_OFFSET][1]
        was = stub[start : start + fields[footers.META_STORED][1]]
        _require(_emptied(page) == was, f"another page of column {number}")
        numbers = {
            footers.META_PLAIN: page.size,
            footers.META_STORED: page.size,
            footers.META_OFFSET: page.at,
        }
        kept = _but(fields, (footers.META_SIZES,)) if page.value else fields
        chunks.append({**chunk, footers.CHUNK_META: (thrift.STRUCT, kept | footers.longs(numbers))})
        size += page.size
    numbers = {footers.GROUP_BYTES: size, footers.GROUP_STORED: size, footers.GROUP_OFFSET: pages[0].at}
    columns = {footers.GROUP_COLUMNS: (thrift.LIST, (thrift.STRUCT, chunks))}
    expected = _but(original, (footers.GROUP_ORDINAL,)) | columns | footers.longs(numbers)
    _require(entry == thrift.encode(expected), "another entry in the footer")


def _emptied(page: WrittenPage) -> bytes:
    """The page with an empty value in place of the large one."""
    if not page.value:
        return page.head
    header, length = thrift.decode(page.head)
    for field in (footers.PAGE_PLAIN, footers.PAGE_STORED):
        header[field] = (thrift.I32, header[field][1] - page.value)
    [size] = footers.LENGTH.unpack(page.head[-footers.LENGTH.size :])
    _require(size == page.value, "a value of another size")
    return thrift.encode(header) + page.head[length : -footers.LENGTH.size] + bytes(footers.LENGTH.size)


def _require_pages(meta: pq.FileMetaData, pages: Sequence[WrittenPage]) -> None:
    """To pyarrow, each column has its page."""
    wanted = iter(pages)
    for place in range(meta.num_row_groups):
        group = meta.row_group(place)
        for number in range(meta.num_columns):
            column, page = group.column(number), next(wanted)
            sizes = (column.data_page_offset, column.total_compressed_size, column.total_uncompressed_size)
            _require(sizes == (page.at, page.size, page.size), f"column {number} at another place")


def _expected(written: bytes, added: Sequence[AddedGroup]) -> bytes:
    """The end of the file, from where each row group must begin."""
    meta, places = footers.footer(written), {group.place: group for group in added}
    rest, at = iter(footers.structs(meta, footers.FILE_GROUPS)), len(footers.MAGIC)
    entries: list[Struct | bytes] = []
    while len(entries) < len(added) + len(footers.structs(meta, footers.FILE_GROUPS)):
        if (group := places.get(len(entries))) is not None:
            entries.append(group.entry)
            at += group.size
        else:
            moved, size = _moved(next(rest), at)
            entries.append(moved)
            at += size
    return footers.end_of(footers.with_entries(meta, entries, meta[footers.FILE_ROWS][1] + len(added)))


def _moved(group: Struct, to: int) -> tuple[Struct, int]:
    """A row group that pyarrow wrote, at another offset, and its size."""
    chunks = footers.structs(group, footers.GROUP_COLUMNS)
    metas = [chunk[footers.CHUNK_META][1] for chunk in chunks]
    distance = to - min(metas[0][field][1] for field in footers.META_OFFSETS if field in metas[0])
    for fields in (group, *metas):
        offsets = (footers.GROUP_OFFSET,) if fields is group else footers.META_OFFSETS
        fields |= footers.longs({each: fields[each][1] + distance for each in offsets if each in fields})
    return _but(group, (footers.GROUP_ORDINAL,)), sum(meta[footers.META_STORED][1] for meta in metas)


def _require_seamless(meta: pq.FileMetaData, end: int) -> None:
    """To pyarrow, the columns of all row groups follow each other from the magic to the footer."""
    at = len(footers.MAGIC)
    for place in range(meta.num_row_groups):
        group = meta.row_group(place)
        for number in range(meta.num_columns):
            column = group.column(number)
            start = column.dictionary_page_offset if column.has_dictionary_page else column.data_page_offset
            _require(start == at, f"row group {place} at another place")
            at += column.total_compressed_size
    _require(at == end, "a footer at another place")


def _but(fields: Struct, numbers: Sequence[int]) -> Struct:
    return {number: value for number, value in fields.items() if number not in numbers}


class _SpoiltError(Exception):
    """What was written is not what was meant."""


def _require(holds: bool, found: str) -> None:
    if not holds:
        raise _SpoiltError(f"it has {found}")


@contextmanager
def _refusing(table: str, what: str) -> Iterator[None]:
    import pyarrow as pa

    try:
        yield
    except (_SpoiltError, pa.ArrowException, OSError) as error:
        raise _spoilt(table, what, str(error)) from error
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        # `thrift` raises these, and so does who looks for fields that are not there.
        raise _spoilt(table, what, "it cannot be decoded") from error


def _spoilt(table: str, what: str, found: str) -> SourceError:
    import pyarrow as pa

    return SourceError(
        f"The Parquet file of {table} is damaged: {what} was read back, and {found}. It is not recorded.",
        hint=f"This is a defect of backup-platform with pyarrow {pa.__version__}. Report it. Until it is repaired, "
        "install the release of pyarrow that you had before, or exclude the table.",
    )
