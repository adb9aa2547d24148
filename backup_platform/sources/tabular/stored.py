"""A stored table: its description, its parts, and their places in a recovery point."""

from __future__ import annotations

from typing import NamedTuple
from urllib.parse import quote

from backup_platform.domain.model import StreamRef
from backup_platform.domain.tables import Table


class StoredTable(NamedTuple):
    """A table, and its parts as (path, stream) in order."""

    table: Table
    streams: tuple[tuple[str, StreamRef], ...]


def part_path(schema: str, table: str, number: int) -> str:
    """Path of a part of a table in the inventory; any name gives a valid and distinct one."""
    return f"tables/{_component(schema)}/{_component(table)}/{number:05}.parquet"


def _component(name: str) -> str:
    encoded = quote(name, safe="")
    return encoded.replace(".", "%2E") if encoded in (".", "..") else encoded
