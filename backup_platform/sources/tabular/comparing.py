"""Comparing the tables of a recovery point with those of the restored database, value by value."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO, TypeAlias

import numpy as np

from backup_platform.domain.ports import Progress, Recorder
from backup_platform.domain.tables import Table
from backup_platform.sources.tabular.digest import BUCKETS, Digest
from backup_platform.sources.tabular.locating import locate
from backup_platform.sources.tabular.spool import Digested, DigestingRecorder, digested, parquet_batches
from backup_platform.sources.tabular.stored import StoredTable

if TYPE_CHECKING:
    import pyarrow as pa

# Reads the restored tables with these labels into a recorder, as capture reads those of a source.
ReadTables: TypeAlias = Callable[[AbstractSet[str], Recorder], list[StoredTable]]
LOCATED = 5  # tables whose rows are compared one by one, when they differ


@dataclass(frozen=True, slots=True)
class TableGroup:
    """Tables that are compared as one: the leaves below a table that routed their rows when they were restored.

    Where a hash of the values decides, as for an enum, a leaf holds other rows on every server.
    """

    label: str
    tables: tuple[Table, ...]

    @property
    def rows(self) -> int:
        return sum(table.rows for table in self.tables)


@dataclass
class TableComparison:
    """Stored and restored tables. Of the restored ones only digests are kept.

    `open` opens a part of a stored table by its path. `directory` takes the parts of restored tables, one for each
    thread of the reader at a time.
    """

    groups: Sequence[TableGroup]
    open: Callable[[str], BinaryIO]
    read: ReadTables
    directory: str
    progress: Progress
    jobs: int = 1
    located: int = 0

    def differences(self) -> Iterator[str]:
        """Raises `DamageError`, `SourceError`."""
        recorder = DigestingRecorder(self.directory, secrets.randbits(64))
        stored = self._stored_parts(recorder.seed)
        found = self._restored(self._tables(), recorder)
        for group in self.groups:
            missing = [table.label for table in group.tables if table.label not in found]
            yield from (f"table {label} is missing in the restored database." for label in missing)
            if not missing:
                before = [stored[path] for path in _paths(group)]
                yield from self._compare(group, before, [found[t.label] for t in group.tables], recorder)

    def _stored_parts(self, seed: int) -> dict[str, Digested]:
        """The parts of all tables, several at a time."""
        paths = [path for table in self._tables() for path in table.parts]
        self.progress.begin("reading what is stored", "part")
        self.progress.expect(items=len(paths))

        def read(path: str) -> Digested:
            with self.open(path) as file:
                found = digested(file, seed)
            self.progress.advance(items=1)
            return found

        with ThreadPoolExecutor(self.jobs, thread_name_prefix="digest") as pool:
            return dict(zip(paths, pool.map(read, paths), strict=True))

    def _tables(self) -> list[Table]:
        return [table for group in self.groups for table in group.tables]

    def _restored(self, tables: Sequence[Table], recorder: Recorder) -> dict[str, StoredTable]:
        labels = {table.label for table in tables}
        self.progress.begin("comparing with what was restored", "table")
        return {stored.table.label: stored for stored in self.read(labels, recorder)}

    def _compare(
        self,
        group: TableGroup,
        before: Sequence[Digested],
        restored: Sequence[StoredTable],
        recorder: DigestingRecorder,
    ) -> Iterator[str]:
        shapes = [line for t, r in zip(group.tables, restored, strict=True) for line in _shape(t, r.table)]
        yield from shapes
        after = sum(stored.table.rows for stored in restored)
        if group.rows != after:
            yield f"table {group.label}: {group.rows:,} rows stored, {after:,} restored."
        if shapes or not group.tables[0].columns:
            return
        parts = [recorder.digested[ref.content.blobs] for stored in restored for _, ref in stored.streams]
        yield from self._compare_rows(group, before, parts, recorder.seed)

    def _compare_rows(
        self, group: TableGroup, before: Sequence[Digested], parts: Sequence[Digested], seed: int
    ) -> Iterator[str]:
        names = sorted(column.name for column in group.tables[0].columns)
        types = {_sorted(part) for part in parts} ^ {_sorted(part) for part in before}
        if types and parts and before:
            yield f"table {group.label}: types of columns differ: {_types(types)}."
            return
        old, new = _total(before, names), _total(parts, names)
        if old.rows != group.rows:
            yield f"table {group.label}: the catalogue says {group.rows:,} rows, its streams hold {old.rows:,}."
        if not old.equals(new):
            yield from self._located(group, names, old, new, seed)

    def _stored(self, group: TableGroup) -> Iterator[pa.RecordBatch]:
        for path in _paths(group):
            with self.open(path) as file:
                yield from parquet_batches(file)

    def _located(
        self, group: TableGroup, names: Sequence[str], old: Digest, new: Digest, seed: int
    ) -> Iterator[str]:
        columns = [name for name, a, b in zip(names, old.columns, new.columns, strict=True) if a != b]
        named = f"in {', '.join(columns[:5])}" if columns else "in how values are combined"
        yield f"table {group.label}: the rows stored and restored differ {named}."
        if self.located >= LOCATED:
            return
        self.located += 1
        with closing(DigestingRecorder(self.directory, seed, keep=True)) as recorder:
            again = self._restored(group.tables, recorder)

            def restored() -> Iterator[pa.RecordBatch]:
                for stored in again.values():
                    for _, stream in stored.streams:
                        yield from recorder.batches(stream.content)

            key = group.tables[0].key
            yield from locate(group.label, key, lambda: self._stored(group), restored, old, new, seed)


def _paths(group: TableGroup) -> Iterator[str]:
    return (path for table in group.tables for path in table.parts)


def _shape(stored: Table, restored: Table) -> Iterator[str]:
    """The order of columns is the schema's matter: an engine may restore another one."""
    before, after = ({column.name: column for column in table.columns} for table in (stored, restored))
    if before.keys() != after.keys():
        yield f"table {stored.label}: columns {list(before)} stored, {list(after)} restored."
        return
    for name, column in before.items():
        other = after[name]
        if (column.type, column.storage) != (other.type, other.storage):
            yield (
                f"table {stored.label}: column {name} is {column.type} as {column.storage} stored, "
                f"{other.type} as {other.storage} restored."
            )
    if stored.key != restored.key:
        yield f"table {stored.label}: the key is {list(stored.key)} stored, {list(restored.key)} restored."


def _sorted(part: Digested) -> tuple[tuple[str, str], ...]:
    return tuple(sorted(part.types))


def _types(types: Iterable[Any]) -> str:
    return " and ".join(sorted(str(dict(each)) for each in types))[:300]


def _total(parts: Iterable[Digested], names: Sequence[str]) -> Digest:
    """With the columns in the order of their names: partitions may have them in another than their parent."""
    total = Digest(0, np.zeros(BUCKETS, np.uint64), np.zeros(len(names), np.uint64))
    for part in parts:
        order = np.argsort([name for name, _ in part.types])
        total += Digest(part.rows.rows, part.rows.buckets, part.rows.columns[order])
    return total
