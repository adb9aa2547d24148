"""What is patched in a Parquet file is read back before the file is recorded: a spoilt one is refused."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from backup_platform.domain import thrift
from backup_platform.domain.thrift import Struct
from backup_platform.errors import SourceError
from backup_platform.sources.tabular import footers, large_rows, parquet, read_back
from backup_platform.sources.tabular.footers import AddedGroup, with_groups
from backup_platform.sources.tabular.large_rows import LargeRow, LargeValue
from backup_platform.sources.tabular.parquet import parquet_blocks
from backup_platform.sources.tabular.read_back import ReadBack, WrittenPage
from backup_platform.sources.tabular.sparse_file import SparseFile

SCHEMA = pa.schema([("n", pa.int64()), ("a", pa.string()), ("b", pa.binary())])
ROWS = pa.Table.from_pydict({"n": [1, 2, 3], "a": ["x", "y", None], "b": [b"1", None, b""]}, SCHEMA)
STUB = pa.Table.from_pylist([{"n": 7, "a": "", "b": None}], SCHEMA)
LARGE = LargeRow(STUB, {1: LargeValue(300, lambda: iter([b"q" * 200, b"r" * 100]))})
GROUPS: Sequence[pa.Table | LargeRow] = [ROWS, LARGE, ROWS]
FILLED = STUB.set_column(1, SCHEMA.field(1), pa.array(["q" * 200 + "r" * 100]))
Spoil = Callable[[bytes, Sequence[WrittenPage]], tuple[bytes, Sequence[WrittenPage]]]


def written() -> bytes:
    return b"".join(parquet_blocks(SCHEMA, GROUPS))


def flipped(data: bytes, at: int, mask: int) -> bytes:
    """With a byte changed."""
    return data[:at] + bytes([data[at] ^ mask]) + data[at + 1 :]


def masks(size: int) -> Iterator[tuple[int, int]]:
    """Each byte once, with different bits."""
    return ((at, 1 + (at * 37) % 255) for at in range(size))


def refusal() -> str:
    with pytest.raises(SourceError) as caught:
        written()
    assert caught.value.message.startswith("The Parquet file of a table is damaged: ")
    assert caught.value.message.endswith(". It is not recorded.")
    assert pa.__version__ in caught.value.hint
    assert not caught.value.retryable
    return caught.value.message


def test_what_is_not_spoilt_is_recorded() -> None:
    assert pq.read_table(io.BytesIO(written())).equals(pa.concat_tables([ROWS, FILLED, ROWS]))


def test_a_footer_with_any_other_byte_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    size = len(footers.end_of(footers.footer(written())))
    for at, mask in masks(size):

        def spoilt(end: bytes, added: Sequence[AddedGroup], at: int = at, mask: int = mask) -> bytes:
            return flipped(with_groups(end, added), at, mask)

        monkeypatch.setattr(parquet, "with_groups", spoilt)
        assert "its footer was read back" in refusal()


@pytest.fixture
def spoil_rows(monkeypatch: pytest.MonkeyPatch) -> Callable[[Spoil], None]:
    """Changes the entry of the footer for each large row, and its pages, before they are read back."""
    row = ReadBack.row

    def set_up(spoil: Spoil) -> None:
        def spoilt(
            self: ReadBack, stub: bytes, meta: Struct, entry: bytes, pages: Sequence[WrittenPage]
        ) -> None:
            row(self, stub, meta, *spoil(entry, pages))

        monkeypatch.setattr(ReadBack, "row", spoilt)

    return set_up


@pytest.fixture
def row(spoil_rows: Callable[[Spoil], None]) -> tuple[bytes, Sequence[WrittenPage]]:
    """The entry of a large row, and its pages, as they should be."""
    found: list[tuple[bytes, Sequence[WrittenPage]]] = []

    def note(entry: bytes, pages: Sequence[WrittenPage]) -> tuple[bytes, Sequence[WrittenPage]]:
        found.append((entry, pages))
        return entry, pages

    spoil_rows(note)
    written()
    return found[0]


def test_an_entry_with_any_other_byte_is_refused(
    row: tuple[bytes, Sequence[WrittenPage]], spoil_rows: Callable[[Spoil], None]
) -> None:
    entry, _ = row
    for at, mask in masks(len(entry)):
        other = flipped(entry, at, mask)
        spoil_rows(lambda _, pages, other=other: (other, pages))  # type: ignore[misc]
        assert "a row was read back" in refusal()


@pytest.mark.parametrize("column", range(3))
def test_a_page_with_any_other_byte_is_refused(
    row: tuple[bytes, Sequence[WrittenPage]], spoil_rows: Callable[[Spoil], None], column: int
) -> None:
    """The value itself is not looked at: it is the server's, byte for byte."""
    _, good = row
    for at, mask in masks(len(good[column].head)):
        pages = list(good)
        pages[column] = replace(pages[column], head=flipped(pages[column].head, at, mask))
        spoil_rows(lambda entry, _, pages=pages: (entry, pages))  # type: ignore[misc]
        assert "a row was read back" in refusal()


def test_a_value_of_another_size_than_was_asked_for_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    short = LargeRow(STUB, {1: LargeValue(300, lambda: iter([b"q" * 299]))})
    with pytest.raises(SourceError, match="it has a value of another size"):
        b"".join(parquet_blocks(SCHEMA, [short]))


