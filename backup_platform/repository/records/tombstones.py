"""Tombstones: which packs prune is about to delete, and how a writer notices it (FORMAT.md §10)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta

from backup_platform.domain.model import Json
from backup_platform.domain.ports import Buffer, Clock, StoredObject
from backup_platform.errors import ConflictError, DamageError, NotFoundError, RepositoryError
from backup_platform.repository.objects.canonical import canonical, parse
from backup_platform.repository.objects.names import TOMBSTONES, ObjectId, PackKey, digest
from backup_platform.repository.objects.objects import Objects

FINAL = ".final"
MOST_PACKS = 10_000
# A final tombstone is kept for an hour at least. Between two looks that are closer than this, none can come and go.
CLOSE = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class Tombstone:
    """Keys of the packs that it names; `modified` is the store's clock."""

    key: str
    packs: frozenset[PackKey]
    modified: datetime

    @property
    def final(self) -> bool:
        return self.key.endswith(FINAL)


@dataclass(frozen=True, slots=True)
class Tombstones:
    """The tombstones of a repository. Unreadable ones are altered: which packs they name is unknown."""

    readable: tuple[Tombstone, ...] = ()
    unreadable: tuple[StoredObject, ...] = ()

    @property
    def condemned(self) -> frozenset[PackKey]:
        """Keys of packs that any tombstone names."""
        return frozenset[PackKey]().union(*(each.packs for each in self.readable))

    @property
    def doomed(self) -> frozenset[PackKey]:
        """Keys of packs that a final tombstone names."""
        return frozenset[PackKey]().union(*(each.packs for each in self.readable if each.final))

    @property
    def unreadable_finals(self) -> list[StoredObject]:
        return [each for each in self.unreadable if each.key.endswith(FINAL)]

    def require_finals(self) -> None:
        """Raises DamageError while a final tombstone cannot be read: the packs that it names may vanish."""
        for each in self.unreadable_finals:
            raise DamageError(
                f"The final tombstone {each.key} is altered, so it is not known which packs are being deleted.",
                hint="A prune removes it when it is a day old. When no prune is running, it may be deleted by hand.",
            )


def read_tombstones(objects: Objects, *, final: bool = False) -> Tombstones:
    """All of them, or the final ones."""
    readable, unreadable = [], []
    for found in objects.store.list(TOMBSTONES):
        if final and not found.key.endswith(FINAL):
            continue
        try:
            packs = _packs(found.key, objects.store.get(found.key))
        except NotFoundError:
            continue  # a prune was done with it
        except DamageError:
            unreadable.append(found)
            continue
        readable.append(Tombstone(found.key, packs, found.modified))
    return Tombstones(tuple(sorted(readable, key=lambda t: t.key)), tuple(unreadable))


def doomed_packs(objects: Objects) -> frozenset[PackKey]:
    """Keys of packs that are being deleted. Raises DamageError if that is unknown."""
    tombstones = read_tombstones(objects, final=True)
    tombstones.require_finals()
    return tombstones.doomed


def _key(data: Buffer, *, final: bool) -> str:
    return f"{TOMBSTONES}{ObjectId.of(digest(data))}{FINAL if final else ''}"


def _packs(key: str, data: Buffer) -> frozenset[PackKey]:
    if key != _key(data, final=key.endswith(FINAL)):
        raise DamageError(f"The tombstone {key} is altered.", subject=key)
    packs = parse(key, bytes(data)).get("packs")
    if not isinstance(packs, list) or len(packs) > MOST_PACKS or not all(isinstance(p, str) for p in packs):
        raise DamageError(f"The object {key} is not a tombstone.", subject=key)
    return frozenset(name for each in packs if (name := PackKey.match(each)))


def write_tombstones(objects: Objects, packs: Iterable[PackKey], *, final: bool = False) -> list[str]:
    """Store tombstones of some packs, and read them back; their keys. Raises DamageError, StoreError."""
    names, keys = sorted(packs), []
    for first in range(0, len(names), MOST_PACKS):
        data = canonical({"packs": list[Json](names[first : first + MOST_PACKS])})
        key = _key(data, final=final)
        _store(objects, key, data)
        keys.append(key)
    return keys


def _store(objects: Objects, key: str, data: bytes) -> None:
    """An altered final one would stop backups for a day: it is written again at once."""
    store = objects.store
    with suppress(ConflictError):  # another prune says the same, or it is altered
        store.create(key, data)
    if not _holds(objects, key, data):
        store.replace(key, data)
    if not _holds(objects, key, data):
        raise DamageError(
            f"The tombstone {key} reads back different from what was written.", subject=key, retryable=True
        )


def _holds(objects: Objects, key: str, data: bytes) -> bool:
    try:
        return bytes(objects.store.get(key)) == data
    except NotFoundError as error:
        raise DamageError(
            f"The tombstone {key} is gone after it was written: another prune may be at work.",
            subject=key,
            retryable=True,
        ) from error


@dataclass(frozen=True, slots=True)
class Look:
    """When somebody looked, by the clocks of this host."""

    clock: Clock
    instant: datetime
    moment: float

    @classmethod
    def now(cls, clock: Clock) -> Look:
        return cls(clock, clock.now(), clock.monotonic())

    @property
    def recent(self) -> bool:
        """Whether it was recently, and not in the future, by every clock. A host that was suspended, or whose clock was
        set back, cannot rely on one clock."""
        passed = self.clock.now() - self.instant
        return (
            timedelta() <= passed <= CLOSE and self.clock.monotonic() - self.moment <= CLOSE.total_seconds()
        )


class PackWatch:
    """Sees whether packs that a recovery point needs are being deleted, before its commit and after (FORMAT.md §7)."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects
        self._packs: Sequence[PackKey] = ()
        self._looked = Look.now(objects.clock)

    def before_commit(self, packs: Iterable[PackKey]) -> None:
        """Raises a retryable RepositoryError when one is being deleted or not listed."""
        self._looked = Look.now(self._objects.clock)
        self._packs = sorted(packs)
        self._look(listed=True)

    def after_commit(self) -> None:
        """Check the same packs again. Raises if the committed point may lack one of them."""
        self._look(listed=not self._looked.recent)

    def _look(self, *, listed: bool) -> None:
        # Tombstones first: prune deletes the packs, and then the tombstone.
        doomed = doomed_packs(self._objects)
        there = self._objects.packs() if listed else None
        for key in self._packs:
            if key in doomed or (there is not None and key not in there):
                raise refusal(key, "is being deleted or lost")


def refusal(key: PackKey, state: str) -> RepositoryError:
    return RepositoryError(
        f"The pack {key}, which this recovery point needs, {state}.",
        hint="Run the backup again: it stores what is missing.",
        retryable=True,
    )
