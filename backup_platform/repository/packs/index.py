"""Where blobs are: the index in memory (FORMAT.md §5). It takes 68 bytes for each blob, whatever the length of its
stream."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from backup_platform.advice import command
from backup_platform.domain.ports import Buffer
from backup_platform.domain.words import are, how_many
from backup_platform.errors import DamageError
from backup_platform.repository.objects.names import HASH_BYTES, PackKey
from backup_platform.repository.packs.packs import Frame, pack_length

if TYPE_CHECKING:
    from numpy.typing import NDArray

ROW = np.dtype(
    [
        ("blob", "<u8", (4,)),
        ("pack", "<u4"),
        ("frame", "<u4"),
        ("frame_stored", "<u4"),
        ("frame_plain", "<u4"),
        ("offset", "<u4"),
        ("length", "<u4"),
    ]
)
NUMBERS = ("frame", "frame_stored", "frame_plain", "offset", "length")
ABSENT = -1


@dataclass(frozen=True, slots=True)
class IndexedPack:
    """One pack and its rows; its stored size where that is known."""

    key: PackKey
    rows: NDArray[Any]
    size: int = 0


@dataclass(frozen=True, slots=True, order=True)
class Location:
    """Where one blob is."""

    pack: PackKey
    frame: int
    frame_stored: int
    frame_plain: int
    offset: int
    length: int


def index_pack(key: PackKey, frames: Sequence[Frame], size: int = 0) -> IndexedPack:
    """The rows of one pack, from its frames."""
    blobs = [blob for frame in frames for blob in frame.blobs]
    rows = np.zeros(len(blobs), ROW)
    rows["blob"] = np.frombuffer(b"".join(b[0] for b in blobs), "<u8").reshape(-1, 4)
    rows["length"] = [b[1] for b in blobs]
    counts = [len(f.blobs) for f in frames]
    for name, values in (
        ("frame", [f.offset for f in frames]),
        ("frame_stored", [f.stored for f in frames]),
        ("frame_plain", [f.plain for f in frames]),
    ):
        rows[name] = np.repeat(np.array(values, "<u4"), counts)
    ends = np.cumsum(rows["length"], dtype="<u8")
    starts = np.concatenate(([0], np.cumsum([f.plain for f in frames], dtype="<u8")[:-1]))
    rows["offset"] = ends - rows["length"] - np.repeat(starts.astype("<u8"), counts)
    return IndexedPack(key, rows, size)


def pack_lengths(packs: Sequence[IndexedPack]) -> NDArray[Any]:
    """The length of each pack's plain form, computed from its rows."""
    if not packs:
        return np.zeros(0, "<i8")
    blobs = np.array([len(pack.rows) for pack in packs], "<i8")
    numbers = np.repeat(np.arange(len(packs), dtype="<u4"), blobs)
    offsets = np.concatenate([pack.rows["frame"] for pack in packs])
    begins = (np.diff(numbers, prepend=len(packs)) != 0) | (np.diff(offsets, prepend=0) != 0)
    frames = np.bincount(numbers[begins], minlength=len(packs))
    stored = np.array([pack.rows["frame_stored"][-1] for pack in packs], "<i8")
    ends = offsets[np.cumsum(blobs) - 1] + stored
    return np.asarray(pack_length(ends, frames, blobs))


