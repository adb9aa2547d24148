"""Documents of a database's recovery point that somebody else wrote are damage, and take no memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

import pytest

from backup_platform.domain.model import Content, Entry, EntryKind, Stat
from backup_platform.domain.ports import Buffer
from backup_platform.errors import DamageError
from backup_platform.sources.postgres.contents import read_contents

CATALOGUE = b'{"version": 1, "engine": "postgresql", "tables": []}'


class Reader:
    """`ports.PointReader` of streams by path."""

    def __init__(self, **streams: bytes) -> None:
        self.streams = {name.replace("_", ".").encode(): data for name, data in streams.items()}

    def entries(self) -> Iterator[Entry]:
        for number, path in enumerate(self.streams):
            stat = Stat(path, EntryKind.FILE, 0o600, 0, 0, 1, 0, 0, number, 1, 1, 0)
            yield Entry(stat, content=Content(path.ljust(32, b"\0")))

    def read(self, content: Content) -> Iterator[Buffer]:
        yield self.streams[content.blobs.rstrip(b"\0")]

    def open(self, content: Content) -> BinaryIO:
        raise NotImplementedError

    def blob_ids(self, content: Content) -> Iterator[bytes]:
        raise NotImplementedError


@pytest.mark.parametrize("document", [b"[" * 100_000, b"[" + b"0," * 1000 + b"0]", b"[]", b"\xff", b"{}"])
@pytest.mark.parametrize("which", ["catalogue", "database"])
def test_a_hostile_document_is_damage(which: str, document: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("backup_platform.domain.tables.MAX_TABLES_VALUES", 500)
    documents = {"catalogue_json": CATALOGUE, "database_json": b"{}", f"{which}_json": document}
    with pytest.raises(DamageError, match="A document of the recovery point cannot be read"):
        read_contents(Reader(**documents, schema_dump=b""))
