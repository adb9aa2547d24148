"""A relation in pieces. Each piece is a condition on rows, and every row meets exactly one.

The pieces are ranges of the key's first column if the relation is read in the order of its key, and otherwise ranges of
heap pages. The first piece has no lower bound, and the last one no upper bound. Bounds come from statistics that may be
old and from sizes that grow. This only affects how equal the pieces are.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

from backup_platform.sources.postgres.capture import storage as types
from backup_platform.sources.postgres.catalog.relation import Relation, RelationColumn
from backup_platform.sources.postgres.quoting import identifier, literal

if TYPE_CHECKING:
    from adbc_driver_manager.dbapi import Connection

SMALL = 64 << 20  # bytes of a relation that is never split, and is sorted where its heap is not in order
LARGEST_PIECE = 1 << 30
PIECES = 8  # at least: enough that two or four readers end together
IN_ORDER = 0.9  # correlation of key and heap from which an index scan reads few pages twice
TID_RANGES = 140000  # the server that scans a range of pages without reading the others
PAGE = 8192
_INTEGERS = (types.INT2, types.INT4, types.INT8)
# Their comparison is the server's own, and their statistics' text is exact.
_DIVISIBLE = frozenset((*_INTEGERS, types.TEXT, types.VARCHAR, types.BPCHAR, types.UUID, types.DATE,
                        types.TIMESTAMP, types.TIMESTAMPTZ, types.NUMERIC))  # fmt: skip


def in_key_order(relation: Relation) -> bool:
    """Whether to read the rows by the primary key: rows that did not change then stay where they were."""
    if not relation.key:
        return False
    return relation.bytes <= SMALL or abs(relation.correlation or 0.0) >= IN_ORDER


def pieces(relation: Relation, connection: Connection) -> tuple[str, ...]:
    """Conditions of the relation's pieces in order; ("",) for one that is not split."""
    count = piece_count(relation.bytes)
    if count == 1:
        return ("",)
    if in_key_order(relation):
        return _key_pieces(relation, connection, count)
    return _page_pieces(relation, connection, count)


def piece_count(size: int) -> int:
    """Pieces of a relation of so many bytes. It only doubles while the relation grows: the bounds stay bounds."""
    if size <= SMALL:
        return 1
    count = PIECES
    while size > count * LARGEST_PIECE:
        count *= 2
    return count


def _key_pieces(relation: Relation, connection: Connection, count: int) -> tuple[str, ...]:
    column = next(column for column in relation.columns if column.name == relation.key[0])
    if column.type_oid not in _DIVISIBLE:
        return ("",)
    found = quantiles(_histogram(relation, column, connection), count)
    if column.type_oid in _INTEGERS and found:
        found = [str(bound) for bound in round_bounds([int(bound) for bound in found])]
    return key_conditions(column, found)


def _histogram(relation: Relation, column: RelationColumn, connection: Connection) -> list[str]:
    """Values of the column that divide the table into parts of about the same number of rows, as text."""
    return _texts(
        connection,
        f"SELECT pg_catalog.unnest(histogram_bounds::pg_catalog.text::{column.type}[])::pg_catalog.text "  # noqa: S608
        f"FROM pg_catalog.pg_stats WHERE schemaname = {literal(relation.schema)} "
        f"AND tablename = {literal(relation.name)} AND attname = {literal(column.name)} AND NOT inherited",
    )


def quantiles(bounds: Sequence[str], count: int) -> list[str]:
    """At most `count - 1` of the bounds, evenly spaced. The outermost bounds are not used as cuts."""
    steps = len(bounds) - 1
    chosen = sorted({round(steps * n / count) for n in range(1, count)} - {0, steps})
    return [bounds[n] for n in chosen if 0 < n < steps]


def round_bounds(bounds: Sequence[int]) -> list[int]:
    """Bounds on a grid about half as wide as a piece, so that new statistics mostly give the same ones."""
    width = (bounds[-1] - bounds[0]) // max(1, len(bounds) - 1)
    grid = 1 << max(0, (width // 2).bit_length() - 1)
    return sorted({bound - bound % grid for bound in bounds})


def key_conditions(column: RelationColumn, bounds: Sequence[str]) -> tuple[str, ...]:
    """Half-open ranges of a column without nulls."""
    values = [f"{literal(bound)}::{column.type}" for bound in bounds]
    return _conditions(identifier(column.name), values)


def page_conditions(pages: int, count: int) -> tuple[str, ...]:
    """Ranges of the heap's pages, which begin at multiples of a power of two."""
    step = 1 << max(0, (max(1, pages // count)).bit_length() - 1)
    return _conditions("ctid", [f"'({page},0)'::pg_catalog.tid" for page in range(step, pages, step)])


def _conditions(name: str, bounds: Sequence[str]) -> tuple[str, ...]:
    if not bounds:
        return ("",)
    middle = (f"{name} >= {low} AND {name} < {high}" for low, high in pairwise(bounds))
    return (f"{name} < {bounds[0]}", *middle, f"{name} >= {bounds[-1]}")


def _page_pieces(relation: Relation, connection: Connection, count: int) -> tuple[str, ...]:
    asked = "SELECT pg_catalog.current_setting('server_version_num')"
    if int(_texts(connection, asked)[0]) < TID_RANGES:
        return ("",)
    size = _texts(connection, f"SELECT pg_catalog.pg_relation_size({relation.oid})::pg_catalog.text")
    return page_conditions(int(size[0]) // PAGE, count)


def _texts(connection: Connection, query: str) -> list[str]:
    with connection.cursor() as cursor:
        cursor.execute(query)
        return [str(value) for value in cursor.fetch_arrow_table().column(0).to_pylist()]
