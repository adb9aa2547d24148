"""When packs were last read and found to be right: what the rotation of reading needs of the ledger (FORMAT.md §8)."""

from __future__ import annotations

import secrets
from collections import defaultdict
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from backup_platform.domain.model import Json
from backup_platform.domain.ports import Buffer
from backup_platform.errors import ConflictError, DamageError, StoreRefusedError
from backup_platform.repository.objects.canonical import sign, unsign
from backup_platform.repository.objects.documents import instant
from backup_platform.repository.objects.names import READS, Hash, ObjectId, PackKey, digest
from backup_platform.repository.objects.record_names import TIME, Origin, Record
from backup_platform.repository.packs.known import TABLE

if TYPE_CHECKING:
    from backup_platform.repository.repository import Repository

COMPACTED_ABOVE = 8
READERS = 8


@dataclass(slots=True)
class Reads:
    """When each pack was last read, by its id, and the objects that say so.

    `tables` has the hash of their rows (`table_of`) for packs that were decoded as well, `points` the points of which
    every pack was.
    """

    last: dict[ObjectId, datetime] = field(default_factory=dict)
    objects: tuple[str, ...] = ()
    tables: dict[ObjectId, str] = field(default_factory=dict)
    points: set[str] = field(default_factory=set)

    def learn(self, other: Reads, until: datetime) -> None:
        """Nothing was read after `until`, when the store got the word of it, whatever the reader's clock said."""
        for pack, at in other.last.items():
            at = min(at, until)
            self.last[pack] = max(at, self.last.get(pack, at))
        self.tables |= other.tables
        self.points |= other.points


def encode_reads(reads: Reads, repository: str, hashed: Hash = digest) -> bytes:
    """The plain bytes of an object that says when packs were read, to the second."""
    groups: dict[tuple[str, bool], list[ObjectId]] = defaultdict(list)
    for pack, at in reads.last.items():
        time = at.astimezone(UTC).replace(microsecond=0).isoformat()
        groups[time, pack in reads.tables].append(pack)
    texts: list[Json] = [
        _group(at, sorted(groups[at, decoded]), decoded, reads) for at, decoded in sorted(groups)
    ]
    points: dict[str, Json] = {"points": "".join(sorted(reads.points))} if reads.points else {}
    return sign({**points, "reads": texts, "repository": repository}, hashed)[1]


def _group(at: str, packs: list[ObjectId], decoded: bool, reads: Reads) -> Json:
    tables: dict[str, Json] = {"tables": "".join(reads.tables[pack] for pack in packs)} if decoded else {}
    return {"at": at, "packs": "".join(packs), **tables}


def decode_reads(key: str, data: Buffer, repository: str, hashed: Hash = digest) -> Reads:
    """Raises DamageError."""
    _, document = unsign(key, data, hashed)
    if document.get("repository") != repository:
        raise DamageError(f"The object {key} belongs to another repository.", subject=key)
    result = Reads()
    groups: Any = document.get("reads")
    points: Any = document.get("points", "")
    try:
        for group in groups:
            at, packs = instant(group["at"]).astimezone(UTC), ObjectId.all_of(group["packs"])
            result.learn(Reads(dict.fromkeys(packs, at)), at)
            result.tables.update(zip(packs, _cut(group.get("tables", "")), strict=False))
        result.points.update(ObjectId.all_of(points))
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise DamageError(
            f"The object {key} lacks a field or has one of another kind: {error}.", subject=key
        ) from error
    return result


def _cut(tables: str) -> list[str]:
    length = 2 * TABLE
    return [tables[start : start + length] for start in range(0, len(tables) - length + 1, length)]


def load_reads(repository: Repository) -> Reads:
    """What the ledger says. An object that cannot be read says nothing: its packs are read again the sooner."""
    found = [each for each in repository.records(READS) if each.origin is not Origin.FORGED]
    with ThreadPoolExecutor(READERS) as pool:
        texts = list(pool.map(lambda each: _load(repository, each), found))
    result = Reads()
    for each, reads in zip(found, texts, strict=True):
        if reads is not None:
            result.learn(reads, each.stored_at)
            result.objects = (*result.objects, each.key)
    return result


def _load(repository: Repository, found: Record) -> Reads | None:
    try:
        data = repository.plain(found.key)
        return decode_reads(found.key, data, repository.info.id, repository.cipher.hash)
    except DamageError:
        return None


def record_reads(
    repository: Repository, read: Mapping[PackKey, str], at: datetime, points: Iterable[str] = ()
) -> None:
    """That these packs were read now and are right, by key: the hash of their rows where they were decoded, else
    nothing. `points` are those of which every pack was decoded, now or before."""
    tables = {key.id: table for key, table in read.items() if table}
    _write(repository, Reads({key.id: at for key in read}, (), tables, set(points)), at)


def _write(repository: Repository, reads: Reads, at: datetime) -> None:
    if reads.last or reads.points:
        says = f"{READS}{at.astimezone(UTC).strftime(TIME)}-{secrets.token_hex(4)}"
        key = repository.names.name(says)
        data = encode_reads(reads, repository.info.id, repository.cipher.hash)
        with suppress(ConflictError):  # the name is our own: the store took it, and its answer was lost
            repository.store.create(key, repository.cipher.wrap(key, data).stored)


def compact_reads(repository: Repository, at: datetime) -> bool:
    """Put many such objects into one, without packs that are gone; whether that was done.

    Safe beside others who record or compact: what they write stays. Not done where nothing may be deleted.
    """
    reads = load_reads(repository)
    if len(reads.objects) <= COMPACTED_ABOVE or not _may_delete(repository):
        return False
    stored = {key.id for key in repository.stored_packs()}
    last = {pack: time for pack, time in reads.last.items() if pack in stored}
    points = {found.id for found in repository.readable_manifests()[0]} if reads.points else set()
    _write(repository, Reads(last, (), reads.tables, reads.points & points), at)
    with suppress(StoreRefusedError):  # under Object Lock
        for key in reads.objects:
            repository.store.delete(key)
    return True


def _may_delete(repository: Repository) -> bool:
    try:
        repository.store.delete(f"{READS}none")
    except StoreRefusedError:
        return False
    return True
