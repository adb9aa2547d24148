"""The content of one file of a recovery point, in order: for a pipe instead of a directory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from backup_platform.actions.restore.files import content_size, spread
from backup_platform.actions.restore.selection import available, not_found, relative_paths
from backup_platform.advice import command
from backup_platform.domain.model import Entry, EntryKind
from backup_platform.domain.ports import Buffer
from backup_platform.errors import DamageError, NotFoundError, UsageError
from backup_platform.filesystem.holes import ZEROS
from backup_platform.filesystem.paths import ROOT, printable

if TYPE_CHECKING:
    from backup_platform.domain.model import RecoveryPoint
    from backup_platform.domain.ports import PointReader


def file_content(reader: PointReader, point: RecoveryPoint, path: str | None) -> Iterator[Buffer]:
    """The bytes of the file at a path, or of the only file if no path is given. Holes are zeros. Each block is compared
    with its id before it is returned. Raises NotFoundError and UsageError at once. Raises DamageError as soon as a
    block cannot be read, and at the end if the length is wrong."""
    entry = _only_file(reader) if path is None else _file_at(reader, relative_paths([path], point))
    if entry.hardlink is not None:
        entry = _file_at(reader, [entry.hardlink])
    if not available(entry):
        raise NotFoundError(
            f"{printable(entry.stat.path)} has no content in the recovery point: {entry.status}, {entry.problem}.",
            subject=printable(entry.stat.path),
            hint="Look into an older point.",
        )
    return _blocks(reader, entry)


def _only_file(reader: PointReader) -> Entry:
    found: Entry | None = None
    for entry in reader.entries():
        if entry.stat.kind is EntryKind.FILE:
            if found is not None:
                raise UsageError(
                    "The recovery point holds several files.",
                    hint=("Name one: ", command("ls", "POINT"), " lists them."),
                )
            found = entry
    if found is None:
        raise NotFoundError(
            "The recovery point does not hold a file.", hint=(command("ls", "POINT"), " lists it.")
        )
    return found


def _file_at(reader: PointReader, paths: list[bytes]) -> Entry:
    wanted = paths[0] if paths else ROOT
    entry = next((entry for entry in reader.entries() if entry.stat.path == wanted), None)
    if entry is None:
        raise not_found([wanted], reader.entries())
    if entry.stat.kind is not EntryKind.FILE:
        raise UsageError(
            f"{printable(wanted)} is not a file.",
            subject=printable(wanted),
            hint=("Restore it into a directory: ", command("restore", "POINT", "PATH", "--to", "DIR"), "."),
        )
    return entry


def _blocks(reader: PointReader, entry: Entry) -> Iterator[Buffer]:
    read = written = 0
    for block in reader.read(entry.content):
        view, start = memoryview(block).cast("B"), 0
        for position, length in spread(entry, read, len(view)):
            yield from _zeros(position - written)
            yield view[start : start + length]
            start, written = start + length, position + length
        read += len(view)
    if read != content_size(entry):
        raise DamageError(
            f"{printable(entry.stat.path)} has {read:,} stored bytes, and {content_size(entry):,} were captured.",
            subject=printable(entry.stat.path),
            hint=(command("repair"), " takes what is missing from a copy."),
        )
    yield from _zeros(entry.stat.size - written)


def _zeros(amount: int) -> Iterator[Buffer]:
    for start in range(0, amount, len(ZEROS)):
        yield ZEROS[: min(len(ZEROS), amount - start)]
