"""Values too large to be read with their row.

The query for a relation's rows gives nulls in place of them, and the address of each row that has one. They are read
from there over a second connection, piece by piece: libpq, the driver and Arrow would each hold a whole value.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING

from backup_platform.domain.ports import Buffer
from backup_platform.domain.tables import Storage
from backup_platform.errors import SourceEncodingError, SourceError
from backup_platform.sources.postgres.capture import storage as types
from backup_platform.sources.postgres.capture.conversion import Form, NotTextError
from backup_platform.sources.postgres.capture.storage import select_expression
from backup_platform.sources.postgres.catalog.relation import Relation
from backup_platform.sources.postgres.failures import arrow_errors
from backup_platform.sources.postgres.quoting import identifier, literal
from backup_platform.sources.tabular.large_rows import LargeRow, LargeValue

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    import pyarrow as pa
    from adbc_driver_manager.dbapi import Connection

PIECE = 16 << 20
ROW_LIMIT = (
    16 << 20
)  # of the values of a row that are read with it, as long as there are no more columns than 256
VALUE_LIMIT = 64 << 10
# A stored size below which the text form of a value cannot be large: compression gains at most a factor of 255.
COMPRESSED = 2000
_LARGE_NATIVE = (types.TEXT, types.VARCHAR, types.BPCHAR, types.BYTEA)


def with_large_storage(relations: Sequence[Relation], connection: Connection) -> frozenset[int]:
    """Oids of the relations that have values outside of their rows; others have no large ones."""
    oids = ",".join(str(relation.oid) for relation in relations)
    query = (
        f"SELECT oid::pg_catalog.int8 FROM pg_catalog.pg_class WHERE oid = ANY ('{{{oids}}}'::pg_catalog.oid[]) "  # noqa: S608
        "AND reltoastrelid <> 0 AND pg_catalog.pg_relation_size(reltoastrelid) > 0"
    )
    with connection.cursor() as cursor:
        cursor.execute(query)
        return frozenset(cursor.fetch_arrow_table().column(0).to_pylist())


def expressions(form: Form) -> list[str]:
    """What to select: the form's columns without large values, and last the row's address where one is missing."""
    tests = _tests(form)
    selected = []
    for number, (column, stored) in enumerate(zip(form.relation.columns, form.columns, strict=True)):
        expression = select_expression(column, stored.storage, raw=form.relation.raw)
        test = tests.get(number)
        selected.append(f"CASE WHEN {test} THEN NULL ELSE {expression} END" if test else expression)
    return [*selected, f"CASE WHEN {' OR '.join(tests.values()) or 'false'} THEN ctid::pg_catalog.text END"]


def _tests(form: Form) -> dict[int, str]:
    """By number of each column that may have large values: whether a row has one."""
    numbers = [number for number in range(len(form.columns)) if _may_be_large(form, number)]
    limit = max(VALUE_LIMIT, ROW_LIMIT // max(1, len(numbers)))
    return {number: _test(form, number, limit) for number in numbers}


def _may_be_large(form: Form, number: int) -> bool:
    native = form.columns[number].storage is Storage.NATIVE
    return not native or form.relation.columns[number].type_oid in _LARGE_NATIVE


def _test(form: Form, number: int, limit: int) -> str:
    name = identifier(form.relation.columns[number].name)
    if form.columns[number].storage is Storage.NATIVE:
        return f"(pg_catalog.octet_length({name}) > {limit})"  # known without reading the value
    text = f"pg_catalog.octet_length(pg_catalog.format('%s', {name})) > {limit}"
    return f"(CASE WHEN pg_catalog.pg_column_size({name}) > {COMPRESSED} THEN {text} ELSE false END)"


def _content(form: Form, number: int, *, unchecked: bool = False) -> str:
    """The value's bytes, as the Parquet file holds them."""
    column = form.relation.columns[number]
    unchecked = unchecked or form.columns[number].storage is Storage.BYTES
    name = identifier(column.name)
    if form.columns[number].storage is Storage.NATIVE and column.type_oid == types.BYTEA:
        return name
    plain = form.columns[number].storage is Storage.NATIVE and column.type_oid != types.BPCHAR
    text = name if plain else f"pg_catalog.format('%s', {name})"
    # The same bytes where texts have no known encoding, but checked.
    return f"pg_catalog.convert_to({text}, '{'SQL_ASCII' if unchecked else 'UTF8'}')"


