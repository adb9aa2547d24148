"""Which stored blobs recovery points need, and which packs therefore have to stay (FORMAT.md §10).

Costs about 60 bytes for each blob, besides the index itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from backup_platform.domain.ports import Buffer
from backup_platform.repository.index import ABSENT, BlobIndex

if TYPE_CHECKING:
    from numpy.typing import NDArray

SLICE = 1 << 18
Standing = tuple[bool, ...]  # of a pack: smaller is better to keep


@dataclass(frozen=True, slots=True)
class Kept:
    """By number of the pack: is it needed, and the stored bytes of its blobs that are not taken from it.

    `stand_ins` are pairs of packs (not taken, taken): the first holds a needed blob, too, that is taken from the
    second. `taken` says of each row of the index whether its blob is taken from there.
    """

    needed: NDArray[Any]
    unused: NDArray[Any]
    stand_ins: NDArray[Any]
    taken: NDArray[Any]


class Usage:
    """Of the blobs of one kind of pack."""

    def __init__(self, index: BlobIndex) -> None:
        self._index = index
        self._first = np.zeros(len(index), bool)  # by the row that the index finds first

    def need(self, ids: Buffer) -> int:
        """Note that some blobs (joined ids) are needed; how many of them are nowhere."""
        rows = self._index.find_all(ids)
        found = rows[rows != ABSENT]
        self._first[found] = True
        return len(rows) - len(found)

    def settle(self, standing: Callable[[int], Standing], weak: Callable[[int], bool]) -> Kept:
        """Take each needed blob from the best of the packs that hold it; from all if the best is `weak`."""
        index, count = self._index, len(self._index.packs)
        packs = index.rows["pack"]
        rows, groups = self._needed_rows()
        total = _by_pack(index, np.arange(len(packs)), count)
        share = _by_pack(index, rows, count) / np.maximum(total, 1)
        order = sorted(range(count), key=lambda n: (standing(n), -share[n], index.packs[n]))
        rank = np.empty(count, "<u4")
        rank[order] = np.arange(count, dtype="<u4")
        best = np.lexsort((rank[packs[rows]], groups))
        rows, groups = rows[best], groups[best]
        leads = np.diff(groups, prepend=-1) != 0
        leader = packs[rows[leads]][np.cumsum(leads) - 1]  # by row: the pack that its blob is taken from
        held = np.array([weak(n) for n in range(count)], bool)
        needed = np.zeros(count, bool)
        needed[leader] = True
        needed[packs[rows[held[leader]]]] = True
        taken = np.zeros(len(packs), bool)
        taken[rows[leads]] = True
        pairs = np.stack([packs[rows[~leads]], leader[~leads]], axis=1)
        pairs = np.unique(pairs[pairs[:, 0] != pairs[:, 1]], axis=0)
        return Kept(needed, total - _by_pack(index, rows[leads], count), pairs, taken)

    def _needed_rows(self) -> tuple[NDArray[Any], NDArray[Any]]:
        """Rows of needed blobs, and of each the row that the index finds first."""
        blobs, rows, groups = self._index.rows["blob"], [np.zeros(0, "<i8")], [np.zeros(0, "<i8")]
        for start in range(0, len(blobs), SLICE):
            first = self._index.find_all(np.ascontiguousarray(blobs[start : start + SLICE]).tobytes())
            wanted = np.flatnonzero(self._first[first])
            rows.append(wanted + start)
            groups.append(first[wanted])
        return np.concatenate(rows), np.concatenate(groups)


def _by_pack(index: BlobIndex, rows: NDArray[Any], count: int) -> NDArray[Any]:
    """Stored bytes of some rows by pack; of a shared frame each blob has its share."""
    total = np.zeros(count)
    for start in range(0, len(rows), SLICE):
        some = index.rows[rows[start : start + SLICE]]
        sizes = some["frame_stored"] * (some["length"] / np.maximum(some["frame_plain"], 1))
        total += np.bincount(some["pack"], weights=sizes, minlength=count)
    return total


def blobs_of(index: BlobIndex, pack: int, taken: NDArray[Any]) -> Iterator[bytes]:
    """Ids of the blobs that are taken from one pack, in its order."""
    rows = np.flatnonzero(index.rows["pack"] == pack)
    for row in rows[taken[rows]].tolist():
        yield index.rows["blob"][row].tobytes()
