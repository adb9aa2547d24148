"""Loading tables into a server: several connections, each with one stored part at a time, the largest first.

Tables that the server refuses are tried again after the others, as long as that makes progress: a CHECK or a foreign
key may need the rows of another table.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO

from backup_platform.domain.ports import Progress
from backup_platform.domain.tables import Storage, Table
from backup_platform.errors import DamageError, TargetError, TargetRefusedError
from backup_platform.sources.postgres.contents import PointContents
from backup_platform.sources.postgres.document import QualifiedName
from backup_platform.sources.postgres.quoting import identifier
from backup_platform.sources.postgres.restore.rows.copy_binary import (
    HEADER,
    TRAILER,
    binary_bytes,
    holds_bytes,
    is_binary,
)
from backup_platform.sources.postgres.restore.rows.copy_text import copy_bytes
from backup_platform.sources.postgres.restore.rows.silent_triggers import quiet
from backup_platform.sources.postgres.target_failures import target_errors

if TYPE_CHECKING:
    from psycopg import Connection
    from psycopg.rows import TupleRow
    from pyarrow import RecordBatch

_BATCH_BYTES = 4 << 20
_BATCH_ROWS = 1 << 15
_READ_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Load:
    """One table. `into` is the relation that takes its rows. `empty` says that the relation was made by this restore
    and is loaded by nobody else: it may be truncated first, which spares its log where `wal_level` is minimal. `exact`
    says that its columns have the captured types, to the last bit: binary values may be sent."""

    table: Table
    into: QualifiedName
    size: int
    empty: bool = False
    exact: bool = False


@dataclass(frozen=True, slots=True)
class _Part:
    load: Load
    path: str
    size: int


class Loader:
    """Loads tables, each exactly as stored or not at all counted as done. `rows` are those done, by label.

    `failures` say why others are not, by label; with `stop` the first one ends it all.
    """

    def __init__(
        self,
        contents: PointContents,
        connect: Callable[[], Connection[TupleRow]],
        server: str,
        progress: Progress,
        *,
        stop: bool = False,
    ) -> None:
        self.contents, self.connect, self.server, self.progress = contents, connect, server, progress
        self.stop = stop
        self.rows: dict[str, int] = {}
        self.failures: dict[str, str] = {}
        self.copied: dict[str, int] = {}
        self._left: dict[str, int] = {}
        self._refused: dict[_Part, TargetRefusedError] = {}
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._failure: Exception | None = None
        self._connections: list[Connection[TupleRow]] = []

    def run(self, loads: Sequence[Load], jobs: int) -> None:
        """Raises `TargetError` when the server is lost or full; what was loaded until then stays, see `rows`."""
        parts = sorted(self._parts(loads), key=lambda part: part.size, reverse=True)
        self._left = dict(Counter(part.load.table.label for part in parts))
        again = self._round(parts, jobs)
        while 0 < len(again) < len(parts):
            parts, again = again, self._round(again, jobs)
        for part, error in self._refused.items():
            self.failures.setdefault(part.load.table.label, error.said)

    def _round(self, parts: Sequence[_Part], jobs: int) -> list[_Part]:
        """Those that the server refused."""
        self._refused.clear()
        self._connections.clear()
        waiting = iter(parts)
        with ThreadPoolExecutor(max(1, min(jobs, len(parts))), thread_name_prefix="load") as pool:
            futures = [pool.submit(self._work, waiting) for _ in range(min(jobs, len(parts)))]
            try:
                for future in futures:
                    future.result()
            except Exception as error:
                self._stop()
                raise self._failure or error from error
            except BaseException:
                self._stop()
                raise
        return list(self._refused)

    def _parts(self, loads: Sequence[Load]) -> Iterator[_Part]:
        for load in loads:
            paths = load.table.parts if load.table.columns else ()
            for path in paths or ("",):
                yield _Part(load, path, self.contents.size(path) if path else 0)

    def _stop(self) -> None:
        """Whoever still loads gives up: the server ends its COPY, and the transaction with it."""
        import psycopg

        self._stopped.set()
        with self._lock:
            for connection in self._connections:
                with suppress(psycopg.Error):
                    connection.cancel_safe(timeout=5)

    def _work(self, waiting: Iterator[_Part]) -> None:
        try:
            with target_errors(self.server), self.connect() as connection:
                with self._lock:
                    self._connections.append(connection)
                connection.execute("SET synchronous_commit = off")
                while (part := self._next(waiting)) is not None:
                    self._load(connection, part)
        except Exception as error:
            with self._lock:
                self._failure = self._failure or error  # the others only fail because this one did
            self._stopped.set()
            raise

    def _next(self, waiting: Iterator[_Part]) -> _Part | None:
        with self._lock:
            return None if self._stopped.is_set() else next(waiting, None)

    def _load(self, connection: Connection[TupleRow], part: _Part) -> None:
        label = part.load.table.label
        try:
            with (
                target_errors(f"{self.server}, table {label},"),
                connection.transaction(),
                quiet(connection, part.load.into),
            ):
                rows = self._fill(connection, part)
            self._done(part.load, rows, part.size)
        except TargetRefusedError as error:
            if self.stop or self._stopped.is_set():
                raise
            self._refused[part] = error
        except DamageError as error:
            if self.stop:
                raise
            self.failures.setdefault(label, error.message)

    def _fill(self, connection: Connection[TupleRow], part: _Part) -> int:
        load = part.load
        if load.empty and len(load.table.parts) == 1:
            connection.execute(f"TRUNCATE ONLY {_target(load)}".encode())
        if not load.table.columns:
            return self._copy_nothing(connection, load)
        if not part.path:
            return 0
        with self.contents.open(part.path) as file:
            return self._copy(connection, load, file)

    def _copy_nothing(self, connection: Connection[TupleRow], load: Load) -> int:
        """Rows without columns. COPY and not INSERT, which would follow the rules of the table."""
        cursor = connection.cursor()
        with cursor.copy(f"COPY {_target(load)} FROM STDIN".encode()) as copy:
            for done in range(0, load.table.rows, _BATCH_ROWS):
                copy.write(b"\n" * min(_BATCH_ROWS, load.table.rows - done))
        return self._taken(load, load.table.rows, cursor.rowcount)

    def _copy(self, connection: Connection[TupleRow], load: Load, file: BinaryIO) -> int:
        columns = ", ".join(identifier(column.name) for column in load.table.columns)
        binary = load.exact and is_binary(load.table)
        form = "binary" if binary else "csv, ENCODING 'SQL_ASCII'" if holds_bytes(load.table) else "csv"
        statement = f"COPY {_target(load)} ({columns}) FROM STDIN (FORMAT {form})"
        texts = [column.name for column in load.table.columns if column.storage is Storage.BYTES]
        cursor, sent = connection.cursor(), 0
        with cursor.copy(statement.encode()) as copy:
            copy.write(HEADER if binary else b"")
            for batch in batches(file, load.table):
                if self._stopped.is_set():
                    raise TargetError(
                        f"Loading {load.table.label} was stopped, because something else failed.",
                        subject=load.table.label,
                    )
                sent += batch.num_rows
                copy.write(
                    memoryview(binary_bytes(batch, load.table) if binary else copy_bytes(batch, texts))
                )
            copy.write(TRAILER if binary else b"")
        return self._taken(load, sent, cursor.rowcount)

    def _taken(self, load: Load, sent: int, taken: int) -> int:
        if taken != sent:
            said = f"the server took {taken:,} of {sent:,} rows: a trigger rejected some"
            raise TargetRefusedError(f"{self.server}, table {load.table.label}: {said}.", said=said)
        return sent

    def _done(self, load: Load, rows: int, size: int) -> None:
        table, finished = load.table, 0
        with self._lock:
            self.copied[table.label] = self.copied.get(table.label, 0) + rows
            self._left[table.label] -= 1
            if not self._left[table.label]:
                if self.copied[table.label] != table.rows:
                    raise DamageError(
                        f"The recovery point says that {table.label} has {table.rows:,} rows, and holds "
                        f"{self.copied[table.label]:,}.",
                        subject=table.label,
                    )
                self.rows[table.label], finished = table.rows, 1
        self.progress.advance(items=finished, size=size)


def batches(file: BinaryIO, table: Table) -> Iterator[RecordBatch]:
    """The rows of a stored part in order, a few megabytes at a time. Raises DamageError if it is not such a part."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        parquet = pq.ParquetFile(file, buffer_size=_READ_BYTES, pre_buffer=False)
        if parquet.schema_arrow.names != [column.name for column in table.columns]:
            raise DamageError(
                f"A stored part of {table.label} does not have the columns that the catalogue says.",
                subject=table.label,
            )
        for group in range(parquet.num_row_groups):
            found = parquet.metadata.row_group(group)
            rows = max(1, min(_BATCH_ROWS, _BATCH_BYTES * found.num_rows // max(1, found.total_byte_size)))
            for batch in parquet.iter_batches(rows, row_groups=[group], use_threads=False):
                yield from _small(batch)
    except pa.ArrowInvalid as error:
        raise DamageError(
            f"A stored part of {table.label} cannot be read: {error}.", subject=table.label
        ) from error


def _small(batch: RecordBatch) -> Iterator[RecordBatch]:
    """Halves of a batch whose values are larger than the average promised."""
    if batch.num_rows > 1 and batch.nbytes > 4 * _BATCH_BYTES:
        half = batch.num_rows // 2
        yield from _small(batch.slice(0, half))
        yield from _small(batch.slice(half))
    elif batch.num_rows:
        yield batch


def _target(load: Load) -> str:
    return identifier(load.into.schema, load.into.name)
