"""Rows with large values: exact, readable by others, and in bounded memory."""

from __future__ import annotations

import io
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import duckdb
import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backup_platform.domain import thrift
from backup_platform.errors import SourceError
from backup_platform.sources.postgres.capture import large_values
from backup_platform.sources.tabular import large_rows
from backup_platform.sources.tabular.footers import footer
from backup_platform.sources.tabular.large_rows import LargeRow, LargeValue
from backup_platform.sources.tabular.parquet import parquet_blocks
from backup_platform_tests.sources.postgres.capture.reading_support import (
    MemoryRecorder,
    read,
    read_one,
    relation_of,
)

LIMIT = 450  # MiB

SCHEMA = pa.schema([("n", pa.int32()), ("a", pa.string()), ("b", pa.binary()), ("f", pa.float64())])
ROWS = pa.Table.from_pydict(
    {"n": [1, 2, 3], "a": ["x", "y", None], "b": [b"1", None, b""], "f": [1.5, None, 2.0]}, SCHEMA
)


def large(number: int, *pieces: bytes, **others: Any) -> LargeRow:
    row = pa.Table.from_pylist([{"n": number, "a": "", "b": None, "f": None, **others}], SCHEMA)
    return LargeRow(row, {1: LargeValue(sum(map(len, pieces)), lambda: iter(pieces))})


TWO = LargeRow(
    pa.Table.from_pylist([{"n": 8, "a": "", "b": b"", "f": 4.0}], SCHEMA),
    {1: LargeValue(4, lambda: iter([b"ab", b"cd"])), 2: LargeValue(1, lambda: iter([b"\0"]))},
)
FILES: tuple[list[pa.Table | LargeRow], ...] = (
    [large(7, b"a" * 3_000_000, b"b" * 10)],
    [ROWS, large(7, b"q" * 100), ROWS, TWO],
    [TWO, large(7, "ä".encode()), large(9, b"x", b=b"y"), ROWS, ROWS],
    [ROWS, TWO],
)


def plain(group: pa.Table | LargeRow) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = (group.row if isinstance(group, LargeRow) else group).to_pylist()
    if isinstance(group, LargeRow):
        for number, value in group.values.items():
            content = b"".join(value.pieces())
            rows[0][SCHEMA.names[number]] = content.decode() if number == 1 else content
    return rows


@pytest.mark.parametrize("groups", FILES)
def test_large_rows_are_rows_like_others(groups: list[pa.Table | LargeRow], tmp_path: Path) -> None:
    file = b"".join(parquet_blocks(SCHEMA, groups))
    expected = [row for group in groups for row in plain(group)]
    assert pq.read_table(io.BytesIO(file)).to_pylist() == expected
    (tmp_path / "t.parquet").write_bytes(file)
    with duckdb.connect() as connection:
        assert connection.read_parquet(str(tmp_path / "t.parquet")).fetchall() == [
            tuple(row.values()) for row in expected
        ]


def test_a_footer_is_written_as_it_was_read() -> None:
    file = b"".join(parquet_blocks(SCHEMA, [ROWS, ROWS]))
    meta = thrift.encode(footer(file))
    assert meta == file[-8 - len(meta) : -8]


@given(
    st.integers(-(2**63), 2**63 - 1),
    st.binary(),
    st.lists(st.integers(-(2**31), 2**31 - 1)),
    st.integers(1, 99),
)
def test_thrift_round_trip(number: int, data: bytes, many: list[int], field: int) -> None:
    inner: thrift.Struct = {1: (thrift.TRUE, None), field + 1: (thrift.FALSE, None)}
    value: thrift.Struct = {
        1: (thrift.I64, number),
        2: (thrift.BINARY, data),
        field + 2: (thrift.STRUCT, inner),
        field + 30: (thrift.LIST, (thrift.I32, many)),
        field + 31: (thrift.LIST, (thrift.STRUCT, [inner] * 20)),
    }
    encoded = thrift.encode(value)
    assert thrift.decode(encoded + b"more") == (value, len(encoded))


@pytest.fixture
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(large_values, "ROW_LIMIT", 40_000)
    monkeypatch.setattr(large_values, "VALUE_LIMIT", 5_000)
    monkeypatch.setattr(large_values, "PIECE", 3_001)
    monkeypatch.setattr(large_values, "COMPRESSED", 10)


@pytest.fixture
def connection(database: str) -> Iterator[psycopg.Connection]:
    with psycopg.connect(database, autocommit=True) as connection:
        yield connection


