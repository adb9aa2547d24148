"""Which entries of a recovery point are wanted."""

from __future__ import annotations

import difflib
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from enum import Enum

from backup_platform.actions.restore.target import check_path
from backup_platform.advice import Hint, command
from backup_platform.domain.model import Entry, EntryKind, RecoveryPoint, Status
from backup_platform.errors import NotFoundError, UsageError
from backup_platform.filesystem.paths import ROOT, printable, split

MAX_CANDIDATES = 10_000
STORED = (Status.OK, Status.CHANGED)


class Role(Enum):
    WANTED = "wanted"
    PARENT = "parent"  # a directory that only has to be there
    OTHER = "other"


class PathSelection:
    """Paths with everything below them. No paths mean everything."""

    def __init__(self, paths: Sequence[bytes]) -> None:
        self.paths = frozenset(paths)
        self._prefixes = tuple(path + b"/" for path in paths)
        self._parents = frozenset(parent for path in paths for parent in parents(path))

    @property
    def everything(self) -> bool:
        return not self.paths

    def role(self, path: bytes) -> Role:
        if not self.paths or path in self.paths or path.startswith(self._prefixes):
            return Role.WANTED
        return Role.PARENT if path in self._parents else Role.OTHER

    @property
    def needed(self) -> Callable[[bytes, str, int], bool] | None:
        """Which entries `selected` must see, by path, kind and number of names; None for all."""
        return None if self.everything else self._needs

    def _needs(self, path: bytes, kind: str, nlink: int) -> bool:
        # What has several names may be what a chosen one is linked to.
        return self.role(path) is not Role.OTHER or (nlink > 1 and kind != EntryKind.DIRECTORY)


def parents(path: bytes) -> list[bytes]:
    found = [ROOT]
    directory, _ = split(path)
    while directory:
        found.append(directory)
        directory, _ = split(directory)
    return found


def relative_paths(paths: Sequence[str], point: RecoveryPoint) -> list[bytes]:
    """Paths as the inventory has them. A path below the source's own root may be given in full. Raises UsageError for
    an empty one, which would mean all."""
    if "" in paths:
        raise UsageError("A path is empty.", hint="Write `.` for all, or leave the path out.")
    root = point.facts.get("root")
    found = []
    for path in paths:
        text = os.path.normpath(path)
        if isinstance(root, str) and (text == root or text.startswith(root.rstrip("/") + "/")):
            text = os.path.relpath(text, root)
        text = text.lstrip("/") or "."
        found.append(os.fsencode(text))
    return [] if ROOT in found else found


def not_found(paths: Iterable[bytes], entries: Iterable[Entry]) -> NotFoundError:
    """With the nearest path: beside it, beside one of its directories, or elsewhere with its name."""
    path = min(paths)
    name = split(path)[1]
    near = set(parents(path))
    candidates: list[str] = []
    for entry in entries:
        directory, own = split(entry.stat.path)
        beside = (directory or ROOT) in near and entry.stat.path != ROOT
        if (own == name or beside) and len(candidates) < MAX_CANDIDATES:
            candidates.append(printable(entry.stat.path))
    close = difflib.get_close_matches(printable(path), candidates, 1, 0.4)
    hint: Hint = f"Did you mean {close[0]!r}?" if close else (command("ls", "POINT"), " lists what is in it.")
    return NotFoundError(
        f"{printable(path)!r} is not in the recovery point.", subject=printable(path), hint=hint
    )


def available(entry: Entry) -> bool:
    """Is there something to restore? Directories that could not be listed are made all the same."""
    return entry.status in STORED or entry.stat.kind is EntryKind.DIRECTORY


def selected(entries: Iterable[Entry], selection: PathSelection) -> Iterator[tuple[Entry, Role]]:
    """The chosen entries in order. Raises DamageError for a path that leads outside.

    A hard link to what is not chosen becomes that itself; later ones then link to it.
    """
    if selection.everything:
        for entry in entries:
            check_paths(entry)
            yield entry, Role.WANTED
        return
    holders: dict[bytes, Entry] = {}
    moved: dict[bytes, bytes] = {}
    for entry in entries:
        stat = entry.stat
        check_paths(entry)
        role = selection.role(stat.path)
        if role is not Role.OTHER:
            yield (entry if entry.hardlink is None else relinked(entry, holders, moved)), role
        elif may_be_linked(entry):
            holders[stat.path] = entry


def may_be_linked(entry: Entry) -> bool:
    """Can a later row be another name of this one?"""
    stat = entry.stat
    several = stat.nlink > 1 and stat.kind is not EntryKind.DIRECTORY
    return several and entry.hardlink is None and available(entry)


def relinked(entry: Entry, holders: dict[bytes, Entry], moved: dict[bytes, bytes]) -> Entry:
    assert entry.hardlink is not None
    if entry.hardlink in moved:
        return entry._replace(hardlink=moved[entry.hardlink])
    holder = holders.get(entry.hardlink)
    if holder is None:
        return entry
    moved[entry.hardlink] = entry.stat.path
    return holder._replace(stat=holder.stat._replace(path=entry.stat.path))


def check_paths(entry: Entry) -> None:
    check_path(entry.stat.path)
    if entry.hardlink is not None:
        check_path(entry.hardlink)
