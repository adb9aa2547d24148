"""Results as CSV and Parquet, written as they come."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa

Write = Callable[[Any], int]
ROW_GROUP_BYTES = 64 << 20


class Limited:
    """The batches of a result, up to `limit` rows. `rows` counts them, and `more` says whether there were others."""

    def __init__(self, batches: Iterator[pa.RecordBatch], limit: int | None) -> None:
        self._batches, self._limit = batches, limit
        self.rows = 0
        self.more = False

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        for batch in self._batches:
            left = len(batch) if self._limit is None else self._limit - self.rows
            self.more = len(batch) > left
            self.rows += min(len(batch), left)
            yield batch.slice(0, left)
            if self.more:
                return


def write_csv(batches: Iterator[pa.RecordBatch], write: Write) -> None:
    """As RFC 4180, in UTF-8, with a heading. NULL is written as nothing, an empty text as `""`."""
    import pyarrow as pa
    from pyarrow import csv

    for number, batch in enumerate(batches):
        sink = pa.BufferOutputStream()
        csv.write_csv(batch, sink, csv.WriteOptions(include_header=number == 0))
        write(sink.getvalue())


def write_parquet(batches: Iterator[pa.RecordBatch], write: Write) -> None:
    """Compressed with zstd, in row groups of some tens of MB."""
    import pyarrow.parquet as pq

    first = next(batches)
    with pq.ParquetWriter(_WriteOnlyFile(write), first.schema, compression="zstd") as writer:
        for group in _groups(batches):
            writer.write_table(group)


def _groups(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.Table]:
    import pyarrow as pa

    pending: list[pa.RecordBatch] = []
    size = 0
    for batch in batches:
        pending.append(batch)
        size += batch.nbytes
        if size >= ROW_GROUP_BYTES:
            yield pa.Table.from_batches(pending)
            pending, size = [], 0
    if pending:
        yield pa.Table.from_batches(pending)


class _WriteOnlyFile:
    """What pyarrow asks of a file that it only writes to."""

    closed = False

    def __init__(self, write: Write) -> None:
        self._write = write
        self._at = 0

    def write(self, data: Any) -> int:
        self._write(data)
        self._at += len(data)
        return len(data)

    def tell(self) -> int:
        return self._at

    def writable(self) -> bool:
        return True

    def readable(self) -> bool:
        return False

    def seekable(self) -> bool:
        return False

    def flush(self) -> None:
        """Nothing is held back."""

    def close(self) -> None:
        """The owner of `write` closes."""
