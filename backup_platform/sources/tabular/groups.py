"""Row groups of a bounded size, from a reader's batches."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from backup_platform.sources.tabular.large_rows import LargeRow

if TYPE_CHECKING:
    import pyarrow as pa

GROUP_BYTES = 32 << 20  # of Arrow data; at most half as much again, or one row


def row_groups(
    batches: Iterable[pa.RecordBatch | LargeRow], target: int = GROUP_BYTES
) -> Iterator[pa.Table | LargeRow]:
    """The batches' rows in groups of one number of rows, a power of two that the first batch decides.

    Values that grow or shrink then move no row into another group. Only rows that are much wider than the first
    ones end a group early, and rows with large values are groups of their own.
    """
    import pyarrow as pa

    held: list[pa.RecordBatch] = []
    rows = size = limit = 0
    for batch in batches:
        if isinstance(batch, LargeRow):
            if held:
                yield pa.Table.from_batches(held)
                held, rows, size = [], 0, 0
            yield batch
            continue
        limit = limit or _rows_for(batch, target)
        while batch.num_rows:
            part = batch.slice(0, limit - rows)
            batch = batch.slice(part.num_rows)
            held.append(part)
            rows, size = rows + part.num_rows, size + part.nbytes
            if rows == limit or size >= target * 3 // 2:
                yield pa.Table.from_batches(held)
                held, rows, size = [], 0, 0
        del batch, part
    if held:
        yield pa.Table.from_batches(held)


def _rows_for(batch: pa.RecordBatch, target: int) -> int:
    width: int = max(1, batch.nbytes // max(1, batch.num_rows))
    return 1 << max(0, (target // width).bit_length() - 1)
