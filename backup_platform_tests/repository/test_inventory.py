"""Inventories: every odd row comes back, and equal rows give equal bytes."""

from __future__ import annotations

import io
import subprocess
import sys
from contextlib import suppress
from itertools import pairwise

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backup_platform.domain.limits import MAX_DEPTH
from backup_platform.domain.model import Content, Entry, EntryKind, Stat, Status
from backup_platform.errors import DamageError, RepositoryError
from backup_platform.repository.points import inventory
from backup_platform.repository.points.inventory import (
    SCHEMA,
    InventoryWriter,
    entries_of,
    read_rows,
    rows_of,
)
from backup_platform_tests.support import flipped, noise

U32, U64 = st.integers(0, (1 << 32) - 1), st.integers(0, (1 << 64) - 1)
SECONDS = st.integers(-(1 << 63), (1 << 63) - 1)
TIMES = st.integers(-(1 << 63), (1 << 63) - 1) | st.builds(
    lambda seconds, part: seconds * 10**9 + part, SECONDS, st.integers(0, 10**9 - 1)
)
NAMES = st.binary(min_size=1, max_size=20)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=10)
STATS = st.builds(
    Stat, NAMES, st.sampled_from(EntryKind), U32, U32, U32, U64, TIMES, TIMES, U64, U64, U64, U64
)
ENTRIES = st.builds(
    Entry,
    stat=STATS,
    status=st.sampled_from(Status),
    problem=TEXT,
    user=TEXT,
    group=TEXT,
    link_target=st.none() | NAMES | st.just(b""),
    hardlink=st.none() | NAMES,
    xattrs=st.lists(st.tuples(NAMES, st.binary(max_size=30)), max_size=3).map(tuple),
    extents=st.none() | st.lists(st.tuples(U64, U64), max_size=4).map(tuple),
    content=st.builds(Content, st.binary(max_size=3).map(lambda b: b * 32), st.integers(0, MAX_DEPTH)),
)


def written(*batches: list[Entry]) -> bytes:
    sink = io.BytesIO()
    writer = InventoryWriter(sink)
    for batch in batches:
        writer.write(rows_of(batch))
    writer.close()
    return sink.getvalue()


def read(data: bytes) -> list[Entry]:
    return [entry for rows in read_rows(pa.BufferReader(data)) for entry in entries_of(rows)]


@given(entries=st.lists(ENTRIES, max_size=12))
def test_round_trip(entries: list[Entry]) -> None:
    assert list(entries_of(rows_of(entries))) == entries
    assert read(written(entries)) == entries


def an_entry(n: int) -> Entry:
    stat = Stat(b"dir/%06d" % n, EntryKind.FILE, 0o644, 0, 0, n, n, n, n, 1, 1, 0)
    return Entry(stat, user="root", content=Content(noise(32, n)))


@settings(max_examples=30)
@given(cuts=st.lists(st.integers(0, 200), max_size=8))
def test_equal_rows_give_equal_bytes_whatever_the_batches(cuts: list[int]) -> None:
    entries = [an_entry(n) for n in range(200)]
    edges = [0, *sorted(cuts), 200]
    old, inventory.ROW_GROUP = inventory.ROW_GROUP, 64
    try:
        whole = written(entries)
        assert written(*(entries[a:b] for a, b in pairwise(edges))) == whole
    finally:
        inventory.ROW_GROUP = old


def test_bytes_do_not_depend_on_how_tables_are_sliced() -> None:
    entries = [an_entry(n) for n in range(100)]
    rows = rows_of([an_entry(0), *entries, an_entry(0)])
    sink = io.BytesIO()
    writer = InventoryWriter(sink)
    writer.write(rows.slice(1, 60))
    writer.write(rows.slice(61, 40))
    writer.close()
    assert sink.getvalue() == written(entries)


def test_many_row_groups() -> None:
    entries = [an_entry(n) for n in range(inventory.ROW_GROUP + 5)]
    assert read(written(entries)) == entries


def test_an_empty_inventory() -> None:
    assert read(written()) == read(written([])) == []


def test_an_extents_list_of_a_very_sparse_file() -> None:
    extents = tuple((n << 20, 4096) for n in range(300_000))
    entry = an_entry(1)._replace(extents=extents)
    assert read(written([entry, an_entry(2)])) == [entry, an_entry(2)]


def test_a_large_attribute_and_a_long_path() -> None:
    stat = an_entry(1).stat._replace(path=b"/".join([b"x" * 255] * 200))
    entry = an_entry(1)._replace(stat=stat, xattrs=((b"user.big", noise(65_536, 1)), (b"user.empty", b"")))
    assert read(written([entry])) == [entry]


