"""The state of a repository: whether it answers, is the right one, has room, and is read again in time."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from backup_platform.actions.verify.read_cycle import CYCLE, ReadCycle
from backup_platform.advice import command
from backup_platform.domain.ports import Clock
from backup_platform.domain.status.values import RepositoryStatus
from backup_platform.domain.status.words import RepositoryFinding, RepositoryState
from backup_platform.domain.words import DAY_S, are, days, how_many, size
from backup_platform.errors import (
    BackupError,
    KeyMissingError,
    RepositoryChangedError,
    RepositoryMissingError,
)
from backup_platform.repository.repository import Repository

READING = "\nreading"  # the name of its note; no source is called so
COUNTED_AGAIN_AFTER = timedelta(days=1)  # a listing of all packs


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
    stored, oldest = _oldest_byte(repository, planned.cycle or CYCLE, clock)
    findings = tuple(_found(planned, repository, oldest))
    status = replace(status, findings=findings, stored=stored, oldest_unread_s=oldest if stored else None)
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


def _oldest_byte(repository: Repository, cycle: timedelta, clock: Clock) -> tuple[int, float]:
    """The bytes of all packs, and the age of the byte that was not read for longest. Counted once a day: in between the
    age only grows."""
    now, noted = clock.now(), repository.notes.read(READING)
    with suppress(KeyError, TypeError, ValueError):
        at, oldest = (datetime.fromisoformat(noted[name]) for name in ("at", "oldest"))
        if timedelta(0) <= now - at < COUNTED_AGAIN_AFTER:
            return int(noted["size"]), (now - oldest).total_seconds()
    found = ReadCycle(repository, cycle, clock).status()
    oldest = now - timedelta(seconds=found.oldest_s)
    repository.notes.write(READING, {"at": now.isoformat(), "oldest": oldest.isoformat(), "size": found.size})
    return found.size, found.oldest_s
