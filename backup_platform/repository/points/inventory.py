"""Inventories as Arrow tables and Parquet streams (FORMAT.md §6).

Arrays are built from buffers: pyarrow's conversion from Python objects imports pandas where that is installed, which
costs seconds at every start.
"""

from __future__ import annotations

import shutil
from array import array
from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate
from tempfile import SpooledTemporaryFile
from typing import IO, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from backup_platform.domain.limits import MAX_DEPTH, MAX_NUMBER, MAX_TEXT
from backup_platform.domain.model import Content, Entry, EntryKind, Stat, Status
from backup_platform.errors import DamageError, RepositoryError
from backup_platform.repository.packs.bounded_parquet import (
    BoundedFile,
    batches,
    open_parquet,
    require_columns,
)
from backup_platform.repository.points.times import (
    NEAR,
    TIMES,
    far_schema,
    is_far,
    narrowed,
    numbers,
    time_arrays,
    times_of,
    widened,
)

PAIR = pa.struct([pa.field("name", pa.binary()), pa.field("value", pa.binary())])
EXTENT = pa.struct([pa.field("offset", pa.uint64()), pa.field("length", pa.uint64())])
SCHEMA = pa.schema(
    [
        pa.field("path", pa.binary()),
        pa.field("kind", pa.string()),
        pa.field("status", pa.string()),
        pa.field("problem", pa.string()),
        pa.field("mode", pa.uint32()),
        pa.field("uid", pa.uint32()),
        pa.field("gid", pa.uint32()),
        pa.field("user", pa.string()),
        pa.field("group", pa.string()),
        pa.field("size", pa.uint64()),
        *NEAR,
        pa.field("inode", pa.uint64()),
        pa.field("device", pa.uint64()),
        pa.field("nlink", pa.uint64()),
        pa.field("rdev", pa.uint64()),
        pa.field("link_target", pa.binary()),
        pa.field("hardlink", pa.binary()),
        pa.field("xattrs", pa.list_(PAIR)),
        pa.field("extents", pa.list_(EXTENT)),
        pa.field("depth", pa.uint8()),
        pa.field("blobs", pa.binary()),
    ]
)
FAR_SCHEMA = far_schema(SCHEMA)
VERSION = "backup_platform.inventory"
VERSIONS = {"1": SCHEMA, "2": FAR_SCHEMA}
REPETITIVE = [
    "kind",
    "status",
    "problem",
    "mode",
    "uid",
    "gid",
    "user",
    "group",
    "device",
    "nlink",
    "rdev",
    "depth",
]
OPTIONAL = ("link_target", "hardlink", "extents")
WORDS = {"kind": frozenset(EntryKind), "status": frozenset(Status)}
ROW_GROUP = 1 << 15
BATCH = 1 << 14
SPOOLED = 16 << 20


def rows_of(entries: Sequence[Entry]) -> pa.Table:
    """The inventory rows of some entries."""
    if not entries:
        return pa.Table.from_batches([], schema=SCHEMA)
    stats, status, problem, user, group, target, hardlink, xattrs, extents, content = zip(
        *entries, strict=True
    )
    path, kind, mode, uid, gid, size, mtime, ctime, inode, device, nlink, rdev = zip(*stats, strict=True)
    times, far = time_arrays((mtime, ctime))
    columns = [
        _binary(path),
        *(_text(values) for values in (kind, status, problem)),
        *(numbers(values, "I", pa.uint32()) for values in (mode, uid, gid)),
        *(_text(values) for values in (user, group)),
        numbers(size, "Q", pa.uint64()),
        *times,
        *(numbers(values, "Q", pa.uint64()) for values in (inode, device, nlink, rdev)),
        *(_binary(values) for values in (target, hardlink)),
        _lists(xattrs, _pairs),
        _lists(extents, _extents),
        numbers([c.depth for c in content], "B", pa.uint8()),
        _binary([c.blobs for c in content]),
    ]
    return pa.Table.from_arrays(columns, schema=FAR_SCHEMA if far else SCHEMA)


def _binary(values: Sequence[bytes | None], kind: pa.DataType | None = None) -> pa.Array:
    present = [value or b"" for value in values]
    offsets = array("i", accumulate(map(len, present), initial=0))
    buffers = [_validity(values), pa.py_buffer(offsets), pa.py_buffer(b"".join(present))]
    return pa.Array.from_buffers(kind or pa.binary(), len(present), buffers)


def _text(values: Sequence[str]) -> pa.Array:
    return _binary([value.encode("utf-8", "backslashreplace")[:MAX_TEXT] for value in values], pa.string())


def _validity(values: Sequence[Any]) -> pa.Buffer | None:
    if None not in values:
        return None
    bits = np.fromiter((value is not None for value in values), bool, len(values))
    return pa.py_buffer(np.packbits(bits, bitorder="little").tobytes())


def _lists(values: Sequence[Sequence[Any] | None], flat: Callable[[list[Any]], pa.Array]) -> pa.Array:
    offsets = array("i", accumulate((len(value or ()) for value in values), initial=0))
    items = flat([item for value in values for item in value or ()])
    return pa.Array.from_buffers(
        pa.list_(items.type), len(values), [_validity(values), pa.py_buffer(offsets)], children=[items]
    )


def _struct(kind: pa.StructType, length: int, children: list[pa.Array]) -> pa.Array:
    return pa.Array.from_buffers(kind, length, [None], children=children)


def _pairs(items: list[tuple[bytes, bytes]]) -> pa.Array:
    return _struct(PAIR, len(items), [_binary([n for n, _ in items]), _binary([v for _, v in items])])