def test_surrogates_of_undecodable_text_are_spelled_out() -> None:
    """A problem's text may quote a name that is not UTF-8; the column is text, so it must not fail there."""
    entry = an_entry(1)._replace(problem="cannot read \udcff")
    (found,) = entries_of(rows_of([entry]))
    assert found.problem == r"cannot read \udcff"


def test_the_columns_are_those_of_the_format() -> None:
    assert pq.read_schema(io.BytesIO(written([an_entry(1)]))).remove_metadata() == SCHEMA.remove_metadata()
    metadata = pq.read_metadata(io.BytesIO(written([]))).metadata
    assert metadata[b"backup_platform.inventory"] == b"1"


def test_a_time_beyond_64_bits_has_columns_that_older_readers_miss() -> None:
    data = written([dated(an_entry(1), 1 << 63)])
    names = pq.read_schema(io.BytesIO(data)).names
    assert not {"mtime_ns", "ctime_ns"} & set(names)
    assert [name for name in names if name not in SCHEMA.names] == [
        "mtime_s",
        "mtime_n",
        "ctime_s",
        "ctime_n",
    ]
    assert pq.read_metadata(io.BytesIO(data)).metadata[b"backup_platform.inventory"] == b"2"


@pytest.mark.parametrize("place", [0, 63, 64, 150, 199])
def test_one_such_time_anywhere(place: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows that were written before it are written again, in the row groups that they had."""
    monkeypatch.setattr(inventory, "ROW_GROUP", 64)
    entries = [an_entry(n) for n in range(200)]
    entries[place] = dated(entries[place], -(10**20))
    whole = written(entries)
    assert read(whole) == entries
    assert written(*([entry] for entry in entries)) == whole
    assert pq.ParquetFile(io.BytesIO(whole)).num_row_groups == 4


def test_the_usual_form_comes_back_when_the_time_is_gone() -> None:
    entries = [an_entry(n) for n in range(5)]
    rows = rows_of([dated(an_entry(9), 1 << 70), *entries])
    sink = io.BytesIO()
    writer = InventoryWriter(sink)
    writer.write(rows.slice(1))
    writer.close()
    assert sink.getvalue() == written(entries)


def test_an_inventory_of_a_newer_release_is_refused_as_that() -> None:
    sink = io.BytesIO()
    with pq.ParquetWriter(sink, SCHEMA) as writer:
        writer.add_key_value_metadata({"backup_platform.inventory": "3"})
    with pytest.raises(RepositoryError, match="newer") as raised:
        read(sink.getvalue())
    assert not isinstance(raised.value, DamageError)


def dated(entry: Entry, mtime_ns: int) -> Entry:
    return entry._replace(stat=entry.stat._replace(mtime_ns=mtime_ns))


def test_columns_that_are_not_known_are_ignored() -> None:
    rows = rows_of([an_entry(1)]).append_column("future", pa.nulls(1))
    sink = io.BytesIO()
    pq.write_table(rows, sink, compression="zstd", use_dictionary=["kind", "user"])
    assert read(sink.getvalue()) == [an_entry(1)]


@pytest.mark.parametrize("step", [17, pytest.param(1, marks=pytest.mark.soak)])
def test_damage_is_damage(step: int) -> None:
    data = written([an_entry(n) for n in range(50)])
    for broken in (b"", b"PAR1", data[:-1], data[: len(data) // 2], bytes(len(data)), flipped(data, -6)):
        with pytest.raises(DamageError):
            read(broken)
    for position in range(0, len(data), step):
        with suppress(DamageError):  # and nothing else; what it decodes to, the ids of the blobs do not allow
            for rows in read_rows(pa.BufferReader(flipped(data, position))):
                assert len(rows)


def test_a_table_that_is_no_inventory_is_damage() -> None:
    sink = io.BytesIO()
    pq.write_table(pa.table({"other": pa.nulls(3)}), sink)
    with pytest.raises(DamageError):
        read(sink.getvalue())


def test_nothing_here_imports_pandas() -> None:
    """It costs seconds at every start where it is installed."""
    code = """
import sys
from backup_platform_tests.repository.test_inventory import an_entry, read, written
assert read(written([an_entry(1)._replace(extents=((1, 2),))]))
assert not [name for name in sys.modules if name.split(".")[0] == "pandas"]
"""
    subprocess.run([sys.executable, "-c", code], check=True)
