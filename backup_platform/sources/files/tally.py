"""The counts of a capture, and which names belong to the same file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from backup_platform.domain.model import Entry, EntryKind, Json, Problem, Stat, Status
from backup_platform.filesystem.paths import printable

MAX_PROBLEMS = 10_000  # listed; the fact counts them all


@dataclass(slots=True)
class CaptureTally:
    """Counts what is recorded. `size` is the sum of regular files' sizes, those with several names once."""

    kinds: Counter[EntryKind] = field(default_factory=Counter)
    size: int = 0
    hardlinks: int = 0
    problem_count: int = 0
    incomplete: bool = False
    problems: list[Problem] = field(default_factory=list)

    def count(self, stats: Sequence[Stat]) -> None:
        self.kinds.update([stat[1] for stat in stats])

    def problem(self, entry: Entry) -> None:
        self.problem_count += 1
        self.incomplete = self.incomplete or entry.status is not Status.CHANGED
        if len(self.problems) < MAX_PROBLEMS:
            self.problems.append(Problem(printable(entry.stat.path), entry.status, entry.problem))

    def facts(self) -> dict[str, Json]:
        kinds = self.kinds
        files, directories = kinds[EntryKind.FILE], kinds[EntryKind.DIRECTORY]
        symlinks = kinds[EntryKind.SYMLINK]
        return {
            "files": files,
            "directories": directories,
            "symlinks": symlinks,
            "other": kinds.total() - files - directories - symlinks,
            "bytes": self.size,
            "hardlinks": self.hardlinks,
            "problems": self.problem_count,
        }


@dataclass(slots=True)
class Links:
    """Which path holds the content of a file with several names; forgotten when all its names were seen."""

    _first: dict[tuple[int, int], tuple[bytes, int]] = field(default_factory=dict)

    def knows(self, stat: Stat) -> bool:
        return (stat.device, stat.inode) in self._first

    def hold(self, stat: Stat) -> None:
        """The path of `stat` has the content for all later names."""
        self._first[stat.device, stat.inode] = (stat.path, stat.nlink - 1)

    def holder(self, stat: Stat) -> bytes | None:
        """The path that has the content of this one; None when it is the first."""
        known = self._first.get((stat.device, stat.inode))
        if known is None:
            return None
        path, left = known
        if left > 1:
            self._first[stat.device, stat.inode] = (path, left - 1)
        else:
            del self._first[stat.device, stat.inode]
        return path
