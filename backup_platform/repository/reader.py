"""The read path: blobs, streams and inventories of recovery points, each blob compared with its id."""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from io import BufferedReader
from itertools import islice
from tempfile import SpooledTemporaryFile
from typing import TYPE_CHECKING, BinaryIO, TypeAlias, TypeVar

import zstandard

from backup_platform.domain.limits import MAX_DEPTH, MAX_STREAM_BLOBS
from backup_platform.domain.model import Content, Entry, RecoveryPoint
from backup_platform.domain.ports import Buffer, Cipher, Store
from backup_platform.errors import DamageError, KeyMissingError, NotFoundError
from backup_platform.repository.blobs import worker_count
from backup_platform.repository.cipher import PLAIN
from backup_platform.repository.format import META, PACKS, Hash, object_key
from backup_platform.repository.index import BlobIndex, Location
from backup_platform.repository.packs import decompress
from backup_platform.repository.ranges import PackRanges

if TYPE_CHECKING:
    import pyarrow as pa

    from backup_platform.repository.seekable import SeekableStream

T = TypeVar("T")
CACHED_FRAMES = 16
RUN_BYTES = 2 << 20
GAP_BYTES = 64 << 10
SPOOLED = 32 << 20
SLICE = 1 << 14
LOCATED = 1 << 12
ENTRIES = 1 << 9  # made at once where only some are wanted
UNREADABLE = (DamageError, KeyMissingError)
Wanted: TypeAlias = "Callable[[bytes, str, int], bool]"  # by path, kind and number of names


