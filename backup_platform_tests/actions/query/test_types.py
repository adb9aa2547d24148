"""Every type that PostgreSQL sources store natively, in their Parquet, is what it was when it is queried."""

from __future__ import annotations

from datetime import UTC, date, datetime, time
from decimal import Decimal
from uuid import UUID

import pyarrow as pa
import pytest

from backup_platform.actions.query.run import query
from backup_platform.domain.tables import CATALOGUE_PATH, Catalogue, Column, Storage, Table
from backup_platform.sources.tabular.parquet import parquet_blocks
from backup_platform_tests.actions.tables_support import open_tables, tables_bench

MOST = 2**62
WIDE = Decimal("-12345678901234567890123456789.012345678")
VALUES: dict[str, tuple[pa.DataType, list[object], list[str]]] = {
    "boolean": (pa.bool_(), [True, False], ["true", "false"]),
    "smallint": (pa.int16(), [-(2**15), 2**15 - 1], ["-32768", "32767"]),
    "integer": (pa.int32(), [-(2**31), 2**31 - 1], ["-2147483648", "2147483647"]),
    "bigint": (pa.int64(), [-(2**63), 2**63 - 1], ["-9223372036854775808", "9223372036854775807"]),
    "real": (pa.float32(), [float("nan"), 1.5], ["nan", "1.5"]),
    "double precision": (pa.float64(), [float("-inf"), 1e308], ["-inf", "1e+308"]),
    "numeric(5,2)": (pa.decimal128(5, 2), [Decimal("-999.99"), Decimal("1.50")], ["-999.99", "1.50"]),
    "numeric(18,1)": (pa.decimal128(18, 1), [Decimal("1.5"), Decimal("-1.5")], ["1.5", "-1.5"]),
    "numeric(38,9)": (pa.decimal128(38, 9), [WIDE, Decimal("0E-9")], [str(WIDE), "0.000000000"]),
    "text": (pa.string(), ["", "é\n'\""], ["", "é\n'\""]),
    "bytea": (pa.binary(), [b"", b"\x00\xff"], ["\\x", "\\x00ff"]),
    "date": (pa.date32(), [date(1, 1, 1), date(9999, 12, 31)], ["0001-01-01", "9999-12-31"]),
    "time": (pa.time64("us"), [time(0, 0), time(23, 59, 59, 999999)], ["00:00:00", "23:59:59.999999"]),
    "timestamp": (
        pa.timestamp("us"),
        [datetime(1, 1, 1), datetime(9999, 12, 31, 23, 59, 59, 999999)],
        ["0001-01-01 00:00:00", "9999-12-31 23:59:59.999999"],
    ),
    "timestamptz": (
        pa.timestamp("us", "UTC"),
        [datetime(1970, 1, 1, tzinfo=UTC), datetime(2026, 11, 22, 1, 2, 3, 500000, tzinfo=UTC)],
        ["1970-01-01 00:00:00+00", "2026-11-22 01:02:03.5+00"],
    ),
    "uuid": (pa.uuid(), [UUID(int=1).bytes, UUID(int=MOST).bytes], [str(UUID(int=1)), str(UUID(int=MOST))]),
}


def array(kind: pa.DataType, values: list[object]) -> pa.Array:
    if isinstance(kind, pa.BaseExtensionType):
        return pa.ExtensionArray.from_storage(kind, pa.array(values, kind.storage_type))
    return pa.array(values, kind)


def test_every_native_type(tmp_path_factory: pytest.TempPathFactory) -> None:
    import json

    rows = pa.table({name: array(kind, [*values, None]) for name, (kind, values, _) in VALUES.items()})
    bench = tables_bench(tmp_path_factory.mktemp("types"))
    columns = tuple(Column(name, name, Storage.NATIVE) for name in VALUES)
    table = Table("public", "t", columns, (), 3, ("tables/public/t/00000.parquet",))
    bench.source.write(CATALOGUE_PATH, json.dumps(Catalogue("postgres", (table,)).to_json()).encode())
    bench.source.write(table.parts[0].encode(), b"".join(parquet_blocks(rows.schema, [rows])))
    with query(open_tables(bench, bench.backup()), "from t", form="json") as result:
        found = list(result.objects())
    with query(open_tables(bench, bench.backup()), "from t") as result:
        types = {column.name: column.type for column in result.columns}
    for name, (_, _, texts) in VALUES.items():
        assert [str(row[name]).replace("True", "true").replace("False", "false") for row in found] == [
            *(text.replace("nan", "NaN").replace("-inf", "-Infinity") for text in texts),
            "None",
        ], name
    assert types["uuid"] == "UUID"
    assert types["numeric(38,9)"] == "DECIMAL(38,9)"
    assert "BLOB" not in {types[name] for name in VALUES if name != "bytea"}
