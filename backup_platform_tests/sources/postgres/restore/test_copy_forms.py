"""Rows in both forms that COPY takes arrive as they were stored, in every server."""

from __future__ import annotations

import math
import string
import struct
import uuid
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import psycopg
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from backup_platform.domain.tables import Column, Storage, Table
from backup_platform.errors import DamageError
from backup_platform.sources.postgres.connect.settings import pin_statement
from backup_platform.sources.postgres.restore.rows.copy_binary import HEADER, TRAILER, binary_bytes, is_binary
from backup_platform.sources.postgres.restore.rows.copy_text import copy_bytes
from backup_platform_tests.sources.postgres.servers import Server

TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20)
AWKWARD = st.sampled_from(
    ["", "\\.", "\\N", '"', "\n", "\r\n\\.\r\n", ",", "NULL", " ", "\\", '""', "a\n\\.\nb"]
)
DATES = st.dates(date(1, 1, 1), date(9999, 12, 31))
TIMES = st.datetimes(datetime(1, 1, 1), datetime(9999, 12, 31))
TYPES: dict[str, tuple[pa.DataType, st.SearchStrategy[Any]]] = {
    "boolean": (pa.bool_(), st.booleans()),
    "smallint": (pa.int16(), st.integers(-(2**15), 2**15 - 1)),
    "integer": (pa.int32(), st.integers(-(2**31), 2**31 - 1)),
    "bigint": (pa.int64(), st.integers(-(2**63), 2**63 - 1)),
    "real": (pa.float32(), st.floats(width=32)),
    "double precision": (pa.float64(), st.floats()),
    "text": (pa.string(), TEXT | AWKWARD),
    "character varying(40)": (pa.string(), TEXT | AWKWARD),
    "bytea": (pa.binary(), st.binary(max_size=20)),
    "date": (pa.date32(), DATES),
    "time without time zone": (pa.time64("us"), st.times()),
    "timestamp without time zone": (pa.timestamp("us"), TIMES),
    "timestamp with time zone": (pa.timestamp("us", "UTC"), TIMES.map(lambda t: t.replace(tzinfo=UTC))),
    "uuid": (pa.binary(16), st.uuids().map(lambda u: u.bytes)),
    "numeric(10,2)": (pa.decimal128(10, 2), st.decimals("-99999999.99", "99999999.99", places=2)),
    "numeric(18,16)": (pa.decimal128(18, 16), st.decimals("-99.99", "99.99", places=16)),
    "numeric(18,0)": (pa.decimal128(18, 0), st.integers(-(10**18) + 1, 10**18 - 1).map(Decimal)),
    "numeric(5,5)": (pa.decimal128(5, 5), st.decimals("-0.99999", "0.99999", places=5)),
    "json": (pa.string(), st.sampled_from(['{"a" :1}', "null", '"é"', "[1, 2]"])),
    "jsonb": (pa.string(), st.sampled_from(['{"a": 1}', "null", '"é"', "[1, 2]"])),
}
TABLE = Table(
    "public",
    "t",
    tuple(
        Column(f"c{number}", kind, Storage.TEXT if kind.startswith("json") else Storage.NATIVE)
        for number, kind in enumerate(TYPES)
    ),
    (),
    0,
    (),
)
ROW = st.tuples(*(st.none() | values for _, values in TYPES.values()))


def batch_of(rows: list[tuple[Any, ...]]) -> pa.RecordBatch:
    columns = zip(*rows, strict=True)
    arrays = [pa.array(list(values), kind) for values, (kind, _) in zip(columns, TYPES.values(), strict=True)]
    return pa.RecordBatch.from_arrays(arrays, [column.name for column in TABLE.columns])


def loaded(url: str, batch: pa.RecordBatch, form: str) -> list[tuple[Any, ...]]:
    """The rows as the server has them after a COPY."""
    columns = ", ".join(f"{column.name} {column.type}" for column in TABLE.columns)
    with psycopg.connect(url) as connection:
        connection.execute(pin_statement().encode())
        connection.execute(f"CREATE TEMP TABLE t ({columns})".encode())
        cursor = connection.cursor()
        with cursor.copy(f"COPY pg_temp.t FROM STDIN (FORMAT {form})".encode()) as copy:
            if form == "binary":
                copy.write(HEADER + binary_bytes(batch, TABLE).to_pybytes() + TRAILER)
            else:
                copy.write(copy_bytes(batch).to_pybytes())
        assert cursor.rowcount == batch.num_rows
        shown = {"json": "::text", "jsonb": "::text", "real": "::float8"}
        cast = ", ".join(column.name + shown.get(column.type, "") for column in TABLE.columns)
        return connection.execute(f"SELECT {cast} FROM pg_temp.t".encode()).fetchall()


