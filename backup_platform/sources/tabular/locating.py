"""Which rows differ, if digests show that some do: keys and columns of the first few, in bounded memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt

from backup_platform.sources.tabular.digest import BUCKETS, Digest, Hashes, bucket_of, row_hashes

if TYPE_CHECKING:
    import pyarrow as pa

Rows: TypeAlias = "Callable[[], Iterable[pa.RecordBatch]]"

MAX_ROWS = 3
MAX_HASHES = 1 << 20  # row hashes of each side that are held at a time, 8 MiB
_SHOWN = 60


def locate(
    label: str, key: Sequence[str], stored: Rows, restored: Rows, before: Digest, after: Digest, seed: int
) -> Iterator[str]:
    """What differs between two sets of rows whose digests differ. Both are read twice."""
    buckets = _suspects(before, after)
    old, new = _hashes(stored(), buckets, seed), _hashes(restored(), buckets, seed)
    missing, extra = _only_in(old, new), _only_in(new, old)
    lost = list(islice(_rows(stored(), missing, seed), MAX_ROWS))
    found = list(islice(_rows(restored(), extra, seed), MAX_ROWS))
    yield from _described(label, key, lost, found)


def _suspects(before: Digest, after: Digest) -> npt.NDArray[np.bool_]:
    """Buckets that differ, as few as may hold a million rows."""
    chosen = np.flatnonzero(before.buckets != after.buckets)
    rows = max(before.rows, after.rows, 1)
    chosen = chosen[: max(1, MAX_HASHES * BUCKETS // rows)]
    mask = np.zeros(BUCKETS, np.bool_)
    mask[chosen] = True
    return mask


def _hashes(batches: Iterable[pa.RecordBatch], buckets: npt.NDArray[np.bool_], seed: int) -> Hashes:
    parts = [np.zeros(0, np.uint64)]
    for batch in batches:
        hashes, _ = row_hashes(batch, seed)
        parts.append(hashes[buckets[bucket_of(hashes)]])
    return np.concatenate(parts)


def _only_in(these: Hashes, others: Hashes) -> dict[int, int]:
    """The first few hashes that are there more often than in the others, and how much more often."""
    values, counts = np.unique(these, return_counts=True)
    other_values, other_counts = np.unique(others, return_counts=True)
    also = np.zeros(len(values), np.int64)
    if len(other_values):
        at = np.minimum(np.searchsorted(other_values, values), len(other_values) - 1)
        also = np.where(other_values[at] == values, other_counts[at], 0)
    chosen = np.flatnonzero(counts > also)[:MAX_ROWS]
    return {int(values[i]): int(counts[i] - also[i]) for i in chosen}


def _rows(batches: Iterable[pa.RecordBatch], wanted: dict[int, int], seed: int) -> Iterator[dict[str, Any]]:
    """As many rows of each hash as are wanted."""
    left = dict(wanted)
    for batch in batches:
        if not left:
            return
        hashes, _ = row_hashes(batch, seed)
        for index in np.flatnonzero(np.isin(hashes, np.array(list(left), np.uint64))):
            value = int(hashes[index])
            if left.get(value, 0):
                left[value] -= 1
                yield {name: batch.column(name)[int(index)] for name in batch.schema.names}
        left = {value: count for value, count in left.items() if count}


def _described(
    label: str, key: Sequence[str], lost: Sequence[dict[str, Any]], found: Sequence[dict[str, Any]]
) -> Iterator[str]:
    others = {_key(key, row): row for row in found} if key else {}
    for row in lost:
        other = others.pop(_key(key, row), None)
        if other is None:
            yield f"table {label}: the stored row {_name(key, row)} is not in the restored table."
        else:
            columns = ", ".join(name for name in row if not row[name].equals(other[name]))
            where = columns or "a float's sign of zero or bits of NaN"  # which are equal to Arrow
            yield f"table {label}: the row {_name(key, row)} differs in {where}."
    for row in others.values() if key else found:
        yield f"table {label}: the restored row {_name(key, row)} is not in the stored table."


def _key(key: Sequence[str], row: dict[str, Any]) -> tuple[str, ...]:
    return tuple(_text(row.get(name)) for name in key)


def _name(key: Sequence[str], row: dict[str, Any]) -> str:
    """Its key; without one, the beginning of the row."""
    text = ", ".join(f"{name} = {_text(row.get(name))[:_SHOWN]}" for name in key or row)
    return f"({text[: 3 * _SHOWN]})"


def _text(value: Any) -> str:
    """Of an Arrow scalar; bytes and what Python cannot hold as Arrow shows them."""
    return "null" if value is None or not value.is_valid else str(value)
