"""What a source writes to: contents, metadata, and the inventory, with reuse of the previous point's rows."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from tempfile import SpooledTemporaryFile
from typing import TYPE_CHECKING, Any

from backup_platform.domain.limits import MAX_BLOB
from backup_platform.domain.model import EMPTY, Content, Entry, EntryKind, Stat, Status, StreamRef
from backup_platform.domain.ports import Buffer, Chunking, Cipher
from backup_platform.repository.encryption.cipher import PLAIN
from backup_platform.repository.packs.blob_writer import PACKS_PER_INDEX, BlobWriter, Run
from backup_platform.repository.packs.index import IndexedPack
from backup_platform.repository.points.chunking import CONTENTS, METADATA, ContentDefined

if TYPE_CHECKING:
    import pyarrow as pa

    from backup_platform.repository.points.previous import PreviousInventory

MAX_LISTED_IDS = 4096
SHORT_LISTED_IDS = 32  # at least; then a list ends after an id whose first byte is less than `ENDS_LIST`
ENDS_LIST = 4
SPOOLED = 16 << 20
HELD = (Status.OK, Status.CHANGED)


class PointRecorder:
    """`ports.Recorder` over a repository's writers."""

    def __init__(
        self,
        contents: BlobWriter,
        meta: BlobWriter,
        previous: PreviousInventory | None,
        write_index: Callable[[Sequence[IndexedPack]], None],
        cipher: Cipher = PLAIN,
    ) -> None:
        from backup_platform.repository.points.inventory import InventoryWriter

        self._contents, self._meta = contents, meta
        self._previous, self._write_index = previous, write_index
        self._seed = cipher.chunking_seed
        # What no index names is lost to a writer that cannot read it (FORMAT.md §5).
        self._packs_per_index = PACKS_PER_INDEX if cipher is PLAIN else PACKS_PER_INDEX // 4
        self._indexing = threading.Lock()
        self._spool: Any = SpooledTemporaryFile(max_size=SPOOLED)  # noqa: SIM115  closed by `close`
        self._inventory = InventoryWriter(self._spool)
        self.files = 0
        self.source_bytes = 0

    def reuse(self, stats: Sequence[Stat]) -> Sequence[bool]:
        return self._previous.match(stats) if self._previous else [False] * len(stats)

    def record(self, batch: Sequence[Entry | Stat]) -> None:
        rows = self._rows(batch)
        self._inventory.write(rows)
        self._count(rows)

    def _count(self, rows: pa.Table) -> None:
        """Files that the point holds, and their bytes, those of hard links once."""
        columns = (rows.column(name).to_pylist() for name in ("kind", "status", "hardlink", "size"))
        for kind, status, hardlink, size in zip(*columns, strict=True):
            if kind == EntryKind.FILE and status in HELD:
                self.files += 1
                self.source_bytes += 0 if hardlink is not None else size

    def _rows(self, batch: Sequence[Entry | Stat]) -> pa.Table:
        from backup_platform.repository.points.inventory import rows_of

        entries = [row for row in batch if isinstance(row, Entry)]
        if len(entries) == len(batch):
            return rows_of(entries)
        if self._previous is None:
            raise ValueError("a bare Stat needs a previous point, and there is none")
        return self._previous.interleave(batch, rows_of(entries))

    def blob(self, data: Buffer) -> bytes:
        return self._blob(data, None)

    def _blob(self, data: Buffer, run: Run | None) -> bytes:
        if not 0 < len(data) <= MAX_BLOB:
            raise ValueError(f"a blob has 1 to {MAX_BLOB} bytes, not {len(data)}")
        identity = self._contents.add(data, run)
        self._index_some(self._packs_per_index)
        return identity

    def stream(self, blocks: Iterable[Buffer], chunking: Chunking | None = None) -> StreamRef:
        ids, size = _Ids(self._meta, short=chunking is not None), 0
        with self._contents.run() as run:
            for chunk in (chunking or _seeded(CONTENTS, self._seed)).cut(blocks):
                ids.append(self._blob(chunk, run))
                size += len(chunk)
                del chunk  # a view of megabytes, while the next ones are read
        return StreamRef(size, ids.content())

    def finish(self) -> StreamRef:
        """The inventory's stream, once every blob is stored, indexed, read back and compared."""
        self._inventory.close()
        inventory = self._store_inventory()
        self._contents.flush()
        self._meta.flush()
        self._index_some(1)
        return inventory

    def _store_inventory(self) -> StreamRef:
        self._spool.seek(0)
        ids, size = _Ids(self._meta), 0
        for chunk in _seeded(METADATA, self._seed).cut(_blocks(self._spool)):
            ids.append(self._meta.add(bytes(chunk)))
            size += len(chunk)
        return StreamRef(size, ids.content())

    def _index_some(self, at_least: int) -> None:
        with self._indexing:
            self._write_stored(at_least)

    def _write_stored(self, at_least: int) -> None:
        packs = self._contents.take_stored(at_least)
        if packs or at_least == 1:
            packs += self._meta.take_stored()
        if packs:
            self._write_index(packs)

    def close(self) -> None:
        self._inventory.abandon()
        self._spool.close()


def _seeded(how: ContentDefined, seed: int) -> ContentDefined:
    return how.seeded(seed) if seed else how


def _blocks(file: Any) -> Iterator[bytes]:
    while block := file.read(4 << 20):
        yield block


class _Ids:
    """Collects the ids of a stream; a long list becomes metadata blobs, level by level (FORMAT.md §3).

    `short` ones end where their ids say so: what changes in the stream then changes the list there only. That is for
    streams of tables and databases, which are few: each list is one more thing to read.
    """

    def __init__(self, meta: BlobWriter, *, short: bool = False) -> None:
        self._meta, self._short = meta, short
        self._levels: list[bytearray] = [bytearray()]

    def append(self, identity: bytes) -> None:
        self._push(0, identity)

    def _push(self, level: int, identity: bytes) -> None:
        if level == len(self._levels):
            self._levels.append(bytearray())
        self._levels[level] += identity
        count = len(self._levels[level]) // len(identity)
        ends = self._short and count >= SHORT_LISTED_IDS and identity[0] < ENDS_LIST
        if ends or count >= MAX_LISTED_IDS:
            self._spill(level)

    def _spill(self, level: int) -> None:
        ids, self._levels[level] = bytes(self._levels[level]), bytearray()
        self._push(level + 1, self._meta.add(ids))

    def content(self) -> Content:
        if not any(self._levels):
            return EMPTY
        level = 0
        while level < len(self._levels) - 1:
            if self._levels[level]:
                self._spill(level)
            level += 1
        return Content(bytes(self._levels[level]), level)
