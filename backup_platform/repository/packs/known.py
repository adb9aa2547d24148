"""What this host knows of a repository from its own work: packs that it wrote or read, and points that it made. It is
kept in the state directory, where other holders of the repository key cannot add to it. It may be lost: then this host
knows less, and says so."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from backup_platform.repository.objects.names import ROWS_HASH_DIGITS, Hash, ObjectId

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from backup_platform.repository.packs.index import IndexedPack

LINE = re.compile(r"(pack ([0-9a-f]{64}) ([0-9a-f]{32})|point ([0-9a-f]{64}))")
COMPACTED_ABOVE = 1_000
POINTS_KEPT = 10_000


def table_of(rows: NDArray[Any], hashed: Hash) -> str:
    """Names what an index says of one pack (FORMAT.md §8): the same for two indexes only if their rows are the same."""
    alone = rows.copy()
    alone["pack"] = 0
    return hashed(alone.tobytes()).hex()[:ROWS_HASH_DIGITS]


class Known:
    """`path` is the note's file; None: nothing is kept beyond this process. Thread-safe."""

    def __init__(self, path: str | None = None) -> None:
        self._path = path
        self._packs: dict[ObjectId, str] | None = None
        self._points: dict[str, None] = {}  # in the order of their commits

    @property
    def packs(self) -> Mapping[ObjectId, str]:
        """The hash of its rows (`table_of`) by the id of each pack."""
        return self._loaded()

    @property
    def points(self) -> Collection[str]:
        """Ids of the points that this host committed."""
        self._loaded()
        return self._points

    def remembers(self, said: IndexedPack, hashed: Hash) -> bool:
        """Whether this host wrote or decoded a pack, and it holds what indexes say."""
        table = self.packs.get(said.key.id)
        return table is not None and table == table_of(said.rows, hashed)

    def learn(self, packs: Mapping[ObjectId, str]) -> None:
        """Packs that were read back or read here, decoded and compared."""
        known = self._loaded()
        new = {pack: table for pack, table in packs.items() if known.get(pack) != table}
        known.update(new)
        self._append(f"pack {pack} {table}" for pack, table in new.items())

    def committed(self, point: str) -> None:
        self._loaded()
        self._points[point] = None
        self._append([f"point {point}"])

    def forget(self, packs: Collection[ObjectId]) -> None:
        """Keep of all packs those that are still there, and the newest points, once the others are many."""
        known = self._loaded()
        gone = [pack for pack in known if pack not in packs]
        if len(gone) < max(COMPACTED_ABOVE, len(known) // 2) and len(self._points) < 2 * POINTS_KEPT:
            return
        for pack in gone:
            del known[pack]
        self._points = dict.fromkeys(list(self._points)[-POINTS_KEPT:])
        self._replace()

    def _loaded(self) -> dict[ObjectId, str]:
        if self._packs is None:
            packs: dict[ObjectId, str] = {}
            for match in map(LINE.fullmatch, self._lines()):
                if match and match[4]:
                    self._points[match[4]] = None
                elif match:
                    packs[ObjectId(match[2])] = match[3]
            self._packs = packs
        return self._packs

    def _lines(self) -> list[str]:
        if self._path is not None:
            with suppress(OSError, UnicodeDecodeError), open(self._path, encoding="ascii") as file:
                return file.read().splitlines()
        return []

    def _append(self, lines: Iterable[str]) -> None:
        text = "".join(f"{line}\n" for line in lines)
        if self._path is not None and text:
            with suppress(OSError):
                os.makedirs(os.path.dirname(self._path), mode=0o700, exist_ok=True)
                with open(self._path, "a", encoding="ascii", opener=_private) as file:
                    file.write(text)

    def _replace(self) -> None:
        lines = [f"pack {pack} {table}\n" for pack, table in self._loaded().items()]
        lines += [f"point {point}\n" for point in self._points]
        if self._path is not None:
            with suppress(OSError):
                with open(f"{self._path}.{os.getpid()}", "w", encoding="ascii", opener=_private) as file:
                    file.writelines(lines)
                os.replace(f"{self._path}.{os.getpid()}", self._path)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
