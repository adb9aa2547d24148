"""Stored rows as the bytes that COPY … FROM STDIN (FORMAT csv) takes, made by Arrow and never value by value.

A null is an empty field, an empty text a quoted one. Every text is quoted, so that no value is taken for a null, a
delimiter or the end-of-data marker `\\.`.
"""

from __future__ import annotations

from binascii import hexlify
from collections.abc import Collection
from typing import TYPE_CHECKING

from backup_platform.errors import DamageError

if TYPE_CHECKING:
    from pyarrow import Array, Buffer, RecordBatch

_UUID_BYTES = 16
_FIRST_DAY = -719_162  # 0001-01-01 in days since 1970-01-01
_LAST_DAY = 11_248_737  # 32767-12-31: Arrow writes no later year
_DAY_US = 86_400_000_000


def copy_bytes(batch: RecordBatch, texts: Collection[str] = ()) -> Buffer:
    """The rows of a batch with at least one column. `texts` are columns whose bytes are the text itself. Raises
    DamageError for a value that no capture stores."""
    import pyarrow as pa
    from pyarrow import csv

    named = zip(batch.schema.names, batch.columns, strict=True)
    columns = [_as_text(column) if name in texts else _writable(name, column) for name, column in named]
    names = [str(number) for number in range(len(columns))]
    sink = pa.BufferOutputStream()
    options = csv.WriteOptions(include_header=False, batch_size=max(1, batch.num_rows))
    csv.write_csv(pa.RecordBatch.from_arrays(columns, names), sink, options)
    return sink.getvalue()


def _writable(name: str, column: Array) -> Array:
    """The same values in a type that Arrow writes as PostgreSQL reads it."""
    import pyarrow as pa

    if isinstance(column.type, pa.BaseExtensionType):
        column = column.storage
    kind = column.type
    if pa.types.is_fixed_size_binary(kind):
        return _fixed_hex(column)
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        return _hex(column)
    if pa.types.is_date32(kind):
        _check_days(name, column, 1)
    if pa.types.is_timestamp(kind):
        # Writing a zone costs Arrow three microseconds a value; the sessions that read this are in UTC.
        column = column.cast(pa.timestamp("us", kind.tz)).view(pa.timestamp("us"))
        _check_days(name, column, _DAY_US)
    return column


def _as_text(column: Array) -> Array:
    """The same bytes as a text, which Arrow does not look at when it writes it."""
    import pyarrow as pa

    wide = column.cast(pa.large_binary())
    return pa.Array.from_buffers(pa.large_string(), len(wide), wide.buffers(), offset=wide.offset)


def _hex(column: Array) -> Array:
    """`\\x` and the hexadecimal digits of every value, as bytea's output writes it."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    wide = column.cast(pa.large_binary())
    _, offsets, data = wide.buffers()
    bounds = np.frombuffer(offsets, np.int64, len(wide) + 1, wide.offset * 8)
    digits = hexlify(memoryview(data)[bounds[0] : bounds[-1]]) if data else b""
    starts = (bounds - bounds[0]) * 2
    buffers = [_aligned(wide), pa.py_buffer(starts), pa.py_buffer(digits)]
    text = pa.Array.from_buffers(pa.large_string(), len(wide), buffers)
    return pc.binary_join_element_wise(
        pa.scalar("\\x", pa.large_string()), text, pa.scalar("", pa.large_string())
    )


def _fixed_hex(column: Array) -> Array:
    """The hexadecimal digits of every value, which uuid reads without hyphens."""
    import numpy as np
    import pyarrow as pa

    width = column.type.byte_width
    if width != _UUID_BYTES:
        raise DamageError(
            f"A column with {width} bytes for each value does not have a type that a capture stores."
        )
    data = column.buffers()[1]
    first = column.offset * width
    digits = hexlify(memoryview(data)[first : first + len(column) * width])
    starts = np.arange(len(column) + 1, dtype=np.int64) * (2 * width)
    buffers = [_aligned(column), pa.py_buffer(starts), pa.py_buffer(digits)]
    return pa.Array.from_buffers(pa.large_string(), len(column), buffers)


def _aligned(column: Array) -> Buffer | None:
    """The validity bits of an array that may be a slice, from bit 0 on."""
    if not column.null_count:
        return None
    import numpy as np
    import pyarrow as pa

    valid = column.is_valid().to_numpy(zero_copy_only=False)
    return pa.py_buffer(np.packbits(valid, bitorder="little"))


def _check_days(name: str, column: Array, unit: int) -> None:
    """Arrow writes years before 1 and after 32767 in a way that PostgreSQL does not read: captures store text."""
    import pyarrow as pa
    import pyarrow.compute as pc

    plain = column.cast(pa.int32() if unit == 1 else pa.int64())
    bounds = pc.min_max(plain)
    low, high = bounds["min"].as_py(), bounds["max"].as_py()
    if low is not None and (low < _FIRST_DAY * unit or high >= (_LAST_DAY + 1) * unit):
        raise DamageError(
            f"Column {name!r} holds a date or time outside of what is stored natively.", subject=name
        )
