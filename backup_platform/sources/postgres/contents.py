"""What a recovery point of a PostgreSQL database holds, opened by path."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from backup_platform.domain.model import Content
from backup_platform.domain.ports import PointReader
from backup_platform.domain.tables import CATALOGUE_PATH, Catalogue, Table, bounded_document
from backup_platform.errors import DamageError
from backup_platform.sources.postgres.document import (
    DATABASE_PATH,
    GLOBALS_PATH,
    LARGE_OBJECTS,
    SCHEMA_PATH,
    CapturedDatabase,
    decode,
)
from backup_platform.sources.postgres.dump.bookkeeping import strip_archive


@dataclass(frozen=True, slots=True)
class PointContents:
    """The streams of a recovery point by path, and its two documents."""

    reader: PointReader
    streams: dict[bytes, tuple[Content, int]]
    catalogue: Catalogue
    database: CapturedDatabase

    def size(self, path: str) -> int:
        return self._stream(os.fsencode(path))[1]

    def stored_bytes(self, table: Table) -> int:
        return sum(map(self.size, table.parts))

    def open(self, path: str) -> BinaryIO:
        """A stream as a seekable file. Raises DamageError."""
        return self.reader.open(self._stream(os.fsencode(path))[0])

    def save_schema(self, path: str) -> None:
        """Write pg_dump's archive to a new file that only this user reads, without what a server sets for itself.

        Raises DamageError.
        """
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w+b") as file:
            for block in self.reader.read(self._stream(SCHEMA_PATH)[0]):
                file.write(block)
            strip_archive(file)

    @property
    def has_globals(self) -> bool:
        return GLOBALS_PATH in self.streams

    def large_object_parts(self) -> Iterator[str]:
        prefix = LARGE_OBJECTS + b"/"
        return (os.fsdecode(path) for path in sorted(self.streams) if path.startswith(prefix))

    def _stream(self, path: bytes) -> tuple[Content, int]:
        try:
            return self.streams[path]
        except KeyError:
            raise DamageError(
                f"The recovery point lacks its stream {os.fsdecode(path)!r}.", subject=os.fsdecode(path)
            ) from None


def read_contents(reader: PointReader) -> PointContents:
    """Raises DamageError for a point that lacks its documents, or holds ones of an unknown version."""
    streams = {entry.stat.path: (entry.content, entry.stat.size) for entry in reader.entries()}
    for path in (CATALOGUE_PATH, DATABASE_PATH, SCHEMA_PATH):
        if path not in streams:
            raise DamageError(
                f"The recovery point lacks its stream {os.fsdecode(path)!r}.", subject=os.fsdecode(path)
            )
    try:
        catalogue = Catalogue.read(reader.read(streams[CATALOGUE_PATH][0]))
        database = decode(bounded_document(reader.read(streams[DATABASE_PATH][0])))
        return PointContents(reader, streams, catalogue, database)
    except ValueError as error:
        raise DamageError(f"A document of the recovery point cannot be read: {error}.") from error