class TestWhatPyarrowFindsByItself:
    """The same mistake in what is written and in what is expected, as a new release of pyarrow could bring it about."""

    @pytest.fixture(autouse=True)
    def _we_expect_nothing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(read_back, "_require_columns", lambda *_: None)

    @pytest.mark.parametrize("more", [-1, 1])
    def test_a_page_that_says_another_size(self, monkeypatch: pytest.MonkeyPatch, more: int) -> None:
        make = large_rows._head

        def wrong(page: bytes, size: int) -> bytes:
            header, length = thrift.decode(head := make(page, size))
            header[footers.PAGE_STORED] = (thrift.I32, header[footers.PAGE_STORED][1] + more)
            return thrift.encode(header) + head[length:]

        monkeypatch.setattr(large_rows, "_head", wrong)
        assert "a row was read back" in refusal()

    def test_a_value_longer_than_its_page(self, monkeypatch: pytest.MonkeyPatch) -> None:
        make = large_rows._head
        monkeypatch.setattr(
            large_rows, "_head", lambda page, size: make(page, size)[:-4] + footers.LENGTH.pack(size + 1)
        )
        assert "a row was read back" in refusal()

    @pytest.mark.parametrize("field", [footers.META_PLAIN, footers.META_STORED, footers.META_OFFSET])
    def test_an_entry_that_says_another_place(self, monkeypatch: pytest.MonkeyPatch, field: int) -> None:
        place = large_rows._placed_chunk

        def wrong(chunk: Struct, page: WrittenPage) -> Struct:
            placed = place(chunk, page)
            meta = placed[footers.CHUNK_META][1]
            meta[field] = (thrift.I64, meta[field][1] + 1)
            return placed

        monkeypatch.setattr(large_rows, "_placed_chunk", wrong)
        assert "a row was read back" in refusal()

    def test_row_groups_that_were_not_moved(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(footers, "META_OFFSETS", ())
        monkeypatch.setattr(read_back, "_expected", with_groups)
        assert "row group 2 at another place" in refusal()

    def test_a_row_group_that_is_left_out(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(parquet, "with_groups", lambda written, added: with_groups(written, added[1:]))
        monkeypatch.setattr(read_back, "_expected", lambda written, added: with_groups(written, added[1:]))
        assert "another number of rows" in refusal()


def test_many_rows_are_read_a_few_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[int] = []
    open_file = pq.ParquetFile
    monkeypatch.setattr(read_back, "HELD", 300)

    def noting(file: Any, **options: Any) -> pq.ParquetFile:
        read.append(open_file(file, **options).metadata.num_rows)
        return open_file(file, **options)

    monkeypatch.setattr(pq, "ParquetFile", noting)
    b"".join(parquet_blocks(SCHEMA, [LARGE] * 20))
    assert sum(read) == 20
    assert 2 <= len(read) < 20


def test_a_value_of_any_size_takes_no_memory_to_read_back() -> None:
    """512 MiB, which come from the server in pieces."""
    piece, count = bytes(1 << 20), 512
    row = LargeRow(STUB, {1: LargeValue(count << 20, lambda: iter([piece] * count))})
    b"".join(parquet_blocks(SCHEMA, GROUPS))  # everything is imported
    Path("/proc/self/clear_refs").write_text("5")  # the most that was needed begins anew
    before = peak()
    assert sum(map(len, parquet_blocks(SCHEMA, [row]))) > count << 20
    assert peak() - before < 64


def peak() -> int:
    """The most memory that this process needed, in MiB."""
    return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) >> 10


def test_pyarrow_writes_no_other_places_than_are_moved() -> None:
    """A new release may write more of them: a patched file would have them wrong."""
    sink = io.BytesIO()
    options = parquet._options(SCHEMA, ROWS) | {"use_dictionary": ["a"], "column_encoding": None}
    pq.write_table(ROWS, sink, **options)
    meta = footers.footer(sink.getvalue())
    [group] = footers.structs(meta, footers.FILE_GROUPS)
    assert meta.keys() == {1, 2, 3, 4, 5, 6, 7}  # of the file, none is a place
    assert group.keys() <= {1, 2, 3, 5, 6, 7}
    for chunk in footers.structs(group, footers.GROUP_COLUMNS):
        assert chunk.keys() == {2, 3}
        assert chunk[2][1] == 0  # a place, of old
        assert chunk[3][1].keys() <= {1, 2, 3, 4, 5, 6, 7, 9, 10, 11, 12, 13, 16, 17}


def test_a_sparse_file_reads_as_what_it_stands_for() -> None:
    parts = [(4, b"abc"), (7, b"de"), (100, b"fgh")]
    whole = bytes(4) + b"abcde" + bytes(91) + b"fgh"
    file = SparseFile(parts)
    assert bytes(file.read()) == whole
    for start in range(104):
        for size in (0, 1, 3, 10, 1000):
            file.seek(start)
            assert bytes(file.read(size)) == whole[start : start + size]
            assert file.tell() == min(start + size, 103) or start > 103
    assert file.seek(-3, 2) == 100
    assert bytes(file.read(2)) == b"fg"
