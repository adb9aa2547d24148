"""The state of a repository: whether it answers, is the right one, has room, and is read again in time."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from backup_platform.actions.verify.read_cycle import CYCLE, ReadCycle
from backup_platform.advice import command
from backup_platform.domain.model import Json
from backup_platform.domain.ports import Clock
from backup_platform.domain.status.trends import SizeAt, growth_per_day
from backup_platform.domain.status.values import RepositoryStatus
from backup_platform.domain.status.words import RepositoryFinding, RepositoryState
from backup_platform.domain.words import DAY_S, are, days, how_many, size
from backup_platform.errors import (
    BackupError,
    KeyMissingError,
    RepositoryChangedError,
    RepositoryMissingError,
)
from backup_platform.repository.points.notes import Notes
from backup_platform.repository.repository import Repository

READING = "\nreading"  # the name of its note; no source is called so
COUNTED_AGAIN_AFTER = timedelta(days=1)  # a listing of all packs
SIZES_KEPT = 200  # of days before, for the growth


@dataclass(frozen=True, slots=True)
class WatchedRepository:
    """A repository of the plan. `open` opens it, and asks whether it is there. `cycle` is None where the plan does not
    say within which time everything is read again."""

    name: str
    location: str
    open: Callable[[], Repository]
    cycle: timedelta | None = None


def look_at(planned: WatchedRepository, clock: Clock) -> tuple[Repository | None, RepositoryStatus]:
    """The repository, None where it cannot be used, and its state so far: `with_points` completes it."""
    status = RepositoryStatus(planned.name, planned.location)
    try:
        repository = planned.open()
        return repository, _measured(planned, repository, status, clock)
    except BackupError as error:
        finding = RepositoryFinding(_state_of(error), error.message, error.advice)
        return None, replace(status, findings=(finding,))


def _state_of(error: BackupError) -> RepositoryState:
    if isinstance(error, RepositoryChangedError):
        return RepositoryState.OTHER
    if isinstance(error, KeyMissingError):
        return RepositoryState.CLOSED
    if isinstance(error, RepositoryMissingError) and error.empty:
        return RepositoryState.EMPTY
    return RepositoryState.AWAY


def _measured(
    planned: WatchedRepository, repository: Repository, status: RepositoryStatus, clock: Clock
) -> RepositoryStatus:
    reading = _reading(repository, planned.cycle or CYCLE, clock)
    oldest = (clock.now() - reading.oldest).total_seconds()
    status = replace(
        status,
        findings=tuple(_found(planned, repository, oldest)),
        stored=reading.size,
        oldest_unread_s=oldest if reading.size else None,
        growth=growth_per_day(reading.sizes),
    )
    if "://" in planned.location:
        return status
    with suppress(OSError):
        disk = shutil.disk_usage(planned.location)
        return replace(status, free=disk.free, capacity=disk.total)
    return status


def _found(planned: WatchedRepository, repository: Repository, oldest: float) -> Iterator[RepositoryFinding]:
    if damaged := repository.marks.damaged():
        text = f"{how_many(len(damaged), 'object')} {are(len(damaged))} damaged"
        yield RepositoryFinding(RepositoryState.DAMAGED, text, ("Run ", command("repair"), "."))
    if planned.cycle and oldest > planned.cycle.total_seconds():
        text = f"the oldest unread byte is {days(oldest / DAY_S)} old, the cycle {days(planned.cycle.days)}"
        yield RepositoryFinding(
            RepositoryState.UNREAD, text, ("Run ", command("verify", "--read", "due"), ".")
        )


def with_room(status: RepositoryStatus, needed: int) -> RepositoryStatus:
    """Whether its disk has room for the next backups, which need about that many bytes."""
    if status.free is None or status.free >= needed:
        return status
    text = f"its disk has {size(status.free)} free, and the next backups need about {size(needed)}"
    advice = ("Make room, or free what no point needs: ", command("prune"), ".")
    finding = RepositoryFinding(RepositoryState.FULL, text, advice)
    return replace(status, findings=(*status.findings, finding))


@dataclass(frozen=True, slots=True)
class _Reading:
    """The bytes of all packs, since when the oldest of them was not read, and sizes of days before."""

    at: datetime
    size: int
    oldest: datetime
    sizes: tuple[SizeAt, ...] = ()


def _reading(repository: Repository, cycle: timedelta, clock: Clock) -> _Reading:
    """Counted once a day: in between the age only grows. A repository without packs is counted each time: its first
    ones should be seen."""
    now, noted = clock.now(), _noted(repository.notes)
    if noted is not None and noted.size and timedelta(0) <= now - noted.at < COUNTED_AGAIN_AFTER:
        return noted
    found = ReadCycle(repository, cycle, clock).status()
    before = tuple(each for each in noted.sizes if each.at < now)[-SIZES_KEPT:] if noted else ()
    oldest = now - timedelta(seconds=found.oldest_s)
    made = _Reading(now, found.size, oldest, (*before, SizeAt(now, found.size)))
    sizes: list[Json] = [[each.at.isoformat(), each.size] for each in made.sizes]
    document: Json = {
        "at": now.isoformat(),
        "oldest": oldest.isoformat(),
        "size": found.size,
        "sizes": sizes,
    }
    repository.notes.write(READING, document)
    return made


def _noted(notes: Notes) -> _Reading | None:
    noted = notes.read(READING)
    try:
        at, oldest = (datetime.fromisoformat(noted[name]) for name in ("at", "oldest"))
        sizes = tuple(SizeAt(datetime.fromisoformat(day), int(size)) for day, size in noted["sizes"])
        return _Reading(at, int(noted["size"]), oldest, sizes)
    except (KeyError, TypeError, ValueError):
        return None
