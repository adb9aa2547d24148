"""Parquet blocks: the same for the same values, and readable by others."""

from __future__ import annotations

import io
import random
from decimal import Decimal
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from backup_platform.domain import thrift
from backup_platform.sources.tabular import parquet
from backup_platform.sources.tabular.chunking import SEAM, PageChunks
from backup_platform.sources.tabular.parquet import parquet_blocks, row_groups

ROWS = 200_000


def rows(count: int = ROWS, seed: int = 1) -> pa.Table:
    chance = random.Random(seed)
    return pa.table(
        {
            "id": pa.array(range(count), pa.int64()),
            "amount": pa.array([chance.getrandbits(30) for _ in range(count)], pa.int32()),
            "state": pa.array([chance.choice(("new", "paid", "sent")) for _ in range(count)]),
            "note": pa.array([f"{chance.getrandbits(40):x} {n}" for n in range(count)]),
        }
    )


def chunks(table: pa.Table, batch: int = 10_000) -> list[bytes]:
    groups = row_groups(iter(table.to_batches(batch)), 2 << 20)
    return [bytes(chunk) for chunk in PageChunks().cut(parquet_blocks(table.schema, groups))]


def one_group(table: pa.Table) -> list[bytes]:
    return [bytes(chunk) for chunk in PageChunks().cut(parquet_blocks(table.schema, [table]))]


def new(before: list[bytes], after: list[bytes]) -> int:
    return sum(map(len, set(after) - set(before)))


def test_the_same_values_give_the_same_bytes_however_they_arrive() -> None:
    table = rows(50_000)
    assert chunks(table, 10_000) == chunks(table, 10_000)
    # The first batch decides how large groups are.
    first, rest = table.slice(0, 10_000).to_batches(), table.slice(10_000)
    other = row_groups(iter([*first, *rest.to_batches(777)]), 2 << 20)
    assert b"".join(parquet_blocks(table.schema, other)) == b"".join(chunks(table))


def test_unchanged_columns_repeat_when_others_change() -> None:
    table = rows()
    chance = random.Random(7)
    amounts = [chance.getrandbits(30) if chance.random() < 0.01 else v for v in table["amount"].to_pylist()]
    before, after = chunks(table), chunks(table.set_column(1, "amount", pa.array(amounts, pa.int32())))
    amount = ROWS * 4
    assert amount / 2 < new(before, after) < amount * 1.4
    assert sum(map(len, before)) > amount * 4


def test_appended_rows_store_little() -> None:
    table = rows(ROWS + 2000)
    assert new(chunks(table.slice(0, ROWS)), chunks(table)) < 500_000


def test_no_chunk_holds_pages_of_two_columns_that_are_not_small() -> None:
    """Else a column that grew would move the ends of chunks in those after it."""
    chance = random.Random(3)
    columns = [pa.array([chance.randrange(most) for _ in range(100_000)], pa.int32()) for most in (9, 5, 2)]
    table = pa.table(columns, ["a", "b", "c"])
    grown = table.set_column(0, "a", pa.array([chance.randrange(17) for _ in range(100_000)], pa.int32()))
    before, after = (one_group(some) for some in (table, grown))
    alone = b"".join(parquet_blocks(pa.schema([grown.schema.field("a")]), [grown.select(["a"])]))
    assert new(before, after[:-1]) < len(alone)  # the last one holds the footer


def test_small_columns_share_a_chunk() -> None:
    assert len(chunks(rows(300))) == 1


def test_rows_deleted_together_move_few_pages() -> None:
    table = rows()
    without = pa.concat_tables([table.slice(0, 50_000), table.slice(52_000)])
    before = chunks(table)
    assert new(before, chunks(without)) < sum(map(len, before)) * 0.4


def test_every_value_comes_back() -> None:
    table = rows(30_000)
    stored = b"".join(chunks(table))
    assert pq.read_table(io.BytesIO(stored)).equals(table)
    assert pq.ParquetFile(io.BytesIO(stored)).metadata.row_group(0).column(0).statistics.min == 0