def plain(row: tuple[Any, ...]) -> tuple[Any, ...]:
    """Comparable: floats by their bits, except that there is one NaN; numbers with their scale."""
    return tuple(map(_plain, row))


def _plain(value: Any) -> Any:
    if isinstance(value, float):
        return "nan" if math.isnan(value) else struct.pack(">d", value)
    if isinstance(value, uuid.UUID):
        return value.bytes
    return str(value) if isinstance(value, Decimal) else value


@pytest.mark.parametrize("form", ["csv", "binary"])
@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=(Phase.explicit, Phase.generate),
)
@given(rows=st.lists(ROW, min_size=1, max_size=4))
def test_every_value_arrives(server: Server, form: str, rows: list[tuple[Any, ...]]) -> None:
    batch = batch_of(rows)
    assert is_binary(TABLE)
    expected = [plain(tuple(row.values())) for row in batch.to_pylist()]
    assert [plain(row) for row in loaded(server.url(), batch, form)] == expected
    if rows[1:]:
        assert [plain(row) for row in loaded(server.url(), batch.slice(1), form)] == expected[1:]


@pytest.mark.parametrize("form", ["csv", "binary"])
def test_a_column_of_nulls(server18: Server, form: str) -> None:
    rows = [(None,) * len(TYPES)] * 3
    assert loaded(server18.url(), batch_of(rows), form) == rows


@pytest.mark.parametrize("value", ["\\.", "", None, "\\N", '"\\."'])
def test_a_table_of_one_text(server: Server, value: str | None) -> None:
    """A line of nothing but the end-of-data marker must not end the data."""
    batch = pa.RecordBatch.from_arrays([pa.array([value, "after"], pa.string())], ["a"])
    with psycopg.connect(server.url()) as connection:
        connection.execute("CREATE TEMP TABLE one (a text)")
        with connection.cursor().copy("COPY one FROM STDIN (FORMAT csv)") as copy:
            copy.write(copy_bytes(batch).to_pybytes())
        assert connection.execute("SELECT a FROM one").fetchall() == [(value,), ("after",)]


def test_dates_that_arrow_would_write_wrongly_are_damage() -> None:
    assert copy_bytes(pa.RecordBatch.from_arrays([pa.array([date(1, 1, 1)])], ["d"])) == b"0001-01-01\n"
    before = pa.array([-719_163], pa.int32()).cast(pa.date32())
    with pytest.raises(DamageError, match="'d' holds a date"):
        copy_bytes(pa.RecordBatch.from_arrays([before], ["d"]))
    instant = pa.array([-62_135_596_800_000_001], pa.int64()).cast(pa.timestamp("us", "UTC"))
    with pytest.raises(DamageError, match="'d' holds a date"):
        copy_bytes(pa.RecordBatch.from_arrays([instant], ["d"]))


@pytest.mark.parametrize(
    ("kind", "storage"),
    [
        ("interval", Storage.TEXT),
        ("timestamp with time zone", Storage.TEXT),
        ("integer[]", Storage.TEXT),
        ("numeric", Storage.TEXT),
        ("numeric(19,2)", Storage.NATIVE),
        ("numeric(18,17)", Storage.NATIVE),
        ("public.text", Storage.TEXT),
        ("app.posint", Storage.TEXT),
    ],
)
def test_other_types_go_as_text(kind: str, storage: Storage) -> None:
    table = Table("s", "t", (Column("a", "integer", Storage.NATIVE), Column("b", kind, storage)), (), 0, ())
    assert not is_binary(table)


def test_times_of_every_precision() -> None:
    kinds = (
        "timestamp(3) without time zone",
        "time(0) without time zone",
        "character(3)",
        "timestamp(0) with time zone",
    )
    for kind in kinds:
        assert is_binary(Table("s", "t", (Column("a", kind, Storage.NATIVE),), (), 0, ()))


def test_the_alphabet_in_hexadecimal() -> None:
    batch = pa.RecordBatch.from_arrays([pa.array([string.ascii_letters.encode(), None, b""])], ["a"])
    lines = copy_bytes(batch).to_pybytes().split(b"\n")
    assert lines == [b'"\\x' + string.ascii_letters.encode().hex().encode() + b'"', b"", b'"\\x"', b""]
