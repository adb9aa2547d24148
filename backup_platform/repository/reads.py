"""When packs were last read and found to be right: what the rotation of reading needs of the ledger (FORMAT.md §8)."""

from __future__ import annotations

import secrets
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from backup_platform.domain.model import Json
from backup_platform.domain.ports import Buffer, StoredObject
from backup_platform.errors import ConflictError, DamageError, StoreRefusedError
from backup_platform.repository.format import META, PACKS, READS, Hash, digest, sign, unsign
from backup_platform.repository.ledger import TIME

if TYPE_CHECKING:
    from backup_platform.repository.repository import Repository

ID = 64  # hex digits of a pack's id
COMPACTED_ABOVE = 8
READERS = 8


@dataclass(frozen=True, slots=True)
class Reads:
    """When each pack was last read, by the hex digits of its id, and the objects that say so."""

    last: Mapping[str, datetime] = field(default_factory=dict)
    objects: tuple[str, ...] = ()


def encode_reads(last: Mapping[str, datetime], repository: str, hashed: Hash = digest) -> bytes:
    """The plain bytes of an object that says when packs were read, to the second."""
    groups: dict[str, list[str]] = defaultdict(list)
    for pack, at in last.items():
        groups[at.astimezone(UTC).replace(microsecond=0).isoformat()].append(pack)
    reads: list[Json] = [{"at": at, "packs": "".join(sorted(groups[at]))} for at in sorted(groups)]
    return sign({"reads": reads, "repository": repository}, hashed)[1]


def decode_reads(key: str, data: Buffer, repository: str, hashed: Hash = digest) -> dict[str, datetime]:
    """Raises DamageError."""
    _, document = unsign(key, data, hashed)
    if document.get("repository") != repository:
        raise DamageError(f"The object {key} belongs to another repository.")
    last: dict[str, datetime] = {}
    reads: Any = document.get("reads")
    try:
        for group in reads:
            at, packs = datetime.fromisoformat(group["at"]).astimezone(UTC), group["packs"]
            for start in range(0, len(packs) - ID + 1, ID):
                pack = packs[start : start + ID]
                last[pack] = max(at, last.get(pack, at))
    except (KeyError, TypeError, ValueError) as error:
        raise DamageError(f"The object {key} lacks a field or has one of another kind: {error}.") from error
    return last


def load_reads(repository: Repository) -> Reads:
    """What the ledger says. An object that cannot be read says nothing: its packs are read again the sooner."""
    found = sorted(repository.store.list(READS), key=lambda each: each.key)
    with ThreadPoolExecutor(READERS) as pool:
        texts = list(pool.map(lambda each: _load(repository, each), found))
    last: dict[str, datetime] = {}
    for text in texts:
        for pack, at in (text or {}).items():
            last[pack] = max(at, last.get(pack, at))
    return Reads(last, tuple(each.key for each, text in zip(found, texts, strict=True) if text is not None))


def _load(repository: Repository, found: StoredObject) -> dict[str, datetime] | None:
    try:
        data = repository.plain(found.key)
        last = decode_reads(found.key, data, repository.info.id, repository.cipher.hash)
    except DamageError:
        return None
    # Nothing was read after the store got the word of it, whatever the reader's clock said.
    return {pack: min(at, found.modified) for pack, at in last.items()}


def record_reads(repository: Repository, keys: Iterable[str], at: datetime) -> None:
    """That these packs were read now and are right."""
    _write(repository, {key[-ID:]: at for key in keys}, at)


def _write(repository: Repository, last: Mapping[str, datetime], at: datetime) -> None:
    if last:
        key = f"{READS}{at.astimezone(UTC).strftime(TIME)}-{secrets.token_hex(4)}"
        data = encode_reads(last, repository.info.id, repository.cipher.hash)
        with suppress(ConflictError):  # the name is our own: the store took it, and its answer was lost
            repository.store.create(key, repository.cipher.wrap(key, data).stored)


def compact_reads(repository: Repository, at: datetime) -> bool:
    """Put many such objects into one, without packs that are gone; whether that was done.

    Safe beside others who record or compact: what they write stays. Not done where nothing may be deleted.
    """
    reads = load_reads(repository)
    if len(reads.objects) <= COMPACTED_ABOVE or not _may_delete(repository):
        return False
    stored = {found.key[-ID:] for found in stored_packs(repository)}
    _write(repository, {pack: time for pack, time in reads.last.items() if pack in stored}, at)
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


def stored_packs(repository: Repository) -> Iterator[StoredObject]:
    for prefix in (PACKS, META):
        yield from repository.store.list(prefix)
