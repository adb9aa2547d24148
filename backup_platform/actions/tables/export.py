"""Tables of a recovery point as plain Parquet files, for other programs."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from io import BufferedReader
from typing import IO, TYPE_CHECKING
from urllib.parse import quote

from backup_platform.actions.tables.export_target import BLOCK, ExportTarget, Uploads, open_target
from backup_platform.domain.ports import Clock, Progress
from backup_platform.domain.tables import CATALOGUE_PATH, Catalogue
from backup_platform.errors import TargetError

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

    from backup_platform.actions.tables.point_tables import PointTables
    from backup_platform.domain.tables import Table

NAMED = 5


@dataclass(frozen=True, slots=True)
class ExportSummary:
    """What was written, and read back: files beside the catalogue, rows, bytes of the files, seconds."""

    to: str
    tables: int
    files: int
    rows: int
    bytes: int
    duration_s: float


def export(
    tables: PointTables,
    to: str,
    names: Sequence[str],
    *,
    overwrite: bool,
    open_store: Callable[[str], Uploads],
    clock: Clock,
    progress: Progress,
) -> ExportSummary:
    """Write `<schema>/<table>[-part].parquet` and, last, `catalogue.json`; all tables when no names are given.

    Raises NotFoundError, TargetError before anything is written when files are there, and what the stores raise.
    """
    started = clock.monotonic()
    chosen = _chosen(tables, names)
    exported = [replace(table, parts=tuple(_paths(table))) for table in chosen]
    files = [
        pair
        for old, new in zip(chosen, exported, strict=True)
        for pair in zip(old.parts, new.parts, strict=True)
    ]
    catalogue = CATALOGUE_PATH.decode()
    progress.expect(items=len(files), size=sum(stored.bytes for stored in tables.sizes(chosen)))
    with open_target(to, open_store) as target:
        if not overwrite:
            _refuse_occupied(target.occupied([*(new for _, new in files), catalogue]), to)
        size = sum(_export(tables, target, old, new, overwrite, progress) for old, new in files)
        _write(target, catalogue, _catalogue(tables.catalogue, exported), overwrite)
    rows = sum(table.rows for table in chosen)
    return ExportSummary(to, len(chosen), len(files), rows, size, round(clock.monotonic() - started, 3))


def _chosen(tables: PointTables, names: Sequence[str]) -> list[Table]:
    """All of them, or the named ones; of a partitioned one its partitions."""
    if not names:
        return list(tables.catalogue.tables)
    found = [tables.find(name) for name in names]
    stored = [
        [table] if table.partitions is None else tables.catalogue.leaves(table.label) for table in found
    ]
    return list(dict.fromkeys(each for some in stored for each in some))


def _catalogue(whole: Catalogue, exported: Sequence[Table]) -> Catalogue:
    labels = {table.label for table in exported}
    return replace(
        whole,
        tables=tuple(exported),
        partitioned=tuple(each for each in whole.partitioned if labels.issuperset(each.leaves)),
    )


def _refuse_occupied(occupied: Sequence[str], to: str) -> None:
    if occupied:
        shown = ", ".join(occupied[:NAMED]) + (", …" if len(occupied) > NAMED else "")
        raise TargetError(
            f"{len(occupied)} of the files are in {to} already: {shown}.",
            hint="Choose another place, or replace them with --overwrite.",
        )


def _paths(table: Table) -> Iterator[str]:
    schema, name = _component(table.schema), _component(table.name)
    # A name that ends like a number of a part must not be taken for one.
    name = re.sub(r"-(\d{5})$", r"%2D\1", name)
    for number in range(len(table.parts)):
        part = f"-{number:05}" if len(table.parts) > 1 else ""
        yield f"{schema}/{name}{part}.parquet"


def _component(name: str) -> str:
    encoded = quote(name, safe=" ")
    return encoded.replace(".", "%2E") if encoded in (".", "..") else encoded


def _export(
    tables: PointTables, target: ExportTarget, path: str, name: str, overwrite: bool, progress: Progress
) -> int:
    """Write one part, compare it value by value, publish it; its size."""
    draft = target.draft(name)
    try:
        with BufferedReader(tables.stream(path)) as stored:
            _encode(stored, draft)
            difference = _difference(stored, draft)
        if difference:
            raise TargetError(
                f"{name} reads back different from what was written: {difference}.", subject=name
            )
        size = os.path.getsize(draft)
        target.publish(draft, name, overwrite=overwrite)
    finally:
        with suppress(FileNotFoundError):
            os.unlink(draft)
    progress.advance(items=1, size=tables.stream(path).size)
    return size


def _encode(stored: IO[bytes], draft: str) -> None:
    import pyarrow.parquet as pq

    source = pq.ParquetFile(stored, pre_buffer=False)
    with open(draft, "xb") as file:
        if _compressed(source):
            stored.seek(0)
            while block := stored.read(BLOCK):
                file.write(block)
        else:
            with pq.ParquetWriter(file, source.schema_arrow, compression="zstd") as writer:
                for number in range(source.num_row_groups):
                    group = source.read_row_group(number, use_threads=False)
                    writer.write_table(group, row_group_size=max(1, group.num_rows))
        file.flush()
        os.fsync(file.fileno())


def _compressed(source: pq.ParquetFile) -> bool:
    """Whether any column is; a file of another writer's is copied as it is."""
    groups = (source.metadata.row_group(number) for number in range(source.num_row_groups))
    return any(
        group.column(place).compression != "UNCOMPRESSED"
        for group in groups
        for place in range(group.num_columns)
    )


def _difference(stored: IO[bytes], draft: str) -> str:
    """What differs between the stored file and the written one; "" when every value is the same."""
    import pyarrow.parquet as pq

    a = pq.ParquetFile(stored, pre_buffer=False)
    with pq.ParquetFile(draft, pre_buffer=False) as b:
        if not a.schema_arrow.equals(b.schema_arrow):
            return "the columns"
        if a.num_row_groups != b.num_row_groups:
            return "the number of row groups"
        for number in range(a.num_row_groups):
            groups = (file.read_row_group(number, use_threads=False) for file in (a, b))
            if not _equal(*groups):
                return f"values of row group {number}"
    return ""


def _equal(a: pa.Table, b: pa.Table) -> bool:
    return a.num_rows == b.num_rows and all(
        _bits(x).equals(_bits(y)) for x, y in zip(a.columns, b.columns, strict=True)
    )


def _bits(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Floats as whole numbers: NaN is not equal to itself, and -0.0 is equal to 0.0."""
    import pyarrow as pa

    whole = {pa.float32(): pa.int32(), pa.float64(): pa.int64()}.get(column.type)
    return pa.chunked_array([chunk.view(whole) for chunk in column.chunks], whole) if whole else column


def _write(target: ExportTarget, name: str, catalogue: Catalogue, overwrite: bool) -> None:
    draft = target.draft(name)
    with open(draft, "x", encoding="utf-8") as file:
        json.dump(catalogue.to_json(), file, indent=1)
        file.flush()
        os.fsync(file.fileno())
    target.publish(draft, name, overwrite=overwrite)
