"""Tables to streams, over several connections."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from contextlib import closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from backup_platform.domain.model import StreamRef
from backup_platform.domain.ports import Progress, Recorder
from backup_platform.domain.tables import Table
from backup_platform.errors import SourceUnreadableError
from backup_platform.sources.postgres.capture.conversion import Form, NotNativeError, NotTextError, form_of
from backup_platform.sources.postgres.capture.large_values import with_large_storage
from backup_platform.sources.postgres.capture.queries import Connect, batches, connected, count_rows
from backup_platform.sources.postgres.capture.ranges import pieces
from backup_platform.sources.postgres.catalog.relation import Relation
from backup_platform.sources.postgres.failures import postgres_errors
from backup_platform.sources.tabular.chunking import PageChunks
from backup_platform.sources.tabular.large_rows import LargeRow
from backup_platform.sources.tabular.parquet import parquet_blocks, row_groups
from backup_platform.sources.tabular.stored import StoredTable, part_path

if TYPE_CHECKING:
    import pyarrow as pa
    from adbc_driver_manager.dbapi import Connection


def read_tables(
    relations: Sequence[Relation],
    connect: Connect,
    recorder: Recorder,
    progress: Progress,
    jobs: int,
    *,
    release: Callable[[Connection], None] | None = None,
    unreadable: dict[str, SourceUnreadableError] | None = None,
) -> list[StoredTable]:
    """Store every row of the relations, in `jobs` threads with a connection each; the result has their order.

    `connect` gives connections that see one and the same snapshot, with the settings pinned; `release` is called with
    one when it has read a piece. `unreadable` takes the labels of relations that cannot be read, which are not in the
    result then; without it that is an error. Raises SourceError; lets `RepositoryError` pass through.
    """
    progress.expect(items=len(relations), size=sum(relation.bytes for relation in relations))
    with connected(connect) as connection:
        readings = _readings(relations, connection)
    work = _TableWork(connect, recorder, progress, release, tolerant=unreadable is not None)
    while tasks := _tasks(readings):
        work.run(tasks, jobs)
    if unreadable is not None:
        unreadable |= {each.relation.label: each.failure for each in readings if each.failure is not None}
    return [reading.result() for reading in readings if reading.failure is None]


def _readings(relations: Sequence[Relation], connection: Connection) -> list[_TableReading]:
    with postgres_errors("The server, asked for the sizes of tables,"):
        large = with_large_storage(relations, connection)
        return [
            _TableReading(
                relation,
                pieces(relation, connection) if relation.columns else ("",),
                form_of(relation, large=relation.oid in large),
                relation.bytes,
            )
            for relation in relations
        ]


class _Stored(NamedTuple):
    rows: int
    stream: StreamRef | None  # None for a table without columns


@dataclass(slots=True)
class _TableReading:
    """One relation while it is read, in pieces.

    `form` is replaced when a value has no native form; what was stored in another form does not count then.
    `untold` is the part of the relation's size that the progress was not told of.
    """

    relation: Relation
    conditions: tuple[str, ...]
    form: Form
    untold: int
    stored: dict[int, _Stored] = field(default_factory=dict)  # by number of the piece
    as_text: frozenset[str] = frozenset()
    as_bytes: frozenset[str] = frozenset()
    failure: SourceUnreadableError | None = None

    def missing(self) -> Iterator[int]:
        if self.failure is not None:
            return iter(())
        return (number for number in range(len(self.conditions)) if number not in self.stored)

    def widen(self, error: NotNativeError) -> None:
        if isinstance(error, NotTextError):
            self.as_bytes |= {error.column}
        else:
            self.as_text |= {error.column}
        self.form = form_of(self.relation, self.as_text, self.as_bytes, large=self.form.large)
        self.stored.clear()

    def result(self) -> StoredTable:
        relation, found = self.relation, [stored for _, stored in sorted(self.stored.items())]
        rows = sum(stored.rows for stored in found)
        full = [stored for stored in found if stored.rows] or found[:1]
        streams = [stored.stream for stored in full if stored.stream is not None]
        named = [(part_path(relation.schema, relation.name, n), stream) for n, stream in enumerate(streams)]
        paths = tuple(path for path, _ in named)
        table = Table(relation.schema, relation.name, self.form.columns, relation.key, rows, paths)
        return StoredTable(table, tuple(named))


class _Task(NamedTuple):
    reading: _TableReading
    number: int


def _tasks(readings: Sequence[_TableReading]) -> deque[_Task]:
    """What is still to be read, large tables first."""
    ordered = sorted(readings, key=lambda reading: -reading.relation.bytes)
    return deque(_Task(reading, number) for reading in ordered for number in reading.missing())


class _StoppedError(Exception):
    """Another thread failed, or what is being read is to be read again in another form."""


class _TableWork:
    """Reads tasks in several threads."""

    def __init__(
        self,
        connect: Connect,
        recorder: Recorder,
        progress: Progress,
        release: Callable[[Connection], None] | None,
        *,
        tolerant: bool,
    ) -> None:
        self._connect, self._recorder, self._progress = connect, recorder, progress
        self._release, self._tolerant = release, tolerant
        self._stop = threading.Event()
        self._lock = threading.Lock()  # of the tasks, the readings and the progress

    def run(self, tasks: deque[_Task], jobs: int) -> None:
        """Until every task has ended; those of a reading that changed its form end without a result.

        Raises the first failure, when the other threads have stopped.
        """
        with ThreadPoolExecutor(jobs, thread_name_prefix="table") as pool:
            futures = [pool.submit(self._drain, tasks) for _ in range(min(jobs, len(tasks)))]
            try:
                done, _ = wait(futures, return_when=FIRST_EXCEPTION)
                _raise_failure(done)
            finally:
                self._stop.set()
        self._stop.clear()

    def _drain(self, tasks: deque[_Task]) -> None:
        """One thread. A connection whose query was left half read is not used again."""
        task = self._next(tasks)
        while task is not None:
            with connected(self._connect) as connection:
                while task is not None and self._read(connection, task):
                    if self._release is not None:
                        self._release(connection)
                    task = self._next(tasks)
            task = self._next(tasks)

    def _next(self, tasks: deque[_Task]) -> _Task | None:
        with self._lock:
            return tasks.popleft() if tasks and not self._stop.is_set() else None

    def _read(self, connection: Connection, task: _Task) -> bool:
        """Whether the query was read to its end."""
        reading, form = task.reading, task.reading.form
        if reading.failure is not None:
            return True
        try:
            stored = self._store(connection, task, form)
        except NotNativeError as error:
            with self._lock:
                if reading.form is form:
                    reading.widen(error)
                    kind = "bytes" if isinstance(error, NotTextError) else "text"
                    self._progress.note(
                        f"{reading.relation.label}: column {error.column} is stored as {kind}"
                    )
            return False
        except SourceUnreadableError as error:
            if not self._tolerant:
                raise
            with self._lock:
                reading.failure = error
                self._progress.note(f"{reading.relation.label} cannot be read: its rows are not stored")
            return False
        except _StoppedError:
            return False
        with self._lock:
            if reading.form is form:
                reading.stored[task.number] = stored
                if len(reading.stored) == len(reading.conditions):
                    self._tell(reading, reading.untold)
                    self._progress.advance(items=1)
        return True

    def _store(self, connection: Connection, task: _Task, form: Form) -> _Stored:
        condition = task.reading.conditions[task.number]
        if not form.columns:
            return _Stored(count_rows(connection, form.relation), None)
        with closing(batches(connection, form, condition, self._connect)) as found:
            counted = _Counted(self._watched(found, task.reading, form))
            blocks = parquet_blocks(form.schema(), row_groups(counted), f"table {form.relation.label}")
            stream = self._recorder.stream(blocks, PageChunks())
        return _Stored(counted.rows, stream)

    def _watched(
        self, found: Iterator[pa.RecordBatch | LargeRow], reading: _TableReading, form: Form
    ) -> Iterator[pa.RecordBatch | LargeRow]:
        for batch in found:
            if self._stop.is_set() or reading.form is not form or reading.failure is not None:
                raise _StoppedError
            with self._lock:
                self._tell(reading, min(batch.nbytes, reading.untold))
            yield batch
            del batch

    def _tell(self, reading: _TableReading, size: int) -> None:
        reading.untold -= size
        self._progress.advance(size=size)


class _Counted:
    """Batches, and how many rows they had."""

    def __init__(self, found: Iterator[pa.RecordBatch | LargeRow]) -> None:
        self._found = found
        self.rows = 0

    def __iter__(self) -> Iterator[pa.RecordBatch | LargeRow]:
        for batch in self._found:
            self.rows += batch.num_rows
            yield batch
            del batch


def _raise_failure(ended: Iterable[Future[None]]) -> None:
    for future in ended:
        future.result()