@pytest.mark.usefixtures("_small")
def test_large_values_of_all_kinds_are_exact(
    database: str, connection: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    large: set[int] = set()

    def noting(row: pa.Table, values: Mapping[int, LargeValue]) -> LargeRow:
        large.update(values)
        return LargeRow(row, values)

    monkeypatch.setattr(large_values, "LargeRow", noting)
    connection.execute(
        "CREATE DOMAIN note AS text;"
        "CREATE TABLE t (n int PRIMARY KEY, v text, c char(9000), r bytea, j jsonb, a int[], d note, x varchar,"
        " s date); ALTER TABLE t ALTER v SET STORAGE external;"
        "INSERT INTO t SELECT g, repeat('äö' || g, g * 90), 'c  ', decode(repeat(md5(g::text), g * 10), 'hex'),"
        " to_jsonb(repeat('é' || md5(g::text), g * 9)), array_fill(g, ARRAY[g * 80]), repeat(md5(g::text), g * 11),"
        " NULL, date '2020-01-01' + g FROM generate_series(1, 60) g;"
        "INSERT INTO t (n, v) VALUES (61, ''), (62, NULL); UPDATE t SET c = NULL WHERE n % 2 = 0; UPDATE t "
        "SET s = 'infinity' WHERE n = 50"
    )
    table, stored = read_one(database, relation_of(connection, "t"))
    for column in table.columns:
        asked = {"r": "encode(r, 'hex')"}.get(column.name, f"format('%s', {column.name})")
        query = f"SELECT CASE WHEN {column.name} IS NOT NULL THEN {asked} END FROM t ORDER BY n"
        values = stored.column(column.name).to_pylist()
        shown = [v.hex() if isinstance(v, bytes) else None if v is None else str(v) for v in values]
        assert shown == [row[0] for row in connection.execute(query)], column.name
    assert table.rows == 62
    assert [table.columns[number].name for number in sorted(large)] == ["v", "c", "r", "j", "a", "d"]


@pytest.mark.usefixtures("_small")
def test_a_table_whose_file_is_spoilt_is_not_recorded(
    database: str, connection: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection.execute(
        "CREATE TABLE t (v text); ALTER TABLE t ALTER v SET STORAGE external;"
        "INSERT INTO t SELECT repeat('x', 50000) FROM generate_series(1, 3)"
    )
    make, recorder = large_rows._head, MemoryRecorder()
    monkeypatch.setattr(large_rows, "_head", lambda *given: make(*given).replace(b"\x15", b"\x17", 1))
    with pytest.raises(SourceError, match=r"table public\.t is damaged: a row was read back"):
        read(database, relation_of(connection, "t"), recorder=recorder)
    assert recorder.streams == []


@pytest.mark.usefixtures("_small")
def test_tables_without_outside_storage_are_read_at_once(
    database: str, connection: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection.execute("CREATE TABLE t (v text); INSERT INTO t VALUES ('short')")
    monkeypatch.setattr("backup_platform.sources.postgres.capture.queries.expressions", None)
    assert read_one(database, relation_of(connection, "t"))[1].to_pydict() == {"v": ["short"]}


def peak(url: str, root: Path, *tables: str) -> int:
    child = "backup_platform_tests.sources.postgres.capture.memory_child"
    command = [sys.executable, "-m", child, url, str(root), *tables]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


@pytest.mark.soak
def test_values_of_100_mb_need_little_memory(database18: str, tmp_path: Path) -> None:
    """Two at once, one of each of two tables, and two in one row."""
    with psycopg.connect(database18, autocommit=True) as connection:
        for name in "ab":
            connection.execute(
                f"CREATE TABLE {name} (n int, v text, r bytea);"
                f"INSERT INTO {name} SELECT 1, w, w::bytea FROM repeat(md5('{name}'), 3200000) w"
            )
    assert peak(database18, tmp_path / "repository", "a", "b") < LIMIT


def test_a_table_of_1600_columns_needs_little_memory(database18: str, tmp_path: Path) -> None:
    with psycopg.connect(database18, autocommit=True) as connection:
        connection.execute(f"CREATE TABLE t ({', '.join(f'c{n} int' for n in range(1600))})")
        connection.execute(f"INSERT INTO t SELECT {', '.join(['g'] * 1600)} FROM generate_series(1, 8000) g")
    assert peak(database18, tmp_path / "repository", "t") < LIMIT


def test_a_large_table_needs_what_a_small_one_needs(database18: str, tmp_path: Path) -> None:
    with psycopg.connect(database18, autocommit=True) as connection:
        connection.execute(
            "CREATE TABLE small AS SELECT md5(g::text || c) || repeat(' ', 2000) AS v FROM "
            "generate_series(1, 30000) g, (VALUES ('x')) c(c); CREATE TABLE large AS TABLE small;"
            "INSERT INTO large SELECT s.v FROM small s, generate_series(1, 3)"
        )
    small, large = peak(database18, tmp_path / "a", "small"), peak(database18, tmp_path / "b", "large")
    assert large < LIMIT
    assert large < small * 1.3