class BlobReader:
    """Reads blobs of one kind of pack. Thread-safe. `sizes` are those of stored packs that are known already.

    A blob that one pack does not give is taken from another that is said to hold it; `failed` says by key which packs
    did not, and why.
    """

    def __init__(
        self,
        store: Store,
        index: BlobIndex,
        *,
        meta: bool,
        cipher: Cipher = PLAIN,
        sizes: Mapping[str, int] | None = None,
    ) -> None:
        self._index, self._hashed = index, cipher.hash
        self._packs = PackRanges(store, cipher, sizes or {})
        self._prefix = META if meta else PACKS
        self._frames: OrderedDict[tuple[bytes, int], bytes] = OrderedDict()
        self._local = threading.local()
        self._lock = threading.Lock()
        self.failed: dict[str, str] = {}

    def blobs(self, ids: Sequence[bytes]) -> Iterator[memoryview]:
        """The plain bytes of blobs, in order. Raises DamageError."""
        for identity, place in zip(ids, self._index.locate_all(b"".join(ids)), strict=True):
            try:
                blob = self._part(place, identity)
            except UNREADABLE as error:
                blob = self._elsewhere(identity, error)
            yield blob

    def lengths(self, ids: Sequence[bytes]) -> list[int]:
        """Sizes of blobs in bytes. Raises DamageError."""
        places = self._index.locate_all(b"".join(ids))
        return [
            len(next(self.blobs([identity]))) if self._index.disagrees(identity) else place.length
            for identity, place in zip(ids, places, strict=True)
        ]

    def stored_size(self, ids: Buffer) -> int:
        """Bytes in the store of joined ids, each with its share of its frame."""
        return self._index.stored_size(ids)

    def _elsewhere(self, identity: bytes, error: DamageError | KeyMissingError) -> memoryview:
        """A blob that could not be read where it was looked for first, from any place that has it. Raises that error
        when none does."""
        first, *others = self._index.locations(identity)
        for place in (*others, first):  # the first may have failed for others that were read with it
            try:
                blob = self._part(place, identity)
            except UNREADABLE:
                continue
            if place is not first:
                self._note(first, error)
            return blob
        raise error

    def _note(self, place: Location, error: DamageError | KeyMissingError) -> None:
        key = object_key(self._prefix, place.pack)
        with self._lock:
            known = key in self.failed
            self.failed.setdefault(key, error.message)
        if not known:
            logging.getLogger("backup_platform").warning(
                "%s", f"{error.message} What {key} should hold there was found elsewhere, and is right."
            )

    def _part(self, place: Location, identity: bytes) -> memoryview:
        blob = memoryview(self._frame(place))[place.offset : place.offset + place.length]
        return checked(blob, identity, object_key(self._prefix, place.pack), self._hashed)

    def _frame(self, place: Location) -> bytes:
        key = (place.pack, place.frame)
        with self._lock:
            if key in self._frames:
                self._frames.move_to_end(key)
                return self._frames[key]
        data = self._decode(place, self._fetch(place.pack, place.frame, place.frame_stored))
        with self._lock:
            self._frames[key] = data
            if len(self._frames) > CACHED_FRAMES:
                self._frames.popitem(last=False)
        return data

    def _fetch(self, pack: bytes, start: int, length: int) -> Buffer:
        key = object_key(self._prefix, pack)
        try:
            return self._packs.read(key, start, length)
        except NotFoundError as error:
            raise DamageError(f"The pack {key} is not in the store any more.") from error

    def _decode(self, place: Location, compressed: Buffer) -> bytes:
        if not hasattr(self._local, "decompressor"):
            self._local.decompressor = zstandard.ZstdDecompressor()
        try:
            return decompress(compressed, place.frame_plain, self._local.decompressor)
        except DamageError as error:
            raise DamageError(f"{error.message} It is in {object_key(self._prefix, place.pack)}.") from error

    def scatter(self, requests: Sequence[tuple[bytes, T]], deliver: Callable[[T, memoryview], None]) -> None:
        """Call `deliver(token, data)` for every (blob id, token), from several threads, each frame decoded once.

        Raises DamageError for blobs that cannot be read; what `deliver` raises stops the work and is raised again.
        """
        for first in range(0, len(requests), SLICE):
            self._scatter(requests[first : first + SLICE], deliver)

    def _scatter(self, requests: Sequence[tuple[bytes, T]], deliver: Callable[[T, memoryview], None]) -> None:
        places = self._index.locate_all(b"".join(identity for identity, _ in requests))
        frames: dict[tuple[bytes, int], list[tuple[Location, bytes, T]]] = defaultdict(list)
        for place, (identity, token) in zip(places, requests, strict=True):
            frames[place.pack, place.frame].append((place, identity, token))
        runs = list(_runs(sorted(frames.items())))
        with ThreadPoolExecutor(worker_count()) as pool:
            futures = [pool.submit(partial(self._deliver_run, run, deliver)) for run in runs]
            try:
                for future in futures:
                    future.result()
            finally:
                pool.shutdown(cancel_futures=True)

    def _deliver_run(
        self, run: Sequence[Sequence[tuple[Location, bytes, T]]], deliver: Callable[[T, memoryview], None]
    ) -> None:
        for token, blob in self._read_run(run):
            deliver(token, blob)

    def _read_run(self, run: Sequence[Sequence[tuple[Location, bytes, T]]]) -> Iterator[tuple[T, memoryview]]:
        first, last = run[0][0][0], run[-1][0][0]
        try:
            data = memoryview(
                self._fetch(first.pack, first.frame, last.frame + last.frame_stored - first.frame)
            )
        except UNREADABLE as error:
            for frame in run:
                yield from self._all_elsewhere(frame, error)
            return
        for frame in run:
            start = frame[0][0].frame - first.frame
            yield from self._read_frame(frame, data[start : start + frame[0][0].frame_stored])

    def _read_frame(
        self, frame: Sequence[tuple[Location, bytes, T]], data: Buffer
    ) -> Iterator[tuple[T, memoryview]]:
        try:
            plain = memoryview(self._decode(frame[0][0], data))
        except DamageError as error:
            yield from self._all_elsewhere(frame, error)
            return
        for place, identity, token in frame:
            blob = plain[place.offset : place.offset + place.length]
            try:
                blob = checked(blob, identity, object_key(self._prefix, place.pack), self._hashed)
            except DamageError as error:
                blob = self._elsewhere(identity, error)
            yield token, blob

    def _all_elsewhere(
        self, frame: Sequence[tuple[Location, bytes, T]], error: DamageError | KeyMissingError
    ) -> Iterator[tuple[T, memoryview]]:
        for _, identity, token in frame:
            yield token, self._elsewhere(identity, error)


