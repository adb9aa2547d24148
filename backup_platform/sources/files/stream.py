"""Reading large files, block by block and one block ahead."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import Executor, Future, wait
from dataclasses import dataclass

from backup_platform.domain.model import Stat
from backup_platform.domain.ports import Progress
from backup_platform.filesystem.holes import Extents, data_extents
from backup_platform.sources.files.attributes import read_xattrs
from backup_platform.sources.files.failures import status_of
from backup_platform.sources.files.read import (
    FileReading,
    Files,
    Piece,
    has_more,
    pieces_of,
    read_pieces,
    settle,
)

BLOCK = 2 << 20  # bytes read at once
REPORT_BYTES = 8 << 20
REPORT_FILES = 100


@dataclass(slots=True)
class BatchedProgress:
    """Tells the progress of many small steps in few calls."""

    progress: Progress
    files: int = 0
    size: int = 0

    def advance(self, files: int, size: int) -> None:
        self.files += files
        self.size += size
        if self.size >= REPORT_BYTES or self.files >= REPORT_FILES:
            self.flush()

    def flush(self) -> None:
        if self.files or self.size:
            self.progress.advance(items=self.files, size=self.size)
            self.files = self.size = 0


@dataclass(frozen=True, slots=True)
class StreamedFile:
    """A file that is open to be streamed. Errors of the file come back as a `FileReading`, never raised."""

    fd: int
    stat: Stat
    before: os.stat_result
    extents: Extents | None

    @classmethod
    def open(cls, files: Files, stat: Stat) -> StreamedFile | FileReading:
        try:
            fd, before = files.open(stat)
        except OSError as error:
            return FileReading(stat, *status_of(error))
        try:
            return cls(fd, stat, before, data_extents(fd, before))
        except OSError as error:
            os.close(fd)
            return FileReading(stat, *status_of(error))

    @property
    def pieces(self) -> Extents:
        return pieces_of(self.before.st_size, self.extents)

    def finish(self, blocks: Blocks) -> FileReading:
        """What became of the file, after its blocks were taken."""
        if blocks.error:
            return FileReading(self.stat, *status_of(blocks.error))
        try:
            after, xattrs = os.fstat(self.fd), read_xattrs(self.fd)
        except OSError as error:
            return FileReading(self.stat, *status_of(error))
        return settle(self.stat, self.before, after, self.extents, blocks.count, xattrs)

    def close(self) -> None:
        os.close(self.fd)


def blocks_of(pieces: Extents) -> Iterator[list[Piece]]:
    """The pieces regrouped, so that each group holds at most BLOCK bytes."""
    group: list[Piece] = []
    room = BLOCK
    for start, length in pieces:
        offset, left = start, length
        while left:
            taken = min(left, room)
            group.append((offset, taken))
            offset, left, room = offset + taken, left - taken, room - taken
            if not room:
                yield group
                group, room = [], BLOCK
    if group:
        yield group


@dataclass(slots=True)
class Blocks:
    """The bytes of a large file, one block read ahead. To be iterated once.

    An error of the file ends the iteration and is kept in `error`: what consumes the blocks never sees it,
    and its own errors are never taken for the file's. `count` is the number of bytes given. What a file holds
    beyond its `size` is read, too.
    """

    fd: int
    pieces: Extents
    size: int
    executor: Executor
    meter: BatchedProgress | None = None
    count: int = 0
    error: OSError | None = None

    def __iter__(self) -> Iterator[bytes]:
        yield from self._given(blocks_of(self.pieces))
        if not self.error and self.count == sum(length for _, length in self.pieces):
            self.meter = None  # nobody expects more than the size
            yield from self._given(self._beyond())

    def _beyond(self) -> Iterator[list[Piece]]:
        start, more = self.size, self._more()
        while more:
            yield [(start, BLOCK)]
            start += BLOCK

    def _more(self) -> bool:
        try:
            return has_more(self.fd, self.size)
        except OSError as error:
            self.error = error
            return False

    def _given(self, groups: Iterator[list[Piece]]) -> Iterator[bytes]:
        ahead = self._submit(next(groups, None))
        try:
            while ahead is not None:
                future, expected = ahead
                data = self._result(future)
                ahead = self._submit(next(groups, None)) if len(data) == expected else None
                if data:
                    self.count += len(data)
                    if self.meter:
                        self.meter.advance(0, len(data))
                    yield data
        finally:
            if ahead is not None:  # the descriptor is about to be closed
                wait([ahead[0]])

    def _result(self, future: Future[bytes]) -> bytes:
        try:
            return future.result()
        except OSError as error:
            self.error = error
            return b""

    def _submit(self, group: list[Piece] | None) -> tuple[Future[bytes], int] | None:
        if group is None:
            return None
        return self.executor.submit(read_pieces, self.fd, group), sum(length for _, length in group)
