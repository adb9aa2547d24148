"""The rows of a query in each format, in bounded memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any, Literal

from backup_platform.actions.query.run import LONGEST_S
from backup_platform.cli.display.output import Output
from backup_platform.cli.display.table import Cell, TableColumn, print_table
from backup_platform.domain.model import Json
from backup_platform.domain.visible import visible
from backup_platform.domain.words import how_many
from backup_platform.errors import UsageError

if TYPE_CHECKING:
    import pyarrow as pa

    from backup_platform.actions.query.results import QueryResult

Format = Literal["table", "csv", "json", "parquet"]

TIME_LIMIT_HELP = "Stop after this time, for example 2h, or none. [default: 10min]"
BLOCK = 1000  # rows that share one alignment
LONGEST = 200  # characters of a value on a terminal
_SHORT = 32


@dataclass(frozen=True, slots=True)
class Written:
    """`more` says that there were rows beyond the limit."""

    rows: int
    more: bool


def row_limit(value: str | None, default: int | None = None) -> int | None:
    """The number in `--limit`. Raises UsageError."""
    if value is None:
        return default
    if not value.isdecimal() or not value.isascii():
        raise UsageError(f"--limit {value!r} is not a number of rows.", hint="Write it as in --limit 100.")
    return int(value)


def time_limit(value: str | None) -> float | None:
    """The seconds in `--time-limit`, None for `none`. Raises UsageError."""
    if value is None or value == "none":
        return LONGEST_S if value is None else None
    return seconds_of(value)


def seconds_of(value: str) -> float:
    """Raises UsageError."""
    from backup_platform.plan.values import parse_duration  # and with it the whole plan

    try:
        return parse_duration(value).total_seconds()
    except ValueError as error:
        raise UsageError(f"--time-limit: {error}.") from None


def write_rows(result: QueryResult, form: Format, out: Output, point: str, limit: int | None) -> Written:
    """Raises UsageError, and what the store raises, also half-way."""
    from backup_platform.actions.query.formats import Limited, write_csv, write_parquet

    batches = Limited(result.batches(), limit)
    if form == "json":
        columns: list[Json] = [{"name": column.name, "type": column.type} for column in result.columns]
        out.rows({"point": point, "columns": columns}, "rows", result.objects(iter(batches)))
    elif form == "csv":
        write_csv(iter(batches), out.raw)
    elif form == "parquet":
        write_parquet(iter(batches), out.raw)
    else:
        _print(result, iter(batches), out)
        out.line(out.paint(_footer(batches.rows, batches.more), "dim"))
    return Written(batches.rows, batches.more)


def _footer(rows: int, more: bool) -> str:
    amount = how_many(rows, "row")
    return f"(the first {amount}; there are more)" if more else f"({amount})"


def _print(result: QueryResult, batches: Iterator[pa.RecordBatch], out: Output) -> None:
    right = [
        column.type not in ("VARCHAR", "BLOB") and not column.type.endswith("]") for column in result.columns
    ]
    columns = [TableColumn(c.name, right=r) for c, r in zip(result.columns, right, strict=True)]
    rows = (row for batch in batches for row in _cells(out, batch))
    first = list(islice(rows, BLOCK))
    print_table(out, columns, first)
    while block := list(islice(rows, BLOCK)):
        print_table(out, columns, block)


def _cells(out: Output, batch: pa.RecordBatch) -> Iterator[Sequence[Cell]]:
    return zip(
        *([_cell(out, value) for value in column.to_pylist()] for column in batch.columns), strict=True
    )


def _cell(out: Output, value: Any) -> Cell:
    """NULL is NULL, and a text of that name is in quotes."""
    if value is None:
        return Cell("NULL", "dim")
    if isinstance(value, bool):
        return Cell("true" if value else "false")
    text = visible(str(value)) if value != "NULL" else '"NULL"'
    if out.terminal and len(text) > LONGEST:
        text = text[: LONGEST - 1] + "…"
    return Cell(text, short=text[: _SHORT - 1] + "…" if len(text) > _SHORT else "")