class LargeValues:
    """Reads them, in the snapshot of the connections that `connect` gives. Opens one when there is a value."""

    def __init__(self, form: Form, connect: Callable[[], AbstractContextManager[Connection]]) -> None:
        self._form, self._connect = form, connect
        self._stack = ExitStack()
        self._connection: Connection | None = None

    def split(self, batch: pa.RecordBatch, addresses: pa.Array) -> Iterator[pa.RecordBatch | LargeRow]:
        """The rows of a batch in order, those with an address completed."""
        start = 0
        for number in _valid(addresses):
            if number > start:
                yield batch.slice(start, number - start)
            yield self._row(batch.slice(number, 1), addresses[number].as_py())
            start = number + 1
        if start < batch.num_rows:
            yield batch.slice(start)

    def _row(self, row: pa.RecordBatch, address: str) -> LargeRow:
        import pyarrow as pa

        table, tests, raw = pa.Table.from_batches([row]), _tests(self._form), self._form.relation.raw
        contents = (_content(self._form, number, unchecked=raw) for number in tests)
        asked = (
            f"CASE WHEN {test} THEN pg_catalog.octet_length({content})::pg_catalog.int8 END"
            for test, content in zip(tests.values(), contents, strict=True)
        )
        sizes = [column[0].as_py() for column in self._ask(", ".join(asked), address).columns]
        values = {}
        for number, size in zip(tests, sizes, strict=True):
            if size is not None:
                values[number] = LargeValue(size, partial(self._pieces, number, address, size))
                table = table.set_column(
                    number, table.schema.field(number), _empty(table.schema.types[number])
                )
        return LargeRow(table, values)

    def _pieces(self, number: int, address: str, size: int) -> Iterator[Buffer]:
        content = _content(self._form, number)
        for start in range(0, size, PIECE):
            try:
                found = self._ask(f"pg_catalog.substr({content}, {start + 1}, {PIECE})", address).column(0)[0]
            except SourceEncodingError as error:
                if not self._form.relation.raw:
                    raise
                raise NotTextError(self._form.relation.columns[number].name) from error
            piece = memoryview(found.as_buffer()).cast("B")
            if len(piece) != min(PIECE, size - start):
                raise SourceError(
                    f"A large value of {self._form.relation.label} came back cut short.",
                    subject=self._form.relation.label,
                )
            yield piece
            del piece, found

    def _ask(self, selected: str, address: str) -> pa.Table:
        relation = self._form.relation
        if self._connection is None:
            self._connection = self._stack.enter_context(self._connect())
        query = (
            f"SELECT {selected} FROM ONLY {identifier(relation.schema, relation.name)} "  # noqa: S608
            f"WHERE ctid = {literal(address)}::pg_catalog.tid"
        )
        server = f"The server, asked for a large value of {relation.label},"
        with arrow_errors(server), self._connection.cursor() as cursor:
            cursor.execute(query)
            return cursor.fetch_arrow_table()

    def close(self) -> None:
        self._stack.close()


def _valid(array: pa.Array) -> list[int]:
    import pyarrow.compute as pc

    found: list[int] = pc.indices_nonzero(array.is_valid()).to_pylist()
    return found


def _empty(kind: pa.DataType) -> pa.Array:
    """One text or binary of no bytes."""
    import pyarrow as pa

    return pa.Array.from_buffers(kind, 1, [None, pa.py_buffer(bytes(8)), pa.py_buffer(b"")])