def checked(blob: memoryview, identity: bytes, key: str, hashed: Hash) -> memoryview:
    if hashed(blob) != identity:
        raise DamageError(f"The blob {identity.hex()[:12]} in {key} does not have the content of its name.")
    return blob


def _runs(
    frames: Sequence[tuple[tuple[bytes, int], list[tuple[Location, bytes, T]]]],
) -> Iterator[list[list[tuple[Location, bytes, T]]]]:
    """Frames that one read fetches: in the same pack, close together, and not too much at once."""
    run: list[list[tuple[Location, bytes, T]]] = []
    for (pack, offset), parts in frames:
        if run:
            first, last = run[0][0][0], run[-1][0][0]
            near = offset - (last.frame + last.frame_stored) <= GAP_BYTES
            if last.pack != pack or not near or offset - first.frame >= RUN_BYTES:
                yield run
                run = []
        run.append(parts)
    if run:
        yield run


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
        from backup_platform.repository.inventory import read_rows

        with SpooledTemporaryFile(max_size=SPOOLED) as file:
            inventory, ids = self.point.inventory, self.blob_ids(self.point.inventory.content)
            while file.tell() <= inventory.size and (part := list(islice(ids, LOCATED))):
                for blob in self._meta.blobs(part):
                    file.write(blob)
            if file.tell() != inventory.size:
                raise DamageError(
                    f"The inventory of {self.point.id[:12]} has not the size its manifest says."
                )
            yield from read_rows(file)

    def entries(self, wanted: Wanted | None = None) -> Iterator[Entry]:
        """The inventory's entries, in order; at least those that are `wanted`, where making all would take long."""
        from backup_platform.repository.inventory import entries_of

        for rows in self.rows():
            for some in [rows] if wanted is None else _holding(rows, wanted):
                yield from entries_of(some)

    def blob_ids(self, content: Content) -> Iterator[bytes]:
        """Raises DamageError for more than a stream can have: a few lists that name each other would never end."""
        if content.depth > MAX_DEPTH:
            raise DamageError(f"A stream has lists of lists {content.depth:,} deep.")
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
                raise DamageError(f"The blob {identity.hex()[:12]} is no list of blobs.")
            yield from Content(listed).ids()

    def open(self, content: Content) -> BinaryIO:
        return BufferedReader(self.stream(content))

    def stream(self, content: Content) -> SeekableStream:
        """A stream as a file without a buffer, whose `read_at` is thread-safe."""
        from backup_platform.repository.seekable import SeekableStream

        ids = list(self.blob_ids(content))
        return SeekableStream(ids, self._contents.lengths(ids), self._contents.blobs)

    def lengths(self, ids: Buffer) -> list[int]:
        """Sizes of content blobs (joined ids) in bytes. Raises DamageError."""
        return self._contents.lengths(list(Content(bytes(ids)).ids()))

    @property
    def failed(self) -> dict[str, str]:
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

    def content_blobs(self) -> Iterator[bytes]:
        """Joined ids of the content blobs that this point needs, in batches."""
        for contents in self._contents_of_rows():
            yield b"".join(content.blobs for content in contents if content.depth == 0)
            for content in contents:
                if content.depth:
                    yield from _joined(self.blob_ids(content))

    def meta_blobs(self) -> Iterator[bytes]:
        """Joined ids of the metadata blobs that this point needs, in batches."""
        inventory = self.point.inventory.content
        yield from self._lists(inventory)
        yield from _joined(self.blob_ids(inventory))
        for contents in self._contents_of_rows():
            for content in contents:
                yield from self._lists(content)

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
