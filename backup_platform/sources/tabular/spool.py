"""Where a drill reads the restored tables into. It keeps digests of their rows, and none of the data."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, BinaryIO

from backup_platform.domain.model import BLOB_ID_BYTES, Content, Entry, Stat, StreamRef
from backup_platform.domain.ports import Buffer, Chunking
from backup_platform.sources.tabular.digest import Digest, digest

if TYPE_CHECKING:
    import pyarrow as pa

BATCH_ROWS = 1 << 14
BATCH_BYTES = 8 << 20


@dataclass(frozen=True, slots=True)
class Digested:
    """A stream of Parquet: the types of its columns by name, in order, and its rows."""

    types: tuple[tuple[str, str], ...]
    rows: Digest


class DigestingRecorder:
    """A `ports.Recorder` for streams of Parquet, usable by several threads.

    A stream needs its size on disk below `directory` until it is digested. With `keep` it stays there until `close`.
    """

    def __init__(self, directory: str, seed: int, *, keep: bool = False) -> None:
        self.directory, self.seed, self.keep = directory, seed, keep
        self.digested: dict[bytes, Digested] = {}
        self._kept: dict[bytes, IO[bytes]] = {}
        self._lock = threading.Lock()

    def stream(self, blocks: Iterable[Buffer], chunking: Chunking | None = None) -> StreamRef:
        file = tempfile.TemporaryFile(dir=self.directory)  # noqa: SIM115 - may be kept
        try:
            size = sum(file.write(block) for block in blocks)
            file.seek(0)
            found = digested(file, self.seed)
        except BaseException:
            file.close()
            raise
        with self._lock:
            name = len(self.digested).to_bytes(BLOB_ID_BYTES, "big")
            self.digested[name] = found
            if self.keep:
                self._kept[name] = file
        if not self.keep:
            file.close()
        return StreamRef(size, Content(name))

    def batches(self, content: Content) -> Iterator[pa.RecordBatch]:
        """The rows of a stream that was kept."""
        file = self._kept[content.blobs]
        file.seek(0)
        return parquet_batches(file)

    def close(self) -> None:
        for file in self._kept.values():
            file.close()

    def blob(self, data: Buffer) -> bytes:
        raise NotImplementedError("tables are streams")

    def reuse(self, stats: Sequence[Stat]) -> Sequence[bool]:
        return [False] * len(stats)

    def record(self, batch: Sequence[Entry | Stat]) -> None:
        """The drill has no inventory of its own."""


def digested(file: IO[bytes] | BinaryIO, seed: int) -> Digested:
    """The digest of a Parquet file's rows."""
    import pyarrow.parquet as pq

    schema = pq.read_schema(file)
    types = tuple((field.name, str(field.type)) for field in schema)
    return Digested(types, digest(parquet_batches(file), len(types), seed))


def parquet_batches(file: IO[bytes] | BinaryIO) -> Iterator[pa.RecordBatch]:
    """The rows in order, a few megabytes at a time, or one row where a row is larger."""
    import pyarrow.parquet as pq

    parquet = pq.ParquetFile(file, buffer_size=1 << 20, pre_buffer=False)
    for number in range(parquet.num_row_groups):
        group = parquet.metadata.row_group(number)
        rows = BATCH_BYTES * group.num_rows // max(1, group.total_byte_size)
        rows = max(1, min(BATCH_ROWS, rows))
        yield from parquet.iter_batches(rows, row_groups=[number], use_threads=False)
