"""Everything that later recovery points need stays locked: retentions of shared, older objects are extended
(docs/stores.md)."""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, datetime, timedelta

from backup_platform.domain.ports import Clock, ObjectLock
from backup_platform.errors import NotFoundError
from backup_platform.repository.objects.names import INDEXES, KEYS, META, PACKS, ROOT_KEY
from backup_platform.repository.records.locks import LockRecord, newest_locks, write_locks
from backup_platform.repository.repository import Repository


def retained_until(now: datetime, lock: timedelta) -> datetime:
    """The midnight (UTC) after `lock` from now, as for objects that are written now."""
    day = (now + lock + timedelta(days=1)).astimezone(UTC)
    return day.replace(hour=0, minute=0, second=0, microsecond=0)


class ObjectLocks:
    """The locks of one repository.

    Every object that a new point needs stays locked for at least half of `lock`. When only half is left, everything
    that the source's newest point needs is extended and recorded, with the indexes, the keys and `repository.json`. In
    between, only older objects that the record does not name are extended.
    """

    def __init__(self, repository: Repository, locks: ObjectLock, clock: Clock) -> None:
        self._repository, self._locks, self._clock = repository, locks, clock

    def keep(self, source: str, packs: Collection[str]) -> int:
        """Extend the retention of everything that a point of a source needs, after its commit. Returns for how many
        objects. Raises StoreError: the point exists, and another call continues."""
        now, lock = self._clock.now(), self._locks.lock
        horizon = now + lock / 2
        record = newest_locks(self._repository.objects, source)
        if record is None or record.lock != lock or record.until < horizon:
            until, known = retained_until(now, lock), frozenset[str]()
            due = {*packs, *self._always()}
        else:
            until, known = record.until, record.keys
            due = self._short(set(packs) - known, horizon)
        if due:
            due = self._retain(due, packs, until)
            write_locks(self._repository.objects, source, LockRecord(until, lock, known | due), now)
        return len(due)

    def _retain(self, due: set[str], packs: Collection[str], until: datetime) -> set[str]:
        """What was prolonged. An index may be gone since it was listed, because prune merged it with others."""
        try:
            self._locks.retain(sorted(due), until)
        except NotFoundError:
            due = due & {*packs, *self._always()}
            self._locks.retain(sorted(due), until)
        return due

    def _always(self) -> set[str]:
        """What every point needs."""
        store = self._repository.store
        return {ROOT_KEY, *(found.key for prefix in (INDEXES, KEYS) for found in store.list(prefix))}

    def _short(self, keys: set[str], horizon: datetime) -> set[str]:
        """The packs whose retention, as of the time when they were written, ends too early."""
        if not keys:
            return keys
        store, lock = self._repository.store, self._locks.lock
        listed = (found for prefix in (PACKS, META) for found in store.list(prefix))
        return {found.key for found in listed if found.key in keys and found.modified + lock < horizon}
