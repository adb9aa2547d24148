"""The rows of a query, in batches, as each output format can hold them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypedDict

import duckdb

from backup_platform.actions.query.engine import Engine
from backup_platform.actions.query.names import quote, unique

if TYPE_CHECKING:
    import pyarrow as pa

Form = Literal["native", "text", "json"]


class QueryOptions(TypedDict, total=False):
    """How a query is answered, see `query`."""

    form: Form
    time_limit_s: float | None


ROWS_PER_BATCH = 1024  # with large values, all that is in memory beside what DuckDB counts
_INTEGERS = {f"{u}{n}INT" for u in ("", "U") for n in ("TINY", "SMALL", "BIG", "")} | {"INTEGER", "UINTEGER"}
_PLAIN = _INTEGERS | {"BOOLEAN", "FLOAT", "DOUBLE", "VARCHAR", "HUGEINT"}
_NESTED = {"list", "array", "struct", "map", "union"}
# Arrow or Parquet has no such type, or DuckDB gives less of it than there is.
_NEVER_NATIVE = {"INTERVAL", "BIT", "TIME WITH TIME ZONE", "UHUGEINT", '"NULL"', "BIGNUM", "TIME_NS"}


@dataclass(frozen=True, slots=True)
class ResultColumn:
    """`type` is DuckDB's name of it."""

    name: str
    type: str


class QueryResult:
    """The result of one query, which runs when it is read. `form` says how values are represented. `native`: Arrow's
    types. `text`: booleans, numbers and texts; times as ISO 8601, bytes as `\\x` and hexadecimal digits. `json`: like
    text, with nested values as JSON."""

    def __init__(self, engine: Engine, relation: duckdb.DuckDBPyRelation, form: Form, advice: str) -> None:
        self._engine, self._relation, self._advice = engine, relation, advice
        names = unique(relation.columns)
        self.columns = tuple(map(ResultColumn, names, map(str, relation.types)))
        self._nested = [str(t.id) in _NESTED for t in relation.types]
        shown = (
            f"{_expression(f'#{i}', column.type, nested, form)} AS {quote(column.name)}"
            for i, (column, nested) in enumerate(zip(self.columns, self._nested, strict=True), 1)
        )
        self._selection = ", ".join(shown)

    def batches(self) -> Iterator[pa.RecordBatch]:
        """At least one batch, so that there is always a schema. Raises UsageError, and the errors of the store."""
        with self._engine.translated(self._advice):
            relation = self._relation.project(self._selection)
            reader = self._engine.run(lambda: relation.to_arrow_reader(ROWS_PER_BATCH))
        try:
            yield _empty(reader.schema)
            while (batch := self._next(reader)) is not None:
                yield batch
        finally:
            reader.close()

    def _next(self, reader: Any) -> pa.RecordBatch | None:
        with self._engine.translated(self._advice):
            return self._engine.run(lambda: next(reader, None))

    def objects(self, batches: Iterator[pa.RecordBatch] | None = None) -> Iterator[dict[str, Any]]:
        """Rows as JSON objects, in the form `json`. A number that JSON cannot represent is a text."""
        converters = [
            _converter(c.type, nested) for c, nested in zip(self.columns, self._nested, strict=True)
        ]
        names = [column.name for column in self.columns]
        for batch in batches or self.batches():
            values = [
                [None if value is None else convert(value) for value in column.to_pylist()]
                if convert
                else column.to_pylist()
                for column, convert in zip(batch.columns, converters, strict=True)
            ]
            for row in zip(*values, strict=True):
                yield dict(zip(names, row, strict=True))


def _expression(value: str, kind: str, nested: bool, form: Form) -> str:
    if form == "native":
        return f"CAST({value} AS VARCHAR)" if kind in _NEVER_NATIVE or kind.startswith("UNION") else value
    if kind in _PLAIN:  # decimals are not: Arrow and Python print small ones with exponents
        return value
    if kind == "BLOB":
        return f"'\\x' || lower(hex({value}))"
    return f"CAST(to_json({value}) AS VARCHAR)" if nested and form == "json" else f"CAST({value} AS VARCHAR)"


def _converter(kind: str, nested: bool) -> Any:
    if nested:
        import json

        return json.loads
    if kind == "HUGEINT":
        return int
    return _finite if kind in ("FLOAT", "DOUBLE") else None


def _finite(value: float) -> float | str:
    import math

    return value if math.isfinite(value) else {"nan": "NaN", "inf": "Infinity"}.get(str(value), "-Infinity")


def _empty(schema: pa.Schema) -> pa.RecordBatch:
    import pyarrow as pa

    return pa.RecordBatch.from_arrays([pa.nulls(0, field.type) for field in schema], schema=schema)
