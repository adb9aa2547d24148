"""What this host knows of a repository from its own work: packs that it wrote or read, and points that it made. It is
kept in the state directory, where other holders of the repository key cannot add to it. It may be lost: then this host
knows less, and says so."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from backup_platform.domain.model import Window
from backup_platform.repository.objects.names import ROWS_HASH_DIGITS, Hash, ObjectId

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from backup_platform.repository.packs.index import IndexedPack

LINE = re.compile(
    r"(pack ([0-9a-f]{64}) ([0-9a-f]{32})|point ([0-9a-f]{64})(?: (\S+ \d{1,10} \S+ \S+ \S+ \S+) \.)?)"
)
COMPACTED_ABOVE = 1_000
POINTS_KEPT = 10_000


def table_of(rows: NDArray[Any], hashed: Hash) -> str:
    """Names what an index says of one pack (FORMAT.md §8): the same for two indexes only if their rows are the same."""
    alone = rows.copy()
    alone["pack"] = 0
    return hashed(alone.tobytes()).hex()[:ROWS_HASH_DIGITS]


class OwnPoint(NamedTuple):
    """A point that this host committed. `tag` stands for its source: the note holds no names."""

    id: str
    tag: str
    sequence: int
    window: Window
    captured_at: datetime


class Known:
    """`path` is the note's file; None: nothing is kept beyond this process. `expects_points`: this host commits to this
    repository, so that its own points are there; `sources` are the names of its sources. Thread-safe."""

    def __init__(
        self, path: str | None = None, *, sources: Collection[str] = (), expects_points: bool = False
    ) -> None:
        self._path = path
        self.sources, self.expects_points = sources, expects_points
        self.problem = ""  # why the note cannot be read, as text for people
        self._packs: dict[ObjectId, str] | None = None
        self._points: dict[str, str] = {}  # in the order of their commits: what is noted of each

    @property
    def packs(self) -> Mapping[ObjectId, str]:
        """The hash of its rows (`table_of`) by the id of each pack."""
        return self._loaded()

    @property
    def points(self) -> Collection[str]:
        """Ids of the points that this host committed."""
        self._loaded()
        return self._points.keys()

    def own_points(self) -> list[OwnPoint]:
        """The points that this host committed here, in that order, without those of which an older version noted the
        id only."""
        self._loaded()
        told = (_own_point(point, said) for point, said in self._points.items() if said)
        return [each for each in told if each] if self.expects_points else []

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

    def committed(self, point: OwnPoint) -> None:
        times = (point.window.start, point.window.end, point.captured_at)
        said = [point.tag, str(point.sequence), *(each.isoformat() for each in times), point.window.key]
        self._loaded()
        self._points[point.id] = " ".join(said)
        self._append([_point_line(point.id, self._points[point.id])])

    def forget(self, packs: Collection[ObjectId]) -> None:
        """Keep of all packs those that are still there, and the newest points, once the others are many."""
        known = self._loaded()
        gone = [pack for pack in known if pack not in packs]
        if len(gone) < max(COMPACTED_ABOVE, len(known) // 2) and len(self._points) < 2 * POINTS_KEPT:
            return
        for pack in gone:
            del known[pack]
        self._points = dict(list(self._points.items())[-POINTS_KEPT:])
        self._replace()

    def _loaded(self) -> dict[ObjectId, str]:
        if self._packs is None:
            packs: dict[ObjectId, str] = {}
            for match in map(LINE.fullmatch, self._lines()):
                if match and match[4]:
                    self._points[match[4]] = match[5] or ""
                elif match:
                    packs[ObjectId(match[2])] = match[3]
            self._packs = packs
        return self._packs

    def _lines(self) -> list[str]:
        if self._path is not None:
            try:
                with open(self._path, encoding="ascii") as file:
                    return file.read().splitlines()
            except (FileNotFoundError, UnicodeDecodeError):
                return []
            except OSError as error:
                self.problem = f"{self._path} cannot be read: {error.strerror}"
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
        lines += [f"{_point_line(point, said)}\n" for point, said in self._points.items()]
        if self._path is not None:
            with suppress(OSError):
                with open(f"{self._path}.{os.getpid()}", "w", encoding="ascii", opener=_private) as file:
                    file.writelines(lines)
                os.replace(f"{self._path}.{os.getpid()}", self._path)


def _point_line(point: str, said: str) -> str:
    return f"point {point} {said} ." if said else f"point {point}"


def _own_point(point: str, said: str) -> OwnPoint | None:
    """None for a line that was altered: the note is only a cache."""
    tag, sequence, *times, key = said.split(" ")
    try:
        start, end, captured_at = map(datetime.fromisoformat, times)
    except ValueError:
        return None
    return OwnPoint(point, tag, int(sequence), Window(key, start, end), captured_at)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
