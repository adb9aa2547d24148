"""Indexes as Parquet objects (FORMAT.md §5)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from backup_platform.domain.limits import MAX_INDEX_ROWS, MAX_ROW_GROUP
from backup_platform.domain.ports import Buffer
from backup_platform.errors import DamageError
from backup_platform.repository.objects.names import PackKey
from backup_platform.repository.packs.index import NUMBERS, ROW, IndexedPack

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray


def portions(packs: Sequence[IndexedPack], rows: int) -> Iterator[list[IndexedPack]]:
    """The packs in lists that have about so many rows each."""
    some: list[IndexedPack] = []
    for pack in packs:
        some.append(pack)
        if sum(len(each.rows) for each in some) >= rows:
            yield some
            some = []
    if some:
        yield some


def encode_index(packs: Sequence[IndexedPack]) -> bytes:
    """The Parquet object of some packs' rows."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = np.concatenate([p.rows for p in packs], dtype=ROW)
    counts = [len(p.rows) for p in packs]
    meta = np.repeat(np.array([p.key.meta for p in packs]), counts)
    hashes = b"".join(p.key.id.hash for p in packs)
    pack_ids = np.repeat(np.frombuffer(hashes, "<u8").reshape(-1, 4), counts, axis=0)
    columns = {
        "blob": _array(pa.binary(32), len(rows), np.ascontiguousarray(rows["blob"])),
        "pack": _array(pa.binary(32), len(rows), pack_ids),
        "meta": _array(pa.bool_(), len(rows), np.packbits(meta, bitorder="little")),
    } | {name: _array(pa.uint32(), len(rows), np.ascontiguousarray(rows[name])) for name in NUMBERS}
    sink = pa.BufferOutputStream()
    pq.write_table(
        pa.Table.from_arrays(list(columns.values()), names=list(columns)),
        sink,
        compression="zstd",
        use_dictionary=["pack", "frame", "frame_stored", "frame_plain"],
        write_statistics=False,
        row_group_size=1 << 20,
    )
    return bytes(sink.getvalue().to_pybytes())


def _array(kind: pa.DataType, length: int, values: NDArray[Any]) -> pa.Array:
    import pyarrow as pa

    # Conversion from Python objects would import pandas, three seconds where it is installed.
    return pa.Array.from_buffers(kind, length, [None, pa.py_buffer(values.tobytes())])


def decode_index(data: Buffer) -> Iterator[IndexedPack]:
    """The packs of an index object. Raises DamageError."""
    import io

    import pyarrow as pa

    from backup_platform.repository.packs.bounded_parquet import batches, open_parquet, require_columns

    identity, number = pa.binary(32), pa.uint32()
    types = {"blob": identity, "pack": identity, "meta": pa.bool_()} | dict.fromkeys(NUMBERS, number)
    try:
        file = open_parquet(io.BytesIO(data), MAX_INDEX_ROWS)
        require_columns(file, types)
        found = list(batches(file, list(types), MAX_ROW_GROUP))
    except DamageError as error:
        raise DamageError(f"An index cannot be decoded. {error.message}") from error
    if any(column.null_count for batch in found for column in batch.columns):
        raise DamageError("An index cannot be decoded: a value is missing.")
    yield from _packs(
        pa.Table.from_batches(found)
        if found
        else pa.table({name: pa.array([], types[name]) for name in types})
    )


def _packs(table: pa.Table) -> Iterator[IndexedPack]:
    rows = np.zeros(len(table), ROW)
    rows["blob"] = _values(table.column("blob"), "<u8", 4).reshape(-1, 4)
    for name in NUMBERS:
        rows[name] = _values(table.column(name), "<u4")
    packs = _values(table.column("pack"), "<u8", 4).reshape(-1, 4)
    meta = _bits(table.column("meta"))
    first_of_pack = np.concatenate(([True], (packs[1:] != packs[:-1]).any(axis=1)))[: len(rows)]
    starts: list[int] = np.flatnonzero(first_of_pack).tolist()
    for start, end in zip(starts, [*starts[1:], len(rows)], strict=False):
        key = PackKey.of(packs[start].tobytes(), meta=bool(meta[start]))
        yield IndexedPack(key, rows[start:end])


def _values(column: pa.ChunkedArray, dtype: str, per_row: int = 1) -> NDArray[Any]:
    # Chunk.to_numpy would import pandas.
    parts = [
        np.frombuffer(chunk.buffers()[1], dtype)[
            chunk.offset * per_row : (chunk.offset + len(chunk)) * per_row
        ]
        for chunk in column.chunks
    ]
    return np.concatenate(parts) if parts else np.zeros(0, dtype)


def _bits(column: pa.ChunkedArray) -> NDArray[Any]:
    parts = [
        np.unpackbits(np.frombuffer(chunk.buffers()[1], "u1"), bitorder="little")[chunk.offset :][
            : len(chunk)
        ]
        for chunk in column.chunks
    ]
    return np.concatenate(parts) if parts else np.zeros(0, "u1")
