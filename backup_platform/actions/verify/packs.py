"""Reading stored packs again. Each is compared with the hash that is its name, and decoded if a key opens it."""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice

from backup_platform.domain.ports import Buffer, Progress
from backup_platform.errors import DamageError, KeyMissingError, NotFoundError
from backup_platform.repository.objects.names import PackKey
from backup_platform.repository.packs.blob_writer import worker_count
from backup_platform.repository.packs.index import index_pack
from backup_platform.repository.packs.known import table_of
from backup_platform.repository.packs.packs import check_pack
from backup_platform.repository.records.proofs import Unrecorded
from backup_platform.repository.repository import Repository

SLICE = 64  # packs between two records of progress: about 1 GiB


@dataclass(slots=True)
class PacksRead:
    """Packs by result. `sound` ones have the hash of their rows (`table_of`) if a key on this host opens them.
    `not_decoded` ones among them were only compared with the hash that is their name. `damaged` and `gone` (since they
    were listed) say why."""

    sound: dict[PackKey, str] = field(default_factory=dict)
    damaged: dict[PackKey, str] = field(default_factory=dict)
    gone: dict[PackKey, str] = field(default_factory=dict)
    not_decoded: int = 0
    size: int = 0
    unrecorded: Unrecorded = field(default_factory=Unrecorded)

    @property
    def packs(self) -> int:
        """How many were read."""
        return len(self.sound) + len(self.damaged)

    def joined(self, other: PacksRead) -> PacksRead:
        return PacksRead(
            {**self.sound, **other.sound},
            {**self.damaged, **other.damaged},
            {**self.gone, **other.gone},
            self.not_decoded + other.not_decoded,
            self.size + other.size,
            Unrecorded(self.unrecorded.error or other.unrecorded.error),
        )


def read_packs(
    repository: Repository,
    packs: Sequence[PackKey],
    progress: Progress,
    after: Callable[[Mapping[PackKey, str]], None] = lambda sound: None,
) -> PacksRead:
    """Read packs, mark damaged ones, and remove marks from sound ones. Raises StoreError. If the store refuses a mark,
    the result says so. `after` is called with the sound ones after every few packs, so that the work of an interrupted
    reading is not lost."""
    reading, known = PacksRead(), repository.marks.damaged()
    with ThreadPoolExecutor(worker_count()) as pool:
        for start in range(0, len(packs), SLICE):
            first = len(reading.sound)
            for one in pool.map(lambda key: examine(repository, key, progress), packs[start : start + SLICE]):
                _note(repository, one, reading, known)
            with reading.unrecorded.noting():
                after(dict(islice(reading.sound.items(), first, None)))
    return reading


@dataclass(frozen=True, slots=True)
class PackVerdict:
    """A pack that was read: `damage` says what is wrong, and whether it is `gone`; `table` is the hash of its rows if a
    key opened it."""

    key: PackKey
    size: int = 0
    damage: str = ""
    gone: bool = False
    table: str = ""

    @property
    def decoded(self) -> bool:
        return bool(self.table)


def examine(repository: Repository, key: PackKey, progress: Progress) -> PackVerdict:
    """Read one pack; nothing is recorded. Raises StoreError."""
    try:
        data = repository.objects.verified(key)
        table = decode(repository, key, data)
    except DamageError as error:
        return PackVerdict(key, damage=error.message, gone=not _stored(repository, key))
    progress.advance(size=len(data))
    return PackVerdict(key, len(data), table=table)


def _stored(repository: Repository, key: PackKey) -> bool:
    try:
        repository.store.head(key)
    except NotFoundError:
        return False
    return True


def decode(repository: Repository, key: PackKey, stored: Buffer) -> str:
    """The hash of a pack's rows; empty when no key on this host opens it. Raises DamageError."""
    try:
        plain = repository.cipher.unwrap(key, stored)
    except KeyMissingError:
        return ""
    frames = check_pack(plain, repository.cipher.hash)
    return table_of(index_pack(key, frames).rows, repository.cipher.hash)


def _note(repository: Repository, one: PackVerdict, reading: PacksRead, known: Container[str]) -> None:
    if one.gone:
        reading.gone[one.key] = one.damage
    elif one.damage:
        with reading.unrecorded.noting():
            repository.marks.mark(one.key, one.damage)
        reading.damaged[one.key] = one.damage
    else:
        if one.key in known and one.decoded:
            with reading.unrecorded.noting():
                repository.marks.unmark(one.key)
        reading.sound[one.key] = one.table
        reading.size += one.size
        reading.not_decoded += not one.decoded
