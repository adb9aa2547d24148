"""Reading a recovery point: its inventory, and its streams, also as files that can be sought in (FORMAT.md §3, §6)."""

from __future__ import annotations

import io
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from io import BufferedReader
from itertools import accumulate, chain, islice
from tempfile import SpooledTemporaryFile
from typing import TYPE_CHECKING, BinaryIO, TypeAlias

from backup_platform.domain.limits import MAX_DEPTH, MAX_STREAM_BLOBS
from backup_platform.domain.model import Content, Entry, RecoveryPoint
from backup_platform.domain.ports import Buffer
from backup_platform.errors import DamageError
from backup_platform.repository.objects.names import PackKey
from backup_platform.repository.packs.blob_reader import SLICE, BlobReader, T

if TYPE_CHECKING:
    import pyarrow as pa
    from _typeshed import WriteableBuffer

AT_ONCE = 64
SPOOLED = 32 << 20
LOCATED = 1 << 12
ENTRIES = 1 << 9  # made at once where only some are wanted
Wanted: TypeAlias = "Callable[[bytes, str, int], bool]"  # by path, kind and number of names


class SeekableStream(io.RawIOBase):
    """A stored stream as a read-only file: only the blobs that are asked for are read.

    `lengths` are the sizes of the blobs `ids`; `blobs` yields their bytes in order. Several threads may share it
    through `read_at`, which has no position, if `blobs` is thread-safe.
    """

    def __init__(
        self,
        ids: Sequence[bytes],
        lengths: Sequence[int],
        blobs: Callable[[Sequence[bytes]], Iterator[memoryview]],
    ) -> None:
        self._ids, self._blobs = ids, blobs
        self._starts = [0, *accumulate(lengths)]
        self._at = 0

    @property
    def size(self) -> int:
        return self._starts[-1]

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self.size}[whence]
        if base + offset < 0:
            raise ValueError(f"seek to {base + offset}")
        self._at = base + offset
        return self._at

    def readinto(self, buffer: WriteableBuffer) -> int:
        """Fills the buffer, unless the stream ends. Raises DamageError."""
        view = memoryview(buffer).cast("B")
        filled = 0
        for part in self._parts(self._at, len(view)):
            view[filled : filled + len(part)] = part
            filled += len(part)
        self._at += filled
        return filled

    def read_at(self, offset: int, length: int) -> bytes:
        """`length` bytes from `offset`, fewer where the stream ends. Raises DamageError."""
        return b"".join(self._parts(offset, length))

    def _parts(self, at: int, length: int) -> Iterator[memoryview]:
        """`length` bytes, or up to the end, blob by blob."""
        end = min(at + length, self.size)
        first = bisect_right(self._starts, at) - 1
        last = bisect_right(self._starts, end - 1)
        for position in range(first, last if end > at else first, AT_ONCE):
            some = self._ids[position : min(position + AT_ONCE, last)]
            for number, blob in enumerate(self._blobs(some), position):
                start = self._starts[number]
                part = blob[at - start : end - start]
                at += len(part)
                yield part


def _holding(rows: pa.Table, wanted: Wanted) -> Iterator[pa.Table]:
    """Slices that hold what is wanted. Arrow's own filters are in a module that takes a tenth of a second to import."""
    for start in range(0, len(rows), ENTRIES):
        some = rows.slice(start, ENTRIES)
        if any(map(wanted, *(some.column(name).to_pylist() for name in ("path", "kind", "nlink")))):
            yield some


