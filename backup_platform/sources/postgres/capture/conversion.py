"""Batches of the driver as columns of the stored types. Every value is checked: the stored type must be able to hold
it.

For an infinite date, and for a year that users of Arrow cannot represent, the driver returns a wrong, finite value. So
a value outside the range that is valid here is not used: the server's text form is stored instead.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from backup_platform.domain.tables import Column, Storage
from backup_platform.errors import SourceError
from backup_platform.sources.postgres.capture import storage as types
from backup_platform.sources.postgres.catalog.relation import Relation

if TYPE_CHECKING:
    import pyarrow as pa

_DAY_US = 86_400_000_000
_FIRST_DAY, _LAST_DAY = -719_162, 2_932_896  # 0001-01-01 and 9999-12-31, from 1970-01-01
_INSTANTS = (_FIRST_DAY * _DAY_US, (_LAST_DAY + 1) * _DAY_US - 1)
LEGAL = {
    types.DATE: (_FIRST_DAY, _LAST_DAY),
    types.TIME: (0, _DAY_US - 1),  # 24:00:00 is a time of PostgreSQL's
    types.TIMESTAMP: _INSTANTS,
    types.TIMESTAMPTZ: _INSTANTS,
}


class NotNativeError(Exception):
    """A value of the column has no native form."""

    def __init__(self, column: str) -> None:
        super().__init__(column)
        self.column = column


class NotTextError(NotNativeError):
    """A value of the column is not text in UTF-8."""


@dataclass(frozen=True, slots=True)
class Form:
    """How a relation's columns are asked for and stored. `large`: there may be large values among them."""

    relation: Relation
    columns: tuple[Column, ...]
    large: bool = False

    def schema(self) -> pa.Schema:
        import pyarrow as pa

        pairs = zip(self.relation.columns, self.columns, strict=True)
        return pa.schema([pa.field(c.name, types.arrow_type(c, stored.storage)) for c, stored in pairs])


def form_of(
    relation: Relation,
    as_text: frozenset[str] = frozenset(),
    as_bytes: frozenset[str] = frozenset(),
    *,
    large: bool = False,
) -> Form:
    return Form(relation, types.stored_columns(relation, as_text, as_bytes), large)


def convert(batch: pa.RecordBatch, form: Form, schema: pa.Schema) -> pa.RecordBatch:
    """The batch in the schema of the form. Raises `NotNativeError`, and SourceError if the driver returned another type
    than the requested one."""
    import pyarrow as pa

    arrays = [_convert(batch.column(n), form, n, schema.field(n).type) for n in range(len(schema))]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def _convert(array: pa.Array, form: Form, number: int, wanted: pa.DataType) -> pa.Array:
    import pyarrow as pa

    column = form.relation.columns[number]
    if array.type != wanted and pa.types.is_decimal(wanted) and array.type == pa.string():
        try:
            return array.cast(wanted)
        except pa.ArrowInvalid:  # NaN
            raise NotNativeError(column.name) from None
    if array.type == pa.binary() and wanted == pa.string() and form.relation.raw:
        try:
            return array.cast(wanted)
        except pa.ArrowInvalid:
            raise NotTextError(column.name) from None
    if array.type != wanted:
        raise SourceError(
            f"The driver returned {array.type} for {column.type}, the type of column {column.name!r} of "
            f"{form.relation.label}.",
            hint="Use the version of adbc-driver-postgresql that the lock file names.",
        )
    if form.columns[number].storage is Storage.NATIVE and column.type_oid in LEGAL:
        _check(array, column.name, *LEGAL[column.type_oid])
    return array


def _check(array: pa.Array, name: str, lowest: int, highest: int) -> None:
    import pyarrow as pa
    import pyarrow.compute as pc

    plain = array.view(pa.int32() if array.type.bit_width == 32 else pa.int64())
    found = pc.min_max(plain)
    least, most = found["min"].as_py(), found["max"].as_py()
    if least is not None and not lowest <= least <= most <= highest:
        raise NotNativeError(name)
