"""Parquet streams of recovery points as files that DuckDB reads."""

from __future__ import annotations

import io
import threading
from datetime import UTC, datetime
from typing import Any

from fsspec import AbstractFileSystem

from backup_platform.repository.points.point_reader import SeekableStream

PROTOCOL = "tables"
WRITTEN = datetime(2000, 1, 1, tzinfo=UTC)


class TableFiles(AbstractFileSystem):  # type: ignore[misc]  # fsspec has no types
    """An fsspec file system that has only the streams that were added, and cannot be written. DuckDB wraps errors that
    are raised while it reads: `failure` keeps the first one."""

    protocol = PROTOCOL
    cachable = False  # fsspec's instances are otherwise shared

    def __init__(self) -> None:
        super().__init__()
        self._streams: dict[str, SeekableStream] = {}
        self.failure: BaseException | None = None

    def add(self, stream: SeekableStream) -> str:
        """The URL of a stream."""
        name = f"{len(self._streams):06}.parquet"
        self._streams[name] = stream
        return f"{PROTOCOL}://{name}"

    def read_at(self, name: str, offset: int, length: int) -> bytes:
        try:
            return self._streams[name].read_at(offset, length)
        except BaseException as error:
            self.failure = self.failure or error
            raise

    def size(self, path: str) -> int:
        return self._stream(path).size

    def _stream(self, path: str) -> SeekableStream:
        name = str(self._strip_protocol(path))
        if name not in self._streams:
            raise FileNotFoundError(path)
        return self._streams[name]

    def _open(self, path: str, mode: str = "rb", **_: Any) -> OpenTable:
        if mode != "rb":
            raise PermissionError(path)
        return OpenTable(self, path, self._stream(path).size)

    def info(self, path: str, **_: Any) -> dict[str, Any]:
        return {"name": path, "size": self.size(path), "type": "file"}

    def ls(self, path: str, detail: bool = True, **_: Any) -> list[Any]:
        return [self.info(path)] if detail else [path]

    def glob(self, path: str, **_: Any) -> list[str]:
        return [path] if str(self._strip_protocol(path)) in self._streams else []

    def exists(self, path: str, **_: Any) -> bool:
        return bool(self.glob(path))

    def modified(self, path: str) -> datetime:
        return WRITTEN


class OpenTable(io.RawIOBase):
    """An open file with a position for each thread, because DuckDB may seek and read in several threads at once."""

    def __init__(self, files: TableFiles, name: str, size: int) -> None:
        self._files, self._name, self._size = files, name, size
        self._position = threading.local()

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return int(getattr(self._position, "at", 0))

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self.tell(), io.SEEK_END: self._size}[whence]
        self._position.at = base + offset
        return self.tell()

    def read(self, size: int | None = -1) -> bytes:
        length = self._size - self.tell() if size is None or size < 0 else size
        data = self._files.read_at(self._name, self.tell(), max(length, 0))
        self.seek(len(data), io.SEEK_CUR)
        return data
