"""Which columns are stored natively, and how the server is asked for each column.

Native types are a whitelist, because the driver decodes only a few types exactly, and others wrongly without an error.
A column of any other type, also of a domain over a native type, is stored as the text that COPY would write for it.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from backup_platform.domain.tables import Column, Storage
from backup_platform.sources.postgres.catalog.relation import Relation, RelationColumn
from backup_platform.sources.postgres.quoting import identifier

if TYPE_CHECKING:
    import pyarrow as pa

BOOL, BYTEA, INT8, INT2, INT4, TEXT, FLOAT4, FLOAT8 = 16, 17, 20, 21, 23, 25, 700, 701
BPCHAR, VARCHAR, DATE, TIME, TIMESTAMP, TIMESTAMPTZ, NUMERIC, UUID = (
    1042, 1043, 1082, 1083, 1114, 1184, 1700, 2950,
)  # fmt: skip
_FIXED = (BOOL, BYTEA, INT8, INT2, INT4, TEXT, FLOAT4, FLOAT8)
NATIVE = frozenset((*_FIXED, BPCHAR, VARCHAR, DATE, TIME, TIMESTAMP, TIMESTAMPTZ, UUID))
MOST_DIGITS = 38  # of a decimal of 128 bits


def storage_of(column: RelationColumn) -> Storage:
    """How values of the column's type are stored, unless a value of it turns out to have no native form."""
    if column.type_oid == NUMERIC:
        return Storage.NATIVE if decimal_form(column) else Storage.TEXT
    return Storage.NATIVE if column.type_oid in NATIVE else Storage.TEXT


def stored_columns(
    relation: Relation, as_text: Collection[str] = (), as_bytes: Collection[str] = ()
) -> tuple[Column, ...]:
    """The relation's columns as they are stored. Columns in `as_text` have values without a native form, and those in
    `as_bytes` have values that are not text in UTF-8."""

    def form(column: RelationColumn) -> Storage:
        if column.name in as_bytes:
            return Storage.BYTES
        return Storage.TEXT if column.name in as_text else storage_of(column)

    return tuple(
        Column(column.name, column.type, form(column), nullable=not column.not_null)
        for column in relation.columns
    )


def select_expression(column: RelationColumn, storage: Storage, *, raw: bool = False) -> str:
    """What the server is asked for. A cast to text may be a function that changes the value (of bpchar, inet and
    user-defined ones); `format` calls the type's output function. `raw` asks for the bytes of every text: the server
    refuses to send what is not UTF-8 as text."""
    name = identifier(column.name)
    if storage is Storage.BYTES or (raw and arrives_as_text(column, storage)):
        return (
            f"CASE WHEN {name} IS DISTINCT FROM NULL "
            f"THEN pg_catalog.convert_to(pg_catalog.format('%s', {name}), 'SQL_ASCII') END"
        )
    if storage is Storage.NATIVE:
        # The driver decodes numerics to text three times slower than the server prints them.
        return f"{name}::pg_catalog.text" if column.type_oid == NUMERIC else name
    # IS NULL would be true of a row of nulls.
    return f"CASE WHEN {name} IS DISTINCT FROM NULL THEN pg_catalog.format('%s', {name}) END"


def arrives_as_text(column: RelationColumn, storage: Storage) -> bool:
    """Whether its values are text of any characters."""
    return storage is Storage.TEXT or (
        storage is Storage.NATIVE and column.type_oid in (TEXT, BPCHAR, VARCHAR)
    )


def decimal_form(column: RelationColumn) -> tuple[int, int] | None:
    """Precision and scale of a numeric that Arrow's decimal holds; None for others."""
    modifier = column.type_mod - 4
    if modifier < 0:
        return None
    precision, scale = modifier >> 16, modifier & 0x7FF
    return (precision, scale) if scale <= precision <= MOST_DIGITS else None


def arrow_type(column: RelationColumn, storage: Storage) -> pa.DataType:
    """The type of the column in the Parquet files."""
    import pyarrow as pa

    if storage is Storage.BYTES:
        return pa.binary()
    if arrives_as_text(column, storage):
        return pa.string()
    if decimal := decimal_form(column) if column.type_oid == NUMERIC else None:
        return pa.decimal128(*decimal)
    return {
        BOOL: pa.bool_(),
        BYTEA: pa.binary(),
        INT8: pa.int64(),
        INT2: pa.int16(),
        INT4: pa.int32(),
        FLOAT4: pa.float32(),
        FLOAT8: pa.float64(),
        DATE: pa.date32(),
        TIME: pa.time64("us"),
        TIMESTAMP: pa.timestamp("us"),
        TIMESTAMPTZ: pa.timestamp("us", "UTC"),
        UUID: pa.uuid(),
    }[column.type_oid]
