"""Reading all stored data again, a part each time, so that no byte is unread for longer than a cycle.

The ledger has the time of each read (FORMAT.md §8). The age of the data that was not read for the longest time is a
number to monitor.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import accumulate, takewhile

from backup_platform.actions.verify.packs import PacksRead, read_packs
from backup_platform.domain.ports import Clock, Progress
from backup_platform.domain.trust.rotation import LastSeen, due
from backup_platform.repository.objects.names import PackKey
from backup_platform.repository.records.reads import compact_reads, load_reads, record_reads
from backup_platform.repository.repository import Repository

CYCLE = timedelta(days=30)
DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class ReadStatus:
    """The progress of the reading. Sizes are in bytes, ages in seconds. `size_read` was read again within the cycle.
    `size_never` was not read since it was written and compared. `oldest_s` is the age of the last successful check of
    the byte that was not checked for the longest time. `damaged` packs are left out of these numbers."""

    packs: int
    size: int
    size_read: int
    size_never: int
    size_due: int
    oldest_s: float
    cycle_s: float
    damaged: tuple[PackKey, ...] = ()

    @property
    def overdue(self) -> bool:
        return self.oldest_s > self.cycle_s

    @property
    def share_read(self) -> float:
        """0 to 1."""
        return self.size_read / self.size if self.size else 1.0


@dataclass(frozen=True, slots=True)
class CycleRun:
    """What a run read, and the status after it."""

    reading: PacksRead
    status: ReadStatus


@dataclass(frozen=True, slots=True)
class _Survey:
    """The packs in the store that are not known to be damaged, and which of them were ever read again."""

    held: Mapping[PackKey, LastSeen]
    read: frozenset[PackKey]
    damaged: tuple[PackKey, ...]
    now: datetime

    def after(self, sound: Iterable[PackKey], gone: Iterable[PackKey], damaged: Iterable[PackKey]) -> _Survey:
        lost = {*gone, *damaged}
        held = {key: each for key, each in self.held.items() if key not in lost}
        fresh = {key: replace(held[key], proven_at=self.now) for key in sound}
        read = frozenset((self.read | fresh.keys()) - lost)
        return _Survey(held | fresh, read, tuple(sorted({*self.damaged, *damaged})), self.now)


@dataclass(frozen=True, slots=True)
class ReadCycle:
    """Reads all of one repository within a cycle, a part in each run. A run takes place at least once in
    `every`."""

    repository: Repository
    cycle: timedelta
    clock: Clock
    every: timedelta = DAY

    def due(self, now: datetime | None = None) -> list[LastSeen]:
        """What to read now, oldest first. Only listings and the ledger are read for this."""
        survey = self._survey()
        return due(survey.held.values(), now or survey.now, self.cycle, self.every)

    def status(self) -> ReadStatus:
        return self._status(self._survey())

    def run(self, progress: Progress, *, budget: int | None = None) -> CycleRun:
        """Read what is due, at most `budget` bytes but at least one pack. Raises StoreError. Progress is recorded
        continually: if an interrupted run is repeated, it continues where it ended."""
        survey = self._survey()
        packs = _within(due(survey.held.values(), survey.now, self.cycle, self.every), budget)
        progress.expect(size=sum(held.size for held in packs))
        record = partial(record_reads, self.repository.objects, at=survey.now)
        reading = read_packs(self.repository, [PackKey(held.key) for held in packs], progress, record)
        with reading.unrecorded.noting():
            compact_reads(self.repository.objects, survey.now, self.repository.points.ids)
        return CycleRun(reading, self._status(survey.after(reading.sound, reading.gone, reading.damaged)))

    def _survey(self) -> _Survey:
        # The ledger first: what is read in between only makes it older than it is.
        reads = load_reads(self.repository.objects)
        damaged = self.repository.marks.damaged()
        listed = self.repository.objects.packs()
        held = {}
        for key, found in listed.items():
            if key not in damaged:
                read_at = reads.last.get(key.id, found.modified)
                held[key] = LastSeen(key, found.size, max(found.modified, read_at))
        return _Survey(
            held,
            frozenset(key for key in held if key.id in reads.last),
            tuple(sorted(key for key in listed if key in damaged)),
            self._now(held.values()),
        )

    def _now(self, held: Iterable[LastSeen]) -> datetime:
        """Not before anything that the store dates: a clock that is behind hides no age."""
        return max([self.clock.now().astimezone(UTC), *(each.proven_at for each in held)])

    def _status(self, survey: _Survey) -> ReadStatus:
        held, now = survey.held, survey.now
        young = [key for key in survey.read if now - held[key].proven_at <= self.cycle]
        oldest = min((each.proven_at for each in held.values()), default=now)
        return ReadStatus(
            packs=len(held) + len(survey.damaged),
            size=sum(each.size for each in held.values()),
            size_read=sum(held[key].size for key in young),
            size_never=sum(each.size for key, each in held.items() if key not in survey.read),
            size_due=sum(each.size for each in due(held.values(), now, self.cycle, self.every)),
            oldest_s=(now - oldest).total_seconds(),
            cycle_s=self.cycle.total_seconds(),
            damaged=survey.damaged,
        )


def _within(packs: list[LastSeen], budget: int | None) -> list[LastSeen]:
    if budget is None:
        return packs
    ends = accumulate(held.size for held in packs)
    fitting = sum(1 for _ in takewhile(lambda end: end <= budget, ends))
    return packs[: max(1, fitting)]