def _extents(items: list[tuple[int, int]]) -> pa.Array:
    columns = [numbers([item[side] for item in items], "Q", pa.uint64()) for side in (0, 1)]
    return _struct(EXTENT, len(items), columns)


def entries_of(rows: pa.Table) -> Iterator[Entry]:
    """The entries of some inventory rows."""
    others = [name for name in SCHEMA.names if name not in {field.name for field in NEAR}]
    columns = {name: rows.column(name).to_pylist() for name in others}
    stats = map(
        Stat._make,
        zip(
            columns["path"],
            map(EntryKind, columns["kind"]),
            *(columns[name] for name in ("mode", "uid", "gid", "size")),
            *(times_of(rows, name) for name in TIMES),
            *(columns[name] for name in ("inode", "device", "nlink", "rdev")),
            strict=True,
        ),
    )
    return map(
        Entry._make,
        zip(
            stats,
            map(Status, columns["status"]),
            *(columns[name] for name in ("problem", "user", "group", "link_target", "hardlink")),
            (tuple((x["name"], x["value"]) for x in value) for value in columns["xattrs"]),
            (
                None if value is None else tuple((x["offset"], x["length"]) for x in value)
                for value in columns["extents"]
            ),
            map(Content, columns["blobs"], columns["depth"]),
            strict=True,
        ),
    )


class InventoryWriter:
    """Writes inventory rows to a file as they come, in bounded memory. The bytes depend on the rows only.

    The first time that does not fit into the usual form rewrites what is in the file so far.
    """

    def __init__(self, sink: IO[bytes]) -> None:
        self._sink = sink
        self._version = "1"
        self._writer = _writer(sink, SCHEMA)
        self._pending: list[pa.Table] = []
        self._count = 0

    def write(self, rows: pa.Table) -> None:
        rows = narrowed(rows)
        if is_far(rows) and self._version == "1":
            self._widen()
        self._pending.append(rows if self._version == "1" else widened(rows))
        self._count += len(rows)
        while self._count >= ROW_GROUP:
            self._flush()

    def _widen(self) -> None:
        self._writer.close()
        self._version, self._pending = "2", [widened(rows) for rows in self._pending]
        with SpooledTemporaryFile(max_size=SPOOLED) as old:
            self._sink.seek(0)
            shutil.copyfileobj(self._sink, old)
            self._sink.seek(0)
            self._sink.truncate()
            self._writer = _writer(self._sink, FAR_SCHEMA)
            for batch in pq.ParquetFile(old, pre_buffer=False).iter_batches(
                batch_size=ROW_GROUP, use_threads=False
            ):
                self._write(pa.Table.from_batches([batch]))

    def _write(self, rows: pa.Table) -> None:
        self._writer.write_table(widened(rows) if self._version == "2" else rows, row_group_size=ROW_GROUP)

    def _flush(self) -> None:
        # Row groups of one size whatever the batches were: equal rows must give equal bytes.
        rows = pa.concat_tables(self._pending)
        self._write(rows.slice(0, ROW_GROUP))
        rest = rows.slice(ROW_GROUP)
        self._pending, self._count = [rest], len(rest)

    def close(self) -> None:
        if self._count:
            self._flush()
        self._writer.add_key_value_metadata({VERSION: self._version})
        self._writer.close()

    def abandon(self) -> None:
        """Give up a table that was not closed: its end is not written to the sink, which may be gone."""
        self._writer.is_open = False


def _writer(sink: IO[bytes], schema: pa.Schema) -> pq.ParquetWriter:
    return pq.ParquetWriter(
        sink,
        schema,
        compression="zstd",
        use_dictionary=REPETITIVE,
        use_content_defined_chunking=True,
        write_statistics=False,
        store_schema=False,
    )


def read_rows(source: Any) -> Iterator[pa.Table]:
    """The rows of an inventory, in order, some ten thousand at a time. Raises DamageError; RepositoryError for one of
    a form that only a newer release knows."""
    try:
        file = open_parquet(source, MAX_NUMBER)
        schema = _schema_of(file)
        require_columns(file, {field.name: field.type for field in schema})
        for batch in batches(file, schema.names, BATCH):
            _require_possible(batch)
            yield pa.Table.from_batches([batch.select(schema.names)])
    except DamageError as error:
        raise DamageError(f"An inventory cannot be decoded. {error.message}", hint=error.advice) from error


def _require_possible(rows: pa.RecordBatch) -> None:
    """Raises DamageError for values that no writer writes."""
    for name in rows.schema.names:
        if name not in OPTIONAL and rows.column(name).null_count:
            raise DamageError(f"A value is missing in its column {name}.")
    for name, kinds in WORDS.items():
        if not set(rows.column(name).to_pylist()) <= kinds:
            raise DamageError(f"Its column {name} has unknown values.")
    lengths = np.diff(np.frombuffer(rows.column("blobs").buffers()[1] or b"", "<i4"))
    if (lengths % 32).any() or max(rows.column("depth").to_pylist(), default=0) > MAX_DEPTH:
        raise DamageError("A list of blob ids in it is not valid.")


def _schema_of(file: BoundedFile) -> pa.Schema:
    version = (file.metadata(VERSION.encode()) or b"1").decode("ascii", "replace")
    if version not in VERSIONS:
        raise RepositoryError(
            f"An inventory has the version {version[:20]!r}, which this release does not support.",
            hint="Use the release that wrote the recovery point, or a newer one.",
        )
    return VERSIONS[version]