def test_duckdb_reads_it(tmp_path: Path) -> None:
    table = rows(30_000).append_column("price", pa.array(map(Decimal, range(30_000)), pa.decimal128(18, 2)))
    table = table.append_column("day", pa.array(range(30_000), pa.int32()).cast(pa.date32()))
    table = table.append_column("at", pa.array(range(30_000), pa.int64()).cast(pa.timestamp("us", "UTC")))
    table = table.append_column("ratio", pa.array(range(30_000)).cast(pa.float64()))
    table = table.append_column("long", pa.array(map(Decimal, range(30_000)), pa.decimal128(38, 10)))
    path = tmp_path / "t.parquet"
    path.write_bytes(b"".join(chunks(table)))
    with duckdb.connect() as connection:
        query = 'count(*), sum(id), sum(price), max(day), max(epoch_us("at")), sum(ratio), sum(long)'
        [found] = connection.execute(f"SELECT {query} FROM '{path}'").fetchall()
    total = 30_000 * 29_999 // 2
    assert [int(v) for v in (*found[:3], *found[4:])] == [30_000, total, total, 29_999, total, total]
    assert str(found[3]) == "2052-02-19"


def test_no_rows_are_a_file_too() -> None:
    table = rows(0)
    assert pq.read_table(io.BytesIO(b"".join(chunks(table)))).equals(table)


def test_groups_are_bounded_by_bytes() -> None:
    narrow = pa.table({"v": ["x"] * 100_000})
    wide = pa.table({"v": ["x" * 10_000] * 1000})
    groups = list(row_groups(iter(narrow.to_batches(1000) + wide.to_batches(100)), 100_000))
    assert sum(group.num_rows for group in groups) == 101_000
    assert max(group.nbytes for group in groups) <= 150_000 + 1_010_000
    narrow_rows = {group.num_rows for group in groups[:6]}
    assert len(narrow_rows) == 1


def test_pages_and_their_numbers_of_values_are_found_in_what_pyarrow_writes() -> None:
    """Seams between columns need both. A new release of pyarrow may write headers that our pattern does not match: then
    nothing would be wrong, but each change would store more."""
    count = 50_000
    table = rows(count).append_column("price", pa.array(map(Decimal, range(count)), pa.decimal128(18, 2)))
    for name, kind in (("at", pa.timestamp("us", "UTC")), ("ratio", pa.float64()), ("yes", pa.bool_())):
        table = table.append_column(name, pa.array([*range(count - 9), *[None] * 9], pa.int64()).cast(kind))
    table = table.append_column("raw", table["note"].cast(pa.binary()))
    sink = parquet._Sink()
    options = parquet._options(table.schema, table)
    assert options["use_dictionary"] == ["state"]
    writer = pq.ParquetWriter(sink, table.schema, **options)
    writer.write_table(table)
    magic, *written = sink._written
    writer.close()
    values = 0
    for head, page in zip(written[::2], written[1::2], strict=True):
        header = {number: value for number, (_, value) in thrift.decode(head)[0].items()}
        assert header[3] == len(page)
        found = header[5][1][1] if header[1] == 0 else 0
        assert parquet._values(head) == found
        values += found
    assert (magic, values) == (b"PAR1", count * table.num_columns)


def test_pages_of_any_size_become_chunks() -> None:
    pages = [b"a" * 10, random.Random(1).randbytes(5 << 20), b"b" * 20_000, b"c" * 9_000, b"d" * 9_000, b"e"]
    found = [bytes(chunk) for chunk in PageChunks().cut(pages)]
    assert b"".join(found) == b"".join(pages)
    assert max(map(len, found)) <= 1 << 20
    assert b"b" * 20_000 in found
    assert b"c" * 9_000 + b"d" * 9_000 in found


def test_a_seam_ends_a_chunk_unless_it_is_tiny() -> None:
    pages = [b"a" * 10, SEAM, b"b" * 2_000, SEAM, SEAM, b"c" * 900, b"d" * 900, SEAM, b"e"]
    found = [bytes(chunk) for chunk in PageChunks().cut(pages)]
    assert [len(chunk) for chunk in found] == [2_010, 1_800, 1]
