"""What a bucket holds: the prefixes in which no repository of the plan is."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from backup_platform.domain.coverage import Neighbour, Surroundings
from backup_platform.domain.words import first_of, how_many

LOOSE = "(objects)"
_NAMED = 3


@dataclass(frozen=True, slots=True)
class Bucket:
    """A bucket, or a part of one. `listed` gives the prefixes and the objects that are directly below a prefix; raises
    StoreError. `repositories` are the prefixes of the plan's repositories in it, "" for all of it."""

    title: str
    listed: Callable[[str], tuple[Sequence[str], Sequence[str]]]
    repositories: Sequence[str]

    def surroundings(self) -> Surroundings:
        """Where a repository is deeper inside, what is beside it. No kind of source reads buckets, so nothing is in
        one."""
        nothing = "" in self.repositories
        return Surroundings(self.title, [] if nothing else list(self._below("")))

    def _below(self, prefix: str) -> Iterator[Neighbour]:
        prefixes, objects = self.listed(prefix)
        for each in sorted(prefixes):
            if each in self.repositories:
                continue
            if any(known.startswith(f"{each}/") for known in self.repositories):
                yield from self._below(each)
            else:
                yield Neighbour(each, "prefix")
        if objects:
            names = sorted(each.rpartition("/")[2] for each in objects)
            text = f"{how_many(len(names), 'object')}: {first_of(names, _NAMED)}"
            yield Neighbour(f"{prefix}/{LOOSE}".lstrip("/"), "group", note=text)