class RecoveryPointReader:
    """Reads one recovery point (`ports.PointReader`)."""

    def __init__(self, point: RecoveryPoint, contents: BlobReader, meta: BlobReader) -> None:
        self.point, self._contents, self._meta = point, contents, meta

    def rows(self) -> Iterator[pa.Table]:
        """The inventory as Arrow tables, in order."""
        from backup_platform.repository.points.inventory import read_rows

        with SpooledTemporaryFile(max_size=SPOOLED) as file:
            inventory, ids = self.point.inventory, self.blob_ids(self.point.inventory.content)
            while file.tell() <= inventory.size and (part := list(islice(ids, LOCATED))):
                for blob in self._meta.blobs(part):
                    file.write(blob)
            if file.tell() != inventory.size:
                raise DamageError(
                    f"The inventory of {self.point.id[:12]} does not have the size that its manifest says."
                )
            yield from read_rows(file)

    def entries(self, wanted: Wanted | None = None) -> Iterator[Entry]:
        """The inventory's entries, in order; at least those that are `wanted`, where making all would take long."""
        from backup_platform.repository.points.inventory import entries_of

        for rows in self.rows():
            for some in [rows] if wanted is None else _holding(rows, wanted):
                yield from entries_of(some)

    def blob_ids(self, content: Content) -> Iterator[bytes]:
        """Raises DamageError for more than a stream can have: a few lists that name each other would never end."""
        if content.depth > MAX_DEPTH:
            raise DamageError(
                f"The blob lists of a stream are nested {content.depth:,} deep, which is more than the limit."
            )
        for count, identity in enumerate(self._ids(content), 1):
            if count > MAX_STREAM_BLOBS:
                raise DamageError(f"A stream has more than {MAX_STREAM_BLOBS:,} blobs.")
            yield identity

    def _ids(self, content: Content) -> Iterator[bytes]:
        if content.depth == 0:
            yield from content.ids()
            return
        for identity in self._ids(Content(content.blobs, content.depth - 1)):
            listed = bytes(next(self._meta.blobs([identity])))
            if len(listed) % 32 or not listed:
                raise DamageError(f"The blob {identity.hex()[:12]} is not a list of blobs.")
            yield from Content(listed).ids()

    def open(self, content: Content) -> BinaryIO:
        return BufferedReader(self.stream(content))

    def stream(self, content: Content) -> SeekableStream:
        """A stream as a file without a buffer, whose `read_at` is thread-safe."""
        ids = list(self.blob_ids(content))
        return SeekableStream(ids, self._contents.lengths(ids), self._contents.blobs)

    def lengths(self, ids: Buffer) -> list[int]:
        """Sizes of content blobs (joined ids) in bytes. Raises DamageError."""
        return self._contents.lengths(list(Content(bytes(ids)).ids()))

    @property
    def failed(self) -> dict[PackKey, str]:
        """Packs that did not give what they are said to hold, and why; other packs had it."""
        return {**self._meta.failed, **self._contents.failed}

    def size(self, content: Content) -> int:
        """The bytes of a stream."""
        return sum(self._contents.lengths(list(self.blob_ids(content))))

    def stored_size(self, content: Content) -> int:
        """What the blobs of a stream take in the store, in bytes; those that others share count in full."""
        return self._contents.stored_size(b"".join(self.blob_ids(content)))

    def read(self, content: Content) -> Iterator[Buffer]:
        ids = self.blob_ids(content)
        while part := list(islice(ids, LOCATED)):
            yield from self._contents.blobs(part)

    def scatter(self, requests: Sequence[tuple[bytes, T]], deliver: Callable[[T, memoryview], None]) -> None:
        self._contents.scatter(requests, deliver)

    def needed(self) -> Iterator[tuple[bool, bytes]]:
        """Joined ids of the blobs that this point needs, in batches, and whether they are metadata. Those of lists come
        before those that the lists name. The inventory is read once."""
        inventory = self.point.inventory.content
        for ids in chain(self._lists(inventory), _joined(self.blob_ids(inventory))):
            yield True, ids
        for contents in self._contents_of_rows():
            for ids in chain.from_iterable(map(self._lists, contents)):
                yield True, ids
            yield False, b"".join(content.blobs for content in contents if content.depth == 0)
            for ids in chain.from_iterable(_joined(self.blob_ids(each)) for each in contents if each.depth):
                yield False, ids

    def _contents_of_rows(self) -> Iterator[list[Content]]:
        for rows in self.rows():
            blobs, depths = (rows.column(name).to_pylist() for name in ("blobs", "depth"))
            yield list(map(Content, blobs, depths))

    def _lists(self, content: Content) -> Iterator[bytes]:
        """Ids of the lists above depth 0, level by level."""
        for depth in range(content.depth):
            yield from _joined(self.blob_ids(Content(content.blobs, depth)))


def _joined(ids: Iterator[bytes]) -> Iterator[bytes]:
    while part := list(islice(ids, SLICE)):
        yield b"".join(part)
