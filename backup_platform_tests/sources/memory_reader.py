"""Reading what a recorder in memory took."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from io import BytesIO
from typing import BinaryIO

from backup_platform.domain.model import Content, Entry
from backup_platform.domain.ports import Buffer


class MemoryReader:
    """`ports.PointReader` of the rows and blobs that a subclass has."""

    @property
    def held(self) -> tuple[Sequence[Entry], Mapping[bytes, bytes]]:
        """The rows, and the blobs by their names."""
        raise NotImplementedError

    def entries(self) -> Iterator[Entry]:
        return iter(self.held[0])

    def read(self, content: Content) -> Iterator[Buffer]:
        blobs = self.held[1]
        return (blobs[name] for name in content.ids())

    def open(self, content: Content) -> BinaryIO:
        return BytesIO(b"".join(map(bytes, self.read(content))))

    def blob_ids(self, content: Content) -> Iterator[bytes]:
        return iter(content.ids())
