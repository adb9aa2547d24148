"""Which stored blobs recovery points need, and which packs therefore have to stay (FORMAT.md §10).

Costs about 60 bytes for each blob, besides the index itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from backup_platform.domain.ports import Buffer
from backup_platform.repository.packs.index import ABSENT, BlobIndex

if TYPE_CHECKING:
    from numpy.typing import NDArray

SLICE = 1 << 18
Standing = tuple[Any, ...]  # of a pack: smaller is better to keep


@dataclass(frozen=True, slots=True)
class Kept:
    """By number of the pack: is it needed, and the stored bytes of its blobs that are not taken from it.

    `stand_ins` are pairs of packs (not taken, taken): the first holds a needed blob, too, that is taken from the
    second. `taken` says of each row of the index whether its blob is taken from there. `doubted` packs hold a blob, by
    what is said of them, that another closed one holds, too: all of these are taken.
    """

    needed: NDArray[Any]
    unused: NDArray[Any]
    stand_ins: NDArray[Any]
    taken: NDArray[Any]
    doubted: NDArray[Any]


class Usage:
    """Which blobs of one kind of pack are needed."""

    def __init__(self, index: BlobIndex) -> None:
        self._index = index
        self._first = np.zeros(len(index), bool)  # by the row that the index finds first

    def need(self, ids: Buffer) -> int:
        """Note that some blobs (joined ids) are needed; how many of them are nowhere."""
        rows = self._index.find_all(ids)
        found = rows[rows != ABSENT]
        self._first[found] = True
        return len(rows) - len(found)

    def settle(
        self,
        standing: Callable[[int, float], Standing],
        weak: Callable[[int], bool],
        closed: Callable[[int], bool] = lambda number: False,
    ) -> Kept:
        """Take each needed blob from the best pack that holds it. If the best pack is `weak`, all of them stay. If it
        is `closed`, the blob is taken from all of them, because nobody can check whether that pack really holds it.
        `standing` is called with the needed share of a pack's bytes."""
        index, count = self._index, len(self._index.packs)
        packs = index.rows["pack"]
        rows, groups = self._needed_rows()
        total = _by_pack(index, np.arange(len(packs)), count)
        share = _by_pack(index, rows, count) / np.maximum(total, 1)
        order = sorted(range(count), key=lambda n: standing(n, float(share[n])))
        rank = np.empty(count, "<u4")
        rank[order] = np.arange(count, dtype="<u4")
        best = np.lexsort((rank[packs[rows]], groups))
        rows, groups = rows[best], groups[best]
        leads = np.diff(groups, prepend=-1) != 0
        leader = packs[rows[leads]][np.cumsum(leads) - 1]  # by row: the pack that its blob is taken from
        weak_ones, closed_ones = (
            np.array([is_it(n) for n in range(count)], bool) for is_it in (weak, closed)
        )
        shut = closed_ones[leader]
        needed = np.zeros(count, bool)
        needed[leader] = True
        needed[packs[rows[weak_ones[leader] | shut]]] = True
        taken = np.zeros(len(packs), bool)
        taken[rows[leads | shut]] = True
        doubted = np.zeros(count, bool)
        doubted[packs[rows[shut & (packs[rows] != leader)]]] = True
        pairs = np.stack([packs[rows[~leads & ~shut]], leader[~leads & ~shut]], axis=1)
        pairs = np.unique(pairs[pairs[:, 0] != pairs[:, 1]], axis=0)
        unused = total - _by_pack(index, rows[leads | shut], count)
        return Kept(needed, unused, pairs, taken, doubted)

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