class BlobIndex:
    """Blobs of one kind of pack: which are stored, and where."""

    def __init__(self) -> None:
        self.packs: list[PackKey] = []
        self._numbers: dict[PackKey, int] = {}
        self._rows: NDArray[Any] = np.zeros(0, ROW)
        self._sort()

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def rows(self) -> NDArray[Any]:
        """All rows (`ROW`), by number; `pack` is a place in `packs`. Not to be changed."""
        return self._rows

    def add(self, packs: Iterable[IndexedPack]) -> None:
        found, known = list(packs), len(self._rows)
        numbers = np.arange(len(self.packs), len(self.packs) + len(found), dtype="<u4")
        self.packs += [pack.key for pack in found]
        # With its type said, numpy does not work out a common one pack by pack.
        self._rows = np.concatenate([self._rows, *(pack.rows for pack in found)], dtype=ROW)
        self._rows["pack"][known:] = np.repeat(numbers, [len(pack.rows) for pack in found])
        self._sort()

    def _sort(self) -> None:
        prefixes = self._rows["blob"][:, 0]
        self._order = np.argsort(prefixes, kind="stable").astype("<u4")
        self._prefixes = prefixes[self._order]
        # bisect on a memoryview is several times faster than numpy for a single look-up
        self._keys = memoryview(self._prefixes.tobytes()).cast("Q")
        lengths = self._rows["length"][self._order]
        unequal = (self._prefixes[1:] == self._prefixes[:-1]) & (lengths[1:] != lengths[:-1])
        self._unequal: set[int] = set(self._prefixes[1:][unequal].tolist())
        column = np.ascontiguousarray(self._rows["pack"])
        self._starts = np.searchsorted(column, np.arange(len(self.packs) + 1, dtype="<u4"))

    def rows_of(self, number: int) -> slice:
        """Which rows are those of a pack: they stand together, in the order of the packs' numbers."""
        return slice(int(self._starts[number]), int(self._starts[number + 1]))

    def find(self, blob: bytes) -> int:
        """The row of a blob, the first that was added, or ABSENT."""
        return next(self.rows_holding(blob), ABSENT)

    def rows_holding(self, blob: bytes) -> Iterator[int]:
        """Every row of a blob, in the order in which the rows were added."""
        keys, prefix = self._keys, int.from_bytes(blob[:8], "little")
        position = bisect_left(keys, prefix)
        while position < len(keys) and keys[position] == prefix:
            row = int(self._order[position])
            if self._rows["blob"][row].tobytes() == blob:
                yield row
            position += 1

    def disagrees(self, blob: bytes) -> bool:
        """Whether its rows may have different lengths for one blob: then some of them are wrong."""
        return bool(self._unequal) and int.from_bytes(blob[:8], "little") in self._unequal

    def find_all(self, blobs: Buffer) -> NDArray[Any]:
        """Row numbers of joined ids (int64). ABSENT if there is none."""
        wanted = np.frombuffer(blobs, "<u8").reshape(-1, 4)
        if not len(self._rows):
            return np.full(len(wanted), ABSENT, "<i8")
        position = np.searchsorted(self._prefixes, wanted[:, 0])
        rows = self._order[np.minimum(position, len(self._rows) - 1)].astype("<i8")
        different = (self._rows["blob"][rows] != wanted).any(axis=1)
        for i in np.flatnonzero(different).tolist():
            rows[i] = self.find(wanted[i].tobytes())
        return rows

    def holders(self, blobs: Buffer) -> set[int]:
        """Numbers of all packs that are said to hold some of these blobs (joined ids)."""
        wanted = np.frombuffer(blobs, "<u8").reshape(-1, 4)
        first, end = (np.searchsorted(self._prefixes, wanted[:, 0], side=side) for side in ("left", "right"))
        several = np.flatnonzero(end - first > 1).tolist()
        rows = self.find_all(blobs)
        more = [row for i in several for row in self.rows_holding(wanted[i].tobytes())]
        return self.pack_numbers(np.concatenate([rows[rows != ABSENT], np.array(more, "<i8")]))

    def stored_size(self, blobs: Buffer) -> int:
        """Compressed bytes of joined ids, of each its share of its frame; 0 for those that are not indexed."""
        found = self.find_all(blobs)
        records = self._rows[found[found != ABSENT]]
        shares = records["length"] / np.maximum(records["frame_plain"], 1)
        return round(float((records["frame_stored"] * shares).sum()))

    def pack_numbers(self, rows: NDArray[Any]) -> set[int]:
        return set(np.unique(self._rows["pack"][rows]).tolist())

    def number_of(self, pack: PackKey) -> int | None:
        if len(self._numbers) != len(self.packs):
            self._numbers = {each: number for number, each in enumerate(self.packs)}
        return self._numbers.get(pack)

    def of_packs(self, numbers: Iterable[int]) -> list[IndexedPack]:
        """The packs of some numbers."""
        return [IndexedPack(self.packs[number], self._rows[self.rows_of(number)]) for number in numbers]

    def keys_of(self, numbers: Iterable[int]) -> Iterator[PackKey]:
        return (self.packs[number] for number in numbers)

    def pack_number(self, row: int) -> int:
        return int(self._rows["pack"][row])

    def locate(self, blob: bytes) -> Location | None:
        return next(self.locations(blob), None)

    def locations(self, blob: bytes) -> Iterator[Location]:
        """Every place of a blob according to the indexes, in the order in which they were added."""
        for row in self.rows_holding(blob):
            record = self._rows[row]
            yield Location(self.packs[record["pack"]], *(int(record[name]) for name in NUMBERS))

    def locate_all(self, blobs: Buffer) -> list[Location]:
        """Locations of joined ids. Raises DamageError when one is not indexed."""
        rows = self.find_all(blobs)
        missing = np.flatnonzero(rows == ABSENT)
        if len(missing):
            first = bytes(blobs[missing[0] * HASH_BYTES :][:HASH_BYTES]).hex()[:12]
            raise DamageError(
                f"{how_many(len(missing), 'needed blob')} {are(len(missing))} in no stored pack, the first is {first}.",
                hint=("Run ", command("verify"), " to see which recovery points are affected."),
            )
        records = self._rows[rows]
        columns = [records[name].tolist() for name in NUMBERS]
        packs = [self.packs[number] for number in records["pack"].tolist()]
        return [Location(*fields) for fields in zip(packs, *columns, strict=True)]
