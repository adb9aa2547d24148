"""The previous recovery point's inventory, matched with a walk in the same order.

Both are sorted the same way, so one pass over the old inventory suffices and only a part of it is in memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from backup_platform.domain.model import Entry, EntryKind, Stat
from backup_platform.errors import DamageError
from backup_platform.repository.points.inventory import SCHEMA
from backup_platform.repository.points.times import TIMES, column, comparable, joined

# A file changed within a clock tick of its capture can change again with the same time stamps.
SETTLED_NS = 1_000_000_000
DAY_NS = 86_400 * SETTLED_NS
MOST_RUNS = 256
COMPARED = ("size", "inode")
PresentBlobs = Callable[[Sequence[bytes], Sequence[int]], Sequence[bool]]


class PreviousInventory:
    """Answers, batch by batch in walk order, which paths are unchanged.

    `present` says for rows, by their blobs and depth, whether every blob of their content is still stored.
    """

    def __init__(self, rows: Iterator[pa.Table], captured_ns: int, present: PresentBlobs) -> None:
        self._rows, self._present = rows, present
        self._settled, self._ahead = captured_ns - SETTLED_NS, captured_ns + DAY_NS
        self._window = pa.Table.from_batches([], schema=SCHEMA)
        self._ended = False
        self._matched: dict[bytes, int] = {}

    def match(self, stats: Sequence[Stat]) -> list[bool]:
        """Which of these paths are as they were. The paths must come after those of the call before."""
        self._matched = {}
        if not stats:
            return []
        self._advance(_order(stats[0].path), _order(stats[-1].path))
        found = self._unchanged(stats)
        self._matched = {stats[i].path: row for i, row in found}
        hits = {i for i, _ in found}
        return [i in hits for i in range(len(stats))]

    def _advance(self, first: bytes, last: bytes) -> None:
        """Make the window hold every old row between two places of the walk."""
        keep = [self._window] if len(self._window) and _last(self._window) >= first else []
        while not self._ended and not (keep and _last(keep[-1]) >= last):
            rows = self._next()
            if rows is None:
                self._ended = True
            elif len(rows) and _last(rows) >= first:
                keep.append(rows)
        self._window = joined(keep).combine_chunks() if keep else pa.Table.from_batches([], schema=SCHEMA)

    def _next(self) -> pa.Table | None:
        try:
            return next(self._rows, None)
        except DamageError:
            # Nothing of a damaged inventory is reused: everything is read again, and thereby mended.
            return None

    def _unchanged(self, stats: Sequence[Stat]) -> list[tuple[int, int]]:
        """Pairs of (position in stats, row of the window)."""
        row_of = {path: row for row, path in enumerate(self._window.column("path").to_pylist())}
        pairs = [(i, row_of[stat.path]) for i, stat in enumerate(stats) if stat.path in row_of]
        if not pairs:
            return []
        where = np.array(pairs)
        same = self._same(stats, where[:, 0], where[:, 1])
        return self._stored([pair for pair, equal in zip(pairs, same.tolist(), strict=True) if equal])

    def _same(self, stats: Sequence[Stat], positions: Any, rows: Any) -> Any:
        same = self._texts_equal("status", "ok")[rows]
        for name in COMPARED:
            numbers = np.fromiter((getattr(stat, name) for stat in stats), "<u8", len(stats))
            same &= column(self._window, name, "<u8")[rows] == numbers[positions]
        for name in TIMES:
            old, times = comparable(self._window, name, [getattr(stat, f"{name}_ns") for stat in stats])
            new = times[positions]
            same &= (old[rows] == new) & self._is_settled(name, new)
        kinds, links = (self._window.column(name).to_pylist() for name in ("kind", "hardlink"))
        for i in np.flatnonzero(same).tolist():
            # The row of a hard link has no content of its own, and the path that has it may be gone from the walk.
            stat = stats[positions[i]]
            # Some file systems say 0 of files that have content (procfs, FUSE): only reading tells.
            told = stat.size > 0 or stat.kind is not EntryKind.FILE
            same[i] = told and kinds[rows[i]] == stat.kind and links[rows[i]] is None
        return same

    def _is_settled(self, name: str, times: Any) -> Any:
        """A file that is dated ahead gets another date by the next write, unless the clock that dates it is ahead."""
        settled = times < self._settled
        return settled | (times > self._ahead) if name == "mtime" else settled

    def _texts_equal(self, name: str, value: str) -> Any:
        return np.array([text == value for text in self._window.column(name).to_pylist()], bool)

    def _stored(self, pairs: list[tuple[int, int]]) -> list[tuple[int, int]]:
        blobs, depths = self._window.column("blobs").to_pylist(), self._window.column("depth").to_pylist()
        present = self._present([blobs[row] for _, row in pairs], [depths[row] for _, row in pairs])
        return [pair for pair, stored in zip(pairs, present, strict=True) if stored]

    def interleave(self, batch: Sequence[Entry | Stat], new: pa.Table) -> pa.Table:
        """The rows of a batch in order: old rows where it has a bare Stat, and else the next of `new`."""
        rows, position = [], len(self._window)
        for item in batch:
            if isinstance(item, Entry):
                rows.append(position)
                position += 1
            else:
                if item.path not in self._matched:
                    raise ValueError(f"reuse did not allow a bare Stat for {item.path!r}")
                rows.append(self._matched[item.path])
        return _pick(joined([self._window, new]).combine_chunks(), np.array(rows, "<i8"))


def _pick(table: pa.Table, rows: Any) -> pa.Table:
    """Rows by number. A few runs are sliced: that copies nothing, and does not import pyarrow.compute."""
    starts = np.flatnonzero(np.diff(rows, prepend=rows[0] - 2) != 1)
    if len(starts) > MOST_RUNS:
        return table.take(pa.Array.from_buffers(pa.int64(), len(rows), [None, pa.py_buffer(rows.tobytes())]))
    ends = [*starts[1:].tolist(), len(rows)]
    runs = zip(starts.tolist(), ends, strict=True)
    return pa.concat_tables([table.slice(int(rows[start]), end - start) for start, end in runs])


def _order(path: bytes) -> bytes:
    return b"" if path == b"." else path.replace(b"/", b"\0")


def _last(rows: pa.Table) -> bytes:
    return _order(rows.column("path")[len(rows) - 1].as_py())
