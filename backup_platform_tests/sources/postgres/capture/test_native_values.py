"""What is stored of a value of any native type is what the server says that the value is."""

from __future__ import annotations

import struct
from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from typing import Any
from uuid import UUID

import psycopg
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from backup_platform.domain.tables import Storage
from backup_platform_tests.sources.postgres.capture.reading_support import read_one, relation_of

TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0"))


def integers(bits: int) -> st.SearchStrategy[str]:
    least, most = -(1 << bits - 1), (1 << bits - 1) - 1
    return st.one_of(st.sampled_from((least, -1, 0, 1, most)), st.integers(least, most)).map(str)


def floats(width: Any) -> st.SearchStrategy[str]:
    special = st.sampled_from(("-0", "NaN", "Infinity", "-Infinity", "0"))
    return st.one_of(special, st.floats(width=width, allow_nan=False, allow_infinity=False).map(repr))


def decimals(precision: int, scale: int) -> st.SearchStrategy[str]:
    most = 10**precision - 1
    whole = st.one_of(st.sampled_from((0, 1, -1, most, -most)), st.integers(-most, most))
    return whole.map(lambda value: f"{value}e-{scale}")


def moments(zone: str, *special: str) -> st.SearchStrategy[str]:
    edges = st.sampled_from((f"0001-01-01 00:00:00{zone}", f"9999-12-31 23:59:59.999999{zone}", *special))
    return st.one_of(edges, st.datetimes().map(lambda moment: moment.isoformat(" ") + zone))


LEGAL: dict[str, st.SearchStrategy[str]] = {
    "bool": st.sampled_from(("true", "false")),
    "int2": integers(16),
    "int4": integers(32),
    "int8": integers(64),
    "float4": floats(32),
    "float8": floats(64),
    "text": TEXTS,
    "varchar(9)": TEXTS.map(lambda text: text[:9]),
    "char(9)": TEXTS.map(lambda text: text[:9]),
    "bytea": st.binary().map(lambda data: "\\x" + data.hex()),
    "date": st.one_of(st.sampled_from((date.min, date.max)), st.dates()).map(str),
    "time": st.one_of(st.just(time.max), st.times()).map(str),
    "timestamp": moments(""),
    "timestamptz": moments("+00"),
    "uuid": st.uuids().map(str),
    "numeric(5,2)": decimals(5, 2),
    "numeric(18,0)": decimals(18, 0),
    "numeric(18,18)": decimals(18, 18),
    "numeric(19,4)": decimals(19, 4),
    "numeric(38,10)": decimals(38, 10),
}
ILLEGAL = {
    "date": ("infinity", "-infinity", "0044-03-15 BC", "4713-01-01 BC", "10000-01-01", "5874897-12-31"),
    "time": ("24:00:00",),
    "timestamp": ("infinity", "-infinity", "4713-01-01 00:00:00 BC", "10000-01-01", "294276-12-31 23:59:59.999999"),
    "timestamptz": ("infinity", "-infinity", "0001-12-31 23:59:59+00 BC", "10000-01-01+00", "294276-12-31+00"),
    "numeric(5,2)": ("NaN",),
    "numeric(38,10)": ("NaN",),
}  # fmt: skip


def fraction(micros: int) -> str:
    return f".{micros:06}".rstrip("0") if micros else ""


def moment(value: datetime) -> str:
    return value.strftime("%H:%M:%S") + fraction(value.microsecond)


def stamp(value: datetime) -> str:
    return f"{value.year:04}-{value.month:02}-{value.day:02} {moment(value)}"


def instant(micros: int) -> datetime:
    return datetime(1970, 1, 1) + timedelta(microseconds=micros)


# From the Arrow value to the server's text. Floats are compared bit by bit instead: `SENT`.
TO_TEXT: dict[str, Callable[[Any], str]] = {
    "bool": lambda value: "t" if value.as_py() else "f",
    "float4": lambda value: struct.pack(">f", value.as_py()).hex(),
    "float8": lambda value: struct.pack(">d", value.as_py()).hex(),
    "bytea": lambda value: "\\x" + value.as_py().hex(),
    "date": lambda value: value.as_py().isoformat(),
    "time": lambda value: moment(instant(value.value)),
    "timestamp": lambda value: stamp(instant(value.value)),
    "timestamptz": lambda value: stamp(instant(value.value)) + "+00",
    "uuid": lambda value: str(UUID(bytes=value.value.as_py())),
}
SENT = {"float4": "encode(float4send({0}), 'hex')", "float8": "encode(float8send({0}), 'hex')"}


