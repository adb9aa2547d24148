"""The file format of pg_dump's custom archives, as far as the definitions of their entries go.

pg_restore has no way to change one statement of an archive and to keep the rest, so the table of contents is copied
and the definitions pass through a function. Only archives without rows can be rewritten: offsets of rows would move.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeAlias

Rewrite: TypeAlias = "Callable[[str, bytes], bytes]"

_MAGIC = b"PGDMP"
_OLDEST, _NEWEST = (1, 12), (1, 16)  # pg_dump 9.0 to 18
_METHOD_IS_A_BYTE = (1, 15)
_TABLE_ACCESS_METHOD = (1, 14)
_KIND_OF_RELATION = (1, 16)
_DATE = 7
_STORED = 2  # the state of an entry's rows: they have an offset in the file


class UnknownArchiveError(ValueError):
    """The file is not an archive, holds rows, or has an unknown format."""


@dataclass
class _Copy:
    """Reads from `data` at `at`; what was read is in `done`, `since` is where the part begins that is not."""

    data: bytes
    at: int = 0
    since: int = 0
    integer: int = 4
    offset: int = 8
    version: tuple[int, int] = (0, 0)
    done: list[bytes] = field(default_factory=list)

    def take(self, size: int) -> bytes:
        found = self.data[self.at : self.at + size]
        if size < 0 or len(found) != size:
            raise UnknownArchiveError("The archive ends early.")
        self.at += size
        return found

    def number(self) -> int:
        sign, *value = self.take(1 + self.integer)
        return (-1 if sign else 1) * int.from_bytes(value, "little")

    def text(self) -> bytes | None:
        size = self.number()
        return None if size < 0 else self.take(size)

    def put(self, instead: bytes) -> None:
        """Write a string in the place of the one that was read from `at` on."""
        self.done += [b"\0", len(instead).to_bytes(self.integer, "little"), instead]
        self.since = self.at

    def keep(self, until: int) -> None:
        self.done.append(self.data[self.since : until])
        self.since = until


def rewrite_definitions(archive: bytes, rewrite: Rewrite) -> bytes:
    """The archive with each definition as `rewrite(kind, definition)` returns it. Raises `UnknownArchiveError`."""
    copy = _Copy(archive)
    _head(copy)
    for _ in range(copy.number()):
        _entry(copy, rewrite)
    copy.keep(len(archive))
    return b"".join(copy.done)


def _head(copy: _Copy) -> None:
    if copy.take(len(_MAGIC)) != _MAGIC:
        raise UnknownArchiveError("It is not an archive of pg_dump.")
    major, minor, _ = copy.take(3)
    copy.version = (major, minor)
    copy.integer, copy.offset, form = copy.take(3)
    if not _OLDEST <= copy.version <= _NEWEST or form != 1:
        raise UnknownArchiveError(f"The archive's format {major}.{minor} is not known.")
    if copy.version >= _METHOD_IS_A_BYTE:
        copy.take(1)
    else:
        copy.number()
    for _ in range(_DATE):
        copy.number()
    for _ in ("database", "version of the server", "version of pg_dump"):
        copy.text()


def _entry(copy: _Copy, rewrite: Rewrite) -> None:
    copy.number()  # its id
    copy.number()  # whether it has rows
    copy.text()  # oid of its catalogue
    copy.text()  # oid
    copy.text()  # name
    kind = copy.text() or b""
    copy.number()  # section
    start = copy.at
    definition = copy.text()
    if definition is not None:
        changed = rewrite(kind.decode("utf-8", "replace"), definition)
        if changed != definition:
            copy.keep(start)
            copy.put(changed)
    for _ in ("DROP", "COPY", "schema", "tablespace"):
        copy.text()
    if copy.version >= _TABLE_ACCESS_METHOD:
        copy.text()
    if copy.version >= _KIND_OF_RELATION:
        copy.number()
    copy.text()  # owner
    copy.text()  # with oids
    while copy.text() is not None:
        pass  # the entries that it needs
    state, *_ = copy.take(1 + copy.offset)
    if state == _STORED:
        raise UnknownArchiveError("The archive holds rows.")
