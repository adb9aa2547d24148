"""The write path: deduplicate, compress, pack, store, read back.

Any thread adds; a few threads compress and store. Queued plain bytes are bounded, so that memory is, too.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field

from backup_platform.domain.model import Content
from backup_platform.domain.ports import Buffer
from backup_platform.repository.objects.names import Hash, digest
from backup_platform.repository.packs.compression import Compressor
from backup_platform.repository.packs.index import ABSENT, BlobIndex, IndexedPack
from backup_platform.repository.packs.packs import FRAME_BLOBS, FRAME_TARGET, PackBuilder

PACKS_PER_INDEX = 64  # 1 GiB: how much a dying writer leaves unindexed
MAX_WORKERS = 8


def worker_count() -> int:
    return min(MAX_WORKERS, max(2, len(os.sched_getaffinity(0))))


class Workers:
    """A few threads with a bounded queue. The first failure of a task is raised by the next call."""

    def __init__(self, count: int | None = None) -> None:
        count = count or worker_count()
        self._pool = ThreadPoolExecutor(count, thread_name_prefix="backup")
        self._slots = threading.BoundedSemaphore(count + 2)
        self._failure: BaseException | None = None
        self._idle = threading.Condition()
        self._running = 0

    def submit(self, task: Callable[[], None]) -> None:
        self.check()
        self._slots.acquire()
        with self._idle:
            self._running += 1
        self._pool.submit(task).add_done_callback(self._done)

    def _done(self, future: Future[None]) -> None:
        error = None if future.cancelled() else future.exception()
        with self._idle:
            self._failure = self._failure or error
            self._running -= 1
            self._idle.notify_all()
        self._slots.release()

    def check(self) -> None:
        if self._failure is not None:
            raise self._failure

    def wait(self) -> None:
        """Until every task has ended."""
        with self._idle:
            self._idle.wait_for(lambda: not self._running)
        self.check()

    def close(self) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)


StorePack = Callable[[PackBuilder], IndexedPack]
Rely = Callable[[int], bool]  # whether a point may refer to the blob of a row of the index


@dataclass(slots=True)
class _Open:
    """What is not compressed yet: the blobs of the next frame, joined.

    Copied, because a blob may be a view of something far larger, which must not stay in memory with it.
    """

    blobs: list[tuple[bytes, int]] = field(default_factory=list)
    data: bytearray = field(default_factory=bytearray)

    def take(self, blobs: Sequence[tuple[bytes, int]], data: Buffer) -> None:
        self.blobs += blobs
        self.data += data


@dataclass(slots=True, eq=False)
class Run:
    """Blobs that come one after the other and are alike, as those of a stream: they fill frames of their own."""

    frame: _Open = field(default_factory=_Open)


class BlobWriter:
    """Stores blobs of one kind of pack. `index` knows what is stored already, and learns what this writer adds."""

    def __init__(
        self,
        index: BlobIndex,
        workers: Workers,
        store_pack: StorePack,
        level: int,
        hashed: Hash = digest,
        rely: Rely = lambda row: True,
    ) -> None:
        self._index, self._workers, self._store_pack = index, workers, store_pack
        self._level, self._hashed, self._rely = level, hashed, rely
        self._new: set[bytes] = set()
        self._mixed = Run()
        self._runs: set[Run] = set()
        self._pack = PackBuilder()
        self._lock = threading.Lock()  # of the pack that is being filled, and of those that are stored
        self._adding = threading.Lock()  # of the index, the new ids and the runs; taken before `_lock`
        # A pack that is stored and read back takes three times its size: not one for every worker.
        self._lanes = threading.BoundedSemaphore(max(1, worker_count() // 2))
        self._stored: list[IndexedPack] = []
        self._local = threading.local()
        self.used: set[int] = set()
        self.new_bytes = 0
        self.stored_bytes = 0

    def add(self, data: Buffer, run: Run | None = None) -> bytes:
        """Store a blob unless the repository has it; its id."""
        identity = self._hashed(data)
        with self._adding:
            full = None if self._known(identity) else self._append(identity, data, run or self._mixed)
        if full is not None:
            self._submit(full)
        return identity

    @contextmanager
    def run(self) -> Iterator[Run]:
        """A run; what does not fill a frame at its end shares one with others, whether it ended well or not."""
        run = Run()
        with self._adding:
            self._runs.add(run)
        try:
            yield run
        finally:
            self._end(run)

    def _end(self, run: Run) -> None:
        full: _Open | None
        with self._adding:
            self._runs.discard(run)
            full, run.frame = run.frame, _Open()
            if len(full.data) < FRAME_TARGET // 2:
                self._mixed.frame.take(full.blobs, full.data)
                full = self._full(self._mixed)
        if full is not None:
            self._submit(full)

    def _known(self, identity: bytes) -> bool:
        if identity in self._new:
            return True
        row = self._index.find(identity)
        if row == ABSENT or not self._rely(row):
            return False
        self.used.add(self._index.pack_number(row))
        return True

    def _append(self, identity: bytes, data: Buffer, run: Run) -> _Open | None:
        """The frame, when that filled it."""
        self._new.add(identity)
        run.frame.take([(identity, len(data))], data)
        self.new_bytes += len(data)
        return self._full(run)

    @staticmethod
    def _full(run: Run) -> _Open | None:
        if len(run.frame.data) < FRAME_TARGET and len(run.frame.blobs) < FRAME_BLOBS:
            return None
        full, run.frame = run.frame, _Open()
        return full

    def _submit(self, frame: _Open) -> None:
        self._workers.submit(lambda: self._compress(frame))

    def _compress(self, frame: _Open) -> None:
        compressed, size = self._compressor().compress(frame.data), len(frame.data)
        frame.data = bytearray()
        with self._lock:
            self._pack.add(compressed, size, frame.blobs)
            if not self._pack.full:
                return
            full, self._pack = self._pack, PackBuilder()
        self._store(full)

    def _compressor(self) -> Compressor:
        # A compressor is not thread-safe, and costs some megabytes.
        local = self._local
        if not hasattr(local, "compressor"):
            local.compressor = Compressor(self._level)
        return local.compressor  # type: ignore[no-any-return]

    def _store(self, pack: PackBuilder) -> None:
        with self._lanes:
            stored = self._store_pack(pack)
        with self._lock:
            self._stored.append(stored)
            self.stored_bytes += stored.size

    def flush(self) -> None:
        """Until every blob is stored, read back and compared."""
        for run in list(self._runs):
            self._end(run)
        with self._adding:
            frame, self._mixed.frame = self._mixed.frame, _Open()
        if frame.blobs:
            self._submit(frame)
        self._workers.wait()
        if self._pack.frames:
            last, self._pack = self._pack, PackBuilder()
            self._workers.submit(lambda: self._store(last))
            self._workers.wait()

    def take_stored(self, at_least: int = 1) -> list[IndexedPack]:
        """Packs stored since the last call, once there are so many; the index knows them from now on."""
        with self._lock:
            if len(self._stored) < at_least:
                return []
            packs, self._stored = self._stored, []
        with self._adding:
            self._learn(packs)
        return packs

    def _learn(self, packs: Sequence[IndexedPack]) -> None:
        first = len(self._index.packs)
        self._index.add(packs)
        self.used.update(range(first, first + len(packs)))
        for pack in packs:
            self._new.difference_update(Content(pack.rows["blob"].tobytes()).ids())