def as_server_text(kind: str, values: pa.ChunkedArray) -> list[str | None]:
    to_text = TO_TEXT.get(
        kind, lambda value: f"{value.as_py():f}" if kind.startswith("num") else str(value.as_py())
    )
    if pa.types.is_string(values.type) or pa.types.is_large_string(values.type):
        to_text = str
    return [None if not value.is_valid else to_text(value) for value in values]


@pytest.fixture
def connection(database: str) -> Any:
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        yield connection


def check(url: str, connection: psycopg.Connection, rows: list[list[str | None]]) -> dict[str, Storage]:
    """Store the rows, read them, compare; how each type was stored."""
    kinds = list(LEGAL)
    columns = ", ".join(f"c{n} {kind}" for n, kind in enumerate(kinds))
    connection.execute("DROP TABLE IF EXISTS v")
    connection.execute(f"CREATE TABLE v (n int PRIMARY KEY, {columns})")
    places = ", ".join("%s" for _ in range(len(kinds) + 1))
    with connection.cursor() as cursor:
        cursor.executemany(f"INSERT INTO v VALUES ({places})", [[n, *row] for n, row in enumerate(rows)])
    table, stored = read_one(url, relation_of(connection, "v"))
    for n, (kind, column) in enumerate(zip(kinds, table.columns[1:], strict=True)):
        native = column.storage is Storage.NATIVE
        form = SENT.get(kind, "format('%%s', {0})") if native else "format('%%s', {0})"
        asked = form.format(f"c{n}")
        query = f"SELECT CASE WHEN c{n} IS NOT NULL THEN {asked} END FROM v ORDER BY n"
        expected = [row[0] for row in connection.execute(query.replace("%%", "%"))]
        assert as_server_text(kind, stored.column(f"c{n}")) == expected, kind
    return {kind: c.storage for kind, c in zip(kinds, table.columns[1:], strict=True)}


@settings(
    max_examples=10,
    phases=(Phase.explicit, Phase.reuse, Phase.generate),
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
@given(rows=st.lists(st.tuples(*(st.none() | values for values in LEGAL.values())), max_size=8))
def test_legal_values_are_native_and_exact(
    database: str, connection: psycopg.Connection, rows: list[tuple[str | None, ...]]
) -> None:
    storages = check(database, connection, [list(row) for row in rows])
    assert set(storages.values()) == {Storage.NATIVE}


@pytest.mark.parametrize("server", [18], ids=["pg18"], indirect=True)
@pytest.mark.parametrize("kind", ILLEGAL)
def test_values_without_a_native_form_are_text(
    database: str, connection: psycopg.Connection, kind: str
) -> None:
    for value in ILLEGAL[kind]:
        rows: list[list[str | None]] = [[value if k == kind else None for k in LEGAL], [None for _ in LEGAL]]
        storages = check(database, connection, rows)
        assert {k for k, storage in storages.items() if storage is Storage.TEXT} == {kind}, value


def test_several_columns_become_text_together(database: str, connection: psycopg.Connection) -> None:
    rows: list[list[str | None]] = [[ILLEGAL[kind][0] if kind in ILLEGAL else None for kind in LEGAL]]
    storages = check(database, connection, rows)
    assert {kind for kind, storage in storages.items() if storage is Storage.TEXT} == set(ILLEGAL)


def test_the_bits_of_a_nan_survive(database: str, connection: psycopg.Connection) -> None:
    """The server keeps the payload of a NaN that came in binary."""
    connection.execute("CREATE TABLE nans (n int PRIMARY KEY, v float8, w float4)")
    with connection.cursor().copy("COPY nans FROM STDIN (FORMAT binary)") as copy:
        copy.write(b"PGCOPY\n\xff\r\n\0" + bytes(8) + struct.pack(">h", 3))
        copy.write(struct.pack(">iiiQiI", 4, 1, 8, 0x7FF80000DEADBEEF, 4, 0xFFC0BEEF) + b"\xff\xff")
    _, stored = read_one(database, relation_of(connection, "nans"))
    assert stored.column("v").chunk(0).buffers()[1].to_pybytes()[:8].hex() == "efbeadde0000f87f"
    assert stored.column("w").chunk(0).buffers()[1].to_pybytes()[:4].hex() == "efbec0ff"


def test_a_long_text_survives(database: str, connection: psycopg.Connection) -> None:
    connection.execute(
        "CREATE TABLE long AS SELECT repeat('äé\n''\"\\', 200000) AS t, repeat('x', 1000000) AS u"
    )
    _, stored = read_one(database, relation_of(connection, "long"))
    assert stored.to_pydict() == {"t": ["äé\n'\"\\" * 200000], "u": ["x" * 1000000]}
