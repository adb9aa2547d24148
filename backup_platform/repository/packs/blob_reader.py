"""Reading packs: parts of them by offsets of their plain form, and blobs, each compared with its id (FORMAT.md §4)."""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TypeVar

import zstandard

from backup_platform.domain.ports import Buffer, Cipher, Part, Store
from backup_platform.errors import DamageError, KeyMissingError, NotFoundError
from backup_platform.repository.encryption.cipher import PLAIN
from backup_platform.repository.objects.names import Hash, PackKey
from backup_platform.repository.packs.blob_writer import worker_count
from backup_platform.repository.packs.index import BlobIndex, Location
from backup_platform.repository.packs.packs import decompress

T = TypeVar("T")
CACHED_FRAMES = 16
RUN_BYTES = 2 << 20
GAP_BYTES = 64 << 10
SLICE = 1 << 14
KEPT = 1 << 12  # of what a pack's header tells; some hundred bytes each
UNREADABLE = (DamageError, KeyMissingError)


class PackRanges:
    """Parts of stored packs, by offsets of their plain form. Thread-safe.

    `sizes` are those of packs, where they are known already.
    """

    def __init__(self, store: Store, cipher: Cipher, sizes: Mapping[PackKey, int]) -> None:
        self._store, self._cipher, self._sizes = store, cipher, sizes
        self._parts: OrderedDict[PackKey, Part | None] = OrderedDict()
        self._lock = threading.Lock()

    def read(self, key: PackKey, start: int, length: int) -> Buffer:
        """Raises NotFoundError, DamageError, KeyMissingError."""
        part = self._part(key)
        return (
            self._store.get_range(key, start, length)
            if part is None
            else self._open(part, key, start, length)
        )

    def tail(self, key: PackKey, length: int) -> Buffer:
        """The last bytes, all of them when the pack is shorter. Raises NotFoundError, DamageError, KeyMissingError."""
        part = self._part(key)
        if part is None:
            return self._store.get_tail(key, length)
        start = max(0, part.plain - length)
        return self._open(part, key, start, part.plain - start)

    def _open(self, part: Part, key: PackKey, start: int, length: int) -> Buffer:
        try:
            return part.read(start, length, partial(self._store.get_range, key))
        except DamageError as error:
            raise DamageError(
                f"The object {key} cannot be decrypted. {error.message}", subject=key, hint=error.advice
            ) from error

    def _part(self, key: PackKey) -> Part | None:
        with self._lock:
            if key in self._parts:
                return self._parts[key]
        part = self._cipher.part(key, partial(self._size, key), partial(self._store.get_range, key))
        if part is not None:
            with self._lock:
                self._parts[key] = part
                if len(self._parts) > KEPT:
                    self._parts.popitem(last=False)
        return part

    def _size(self, key: PackKey) -> int:
        return self._sizes.get(key) or self._store.head(key).size


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
        cipher: Cipher = PLAIN,
        sizes: Mapping[PackKey, int] | None = None,
    ) -> None:
        self._index, self._hashed = index, cipher.hash
        self._packs = PackRanges(store, cipher, sizes or {})
        self._frames: OrderedDict[tuple[PackKey, int], bytes] = OrderedDict()
        self._local = threading.local()
        self._lock = threading.Lock()
        self.failed: dict[PackKey, str] = {}

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
        key = place.pack
        with self._lock:
            known = key in self.failed
            self.failed.setdefault(key, error.message)
        if not known:
            logging.getLogger("backup_platform").warning(
                "%s", f"{error.message} The same data was found elsewhere and is right."
            )

    def _part(self, place: Location, identity: bytes) -> memoryview:
        blob = memoryview(self._frame(place))[place.offset : place.offset + place.length]
        return checked(blob, identity, place.pack, self._hashed)

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

    def _fetch(self, key: PackKey, start: int, length: int) -> Buffer:
        try:
            return self._packs.read(key, start, length)
        except NotFoundError as error:
            raise DamageError(
                f"The pack {key} is not in the store any more.", subject=key, missing=True
            ) from error

    def _decode(self, place: Location, compressed: Buffer) -> bytes:
        if not hasattr(self._local, "decompressor"):
            self._local.decompressor = zstandard.ZstdDecompressor()
        try:
            return decompress(compressed, place.frame_plain, self._local.decompressor)
        except DamageError as error:
            raise DamageError(f"{error.message} It is in {place.pack}.") from error

    def scatter(self, requests: Sequence[tuple[bytes, T]], deliver: Callable[[T, memoryview], None]) -> None:
        """Call `deliver(token, data)` for every (blob id, token), from several threads, each frame decoded once.

        Raises DamageError for blobs that cannot be read; what `deliver` raises stops the work and is raised again.
        """
        for first in range(0, len(requests), SLICE):
            self._scatter(requests[first : first + SLICE], deliver)

    def _scatter(self, requests: Sequence[tuple[bytes, T]], deliver: Callable[[T, memoryview], None]) -> None:
        places = self._index.locate_all(b"".join(identity for identity, _ in requests))
        frames: dict[tuple[PackKey, int], list[tuple[Location, bytes, T]]] = defaultdict(list)
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
                blob = checked(blob, identity, place.pack, self._hashed)
            except DamageError as error:
                blob = self._elsewhere(identity, error)
            yield token, blob

    def _all_elsewhere(
        self, frame: Sequence[tuple[Location, bytes, T]], error: DamageError | KeyMissingError
    ) -> Iterator[tuple[T, memoryview]]:
        for _, identity, token in frame:
            yield token, self._elsewhere(identity, error)


def checked(blob: memoryview, identity: bytes, key: PackKey, hashed: Hash) -> memoryview:
    if hashed(blob) != identity:
        raise DamageError(
            f"The blob {identity.hex()[:12]} in {key} is altered: its hash is not its name.", subject=key
        )
    return blob


def _runs(
    frames: Sequence[tuple[tuple[PackKey, int], list[tuple[Location, bytes, T]]]],
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
