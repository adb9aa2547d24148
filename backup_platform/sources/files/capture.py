"""From the walk to the recorder. Unchanged entries are passed through, and all others are examined and read."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Self, TypeAlias

from backup_platform.domain.model import EMPTY, Content, Entry, EntryKind, Stat, Status
from backup_platform.domain.ports import Progress, Recorder
from backup_platform.filesystem.paths import below, proc_path
from backup_platform.sources.files.attributes import Owners, Xattrs, read_xattrs
from backup_platform.sources.files.failures import status_of
from backup_platform.sources.files.read import SMALL, FileReading, Files
from backup_platform.sources.files.stream import BLOCK, BatchedProgress, Blocks, StreamedFile
from backup_platform.sources.files.tally import CaptureTally, Links
from backup_platform.sources.files.walk import Batch, Walk

READERS = 2  # threads
GROUP_FILES = 64
GROUP_BYTES = 1 << 20
GROUPS_AHEAD = 4  # so about 4 MiB are read before their turn

FILE, DIRECTORY = EntryKind.FILE, EntryKind.DIRECTORY
STORED = (Status.OK, Status.CHANGED)
Row: TypeAlias = "Entry | Stat"


class TreeCapture:
    """Records one walk. Everything but the reading happens in the caller's thread."""

    def __init__(self, walk: Walk, recorder: Recorder, progress: Progress) -> None:
        self.tally = CaptureTally()
        self._walk = walk
        self._recorder = recorder
        self._progress = progress
        self._meter = BatchedProgress(progress)
        self._files = Files(walk.root_fd, walk.follow_symlinks)
        self._owners = Owners()
        self._links = Links()
        self._executor = ThreadPoolExecutor(READERS, thread_name_prefix="read")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._executor.shutdown(cancel_futures=True)

    def run(self) -> None:
        """Raises SourceError for the root, and whatever the recorder raises."""
        for batch in self._walk.batches():
            self._record(batch)
        self._meter.flush()

    def _record(self, batch: Batch) -> None:
        same = self._recorder.reuse(batch.stats)
        fresh = positions_to_examine(batch, same)
        self._expect(batch.stats, fresh)
        rows: list[Row] = list(batch.stats)
        to_read = self._positions_to_read(batch, same, fresh)
        readings = self._readings([batch.stats[position] for position in to_read])
        read = set(to_read)
        for position in fresh:
            stat, fault = batch.stats[position], batch.faults.get(position)
            row: Row
            if fault:
                row = self._entry(stat, *fault)
            elif stat.kind is FILE:
                row = self._file(stat, bool(same[position]), next(readings) if position in read else None)
            else:
                row = self._special(stat, bool(same[position]))
            rows[position] = row
            self._count(stat, row)
        self._recorder.record(rows)

    def _expect(self, stats: Sequence[Stat], fresh: Sequence[int]) -> None:
        sizes = [stat[5] for stat in stats if stat[1] is FILE]
        ahead = [stats[position][5] for position in fresh if stats[position][1] is FILE]
        self.tally.count(stats)
        self.tally.size += sum(sizes)
        self._progress.expect(items=len(sizes), size=sum(sizes))
        self._meter.advance(len(sizes) - len(ahead), sum(sizes) - sum(ahead))

    def _count(self, seen: Stat, row: Row) -> None:
        """Correct what `_expect` took from the walk by what was recorded."""
        entry = row if isinstance(row, Entry) else Entry(row)
        if entry.status is not Status.OK:
            self.tally.problem(entry)
        linked = entry.hardlink is not None
        self.tally.hardlinks += linked
        if seen.kind is not FILE:
            return
        self.tally.size += (0 if linked else entry.stat.size) - seen.size
        streamed = seen.size > SMALL and entry.content.blobs  # and told its size while it was read
        self._meter.advance(1, 0 if streamed else seen.size)

    def _positions_to_read(self, batch: Batch, same: Sequence[bool], fresh: Sequence[int]) -> list[int]:
        """Files whose bytes will be needed; of several names of a file the first."""
        chosen: list[int] = []
        held: set[tuple[int, int]] = set()
        for position in fresh:
            stat = batch.stats[position]
            if stat.kind is not FILE or position in batch.faults:
                continue
            if stat.nlink > 1:
                if (stat.device, stat.inode) in held or self._links.knows(stat):
                    continue
                held.add((stat.device, stat.inode))
            if not same[position]:
                chosen.append(position)
        return chosen

    def _readings(self, stats: Sequence[Stat]) -> Iterator[FileReading]:
        """Read the small files ahead of their turn; the large ones come back unread."""
        ahead: deque[Future[list[FileReading]]] = deque()
        for group in groups(stats):
            ahead.append(self._executor.submit(self._files.read_group, group))
            if len(ahead) > GROUPS_AHEAD:
                yield from ahead.popleft().result()
        while ahead:
            yield from ahead.popleft().result()

    def _file(self, stat: Stat, same: bool, reading: FileReading | None) -> Row:
        if stat.nlink == 1:
            return self._store(reading) if reading else stat
        holder = self._links.holder(stat)
        if holder is not None:
            return self._entry(stat)._replace(hardlink=holder)
        if same:
            self._links.hold(stat)
            return stat
        # Not read ahead when it was not the first name: then the reading of the first has failed.
        entry = self._store(reading or self._files.read_small(stat))
        if entry.status in STORED and entry.stat.nlink > 1:
            self._links.hold(entry.stat)
        return entry

    def _store(self, reading: FileReading) -> Entry:
        if reading.large:
            entry = self._stream(reading.stat, self._meter)
            return entry if entry.status is not Status.CHANGED else self._stream(reading.stat, None)
        return self._entry_of(reading, self._content(reading.data))

    def _content(self, data: bytes) -> Content:
        if len(data) > SMALL:  # a file of the kernel: only those are larger and read whole
            return self._recorder.stream(
                data[start : start + BLOCK] for start in range(0, len(data), BLOCK)
            ).content
        return Content(self._recorder.blob(data)) if data else EMPTY

    def _stream(self, stat: Stat, meter: BatchedProgress | None) -> Entry:
        """Read a large file into the recorder, whose errors pass through: none of them is the file's."""
        file = StreamedFile.open(self._files, stat)
        if isinstance(file, FileReading):
            return self._entry_of(file, EMPTY)
        try:
            blocks = Blocks(file.fd, file.pieces, file.before.st_size, self._executor, meter)
            content = self._recorder.stream(blocks).content
            reading = file.finish(blocks)
        finally:
            file.close()
        return self._entry_of(reading, content if reading.status in STORED else EMPTY)

    def _special(self, stat: Stat, same: bool) -> Row:
        several = stat.nlink > 1 and stat.kind is not DIRECTORY
        holder = self._links.holder(stat) if several else None
        if holder is None and same:
            entry: Row = stat
        else:
            entry = self._attributes(stat, holder)
        if several and holder is None and (isinstance(entry, Stat) or entry.status is Status.OK):
            self._links.hold(stat)
        return entry

    def _attributes(self, stat: Stat, holder: bytes | None) -> Entry:
        try:
            target = self._read_link(stat) if stat.kind is EntryKind.SYMLINK else None
            xattrs = self._xattrs(stat) if holder is None else ()
            return self._entry(stat)._replace(link_target=target, hardlink=holder, xattrs=xattrs)
        except OSError as error:
            return self._entry(stat, *status_of(error))

    def _read_link(self, stat: Stat) -> bytes:
        return below(self._walk.root_fd, stat.path, lambda fd, name: os.readlink(name, dir_fd=fd))

    def _xattrs(self, stat: Stat) -> Xattrs:
        follow = self._walk.follow_symlinks and stat.kind is not EntryKind.SYMLINK
        return below(
            self._walk.root_fd,
            stat.path,
            lambda fd, name: read_xattrs(proc_path(fd, name), follow=follow),
            follow=self._walk.follow_symlinks,
        )

    def _entry(self, stat: Stat, status: Status = Status.OK, problem: str = "") -> Entry:
        return Entry(stat, status, problem, self._owners.user(stat.uid), self._owners.group(stat.gid))

    def _entry_of(self, reading: FileReading, content: Content) -> Entry:
        stat, owners = reading.stat, self._owners
        return Entry(
            stat,
            reading.status,
            reading.problem,
            owners.user(stat.uid),
            owners.group(stat.gid),
            None,
            None,
            reading.xattrs,
            reading.extents,
            content,
        )


def positions_to_examine(batch: Batch, same: Sequence[bool]) -> list[int]:
    """Rows that are not as before, that failed, or that may be one of several names."""
    fresh = [
        position
        for position, (stat, kept) in enumerate(zip(batch.stats, same, strict=True))
        if not kept or (stat[10] > 1 and stat[1] is not DIRECTORY)
    ]
    return sorted(batch.faults.keys() | fresh) if batch.faults else fresh


def groups(stats: Sequence[Stat]) -> Iterator[list[Stat]]:
    """In order, each of few files and few bytes; large files, which will not be read, count nothing."""
    group: list[Stat] = []
    size = 0
    for stat in stats:
        small = stat.size if stat.size <= SMALL else 0
        if group and (size + small > GROUP_BYTES or len(group) >= GROUP_FILES):
            yield group
            group, size = [], 0
        group.append(stat)
        size += small
    if group:
        yield group
