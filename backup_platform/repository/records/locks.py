"""Until when what a source's points need is retained by the store: records of the ledger (FORMAT.md §8)."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from backup_platform.domain.model import Json
from backup_platform.errors import DamageError
from backup_platform.repository.objects.documents import moment, read_document, write_document
from backup_platform.repository.objects.names import LOCKS, source_tag
from backup_platform.repository.objects.record_names import TIME, Origin

if TYPE_CHECKING:
    from backup_platform.repository.repository import Repository


@dataclass(frozen=True, slots=True)
class LockRecord:
    """Objects with these keys are retained until then, or longer. `lock` is what the plan said."""

    until: datetime
    lock: timedelta
    keys: frozenset[str]


def write_locks(repository: Repository, source: str, record: LockRecord, now: datetime) -> None:
    """Raises StoreError."""
    name = f"{now.astimezone(UTC).strftime(TIME)}-{secrets.token_hex(4)}"
    keys: list[Json] = [*sorted(record.keys)]
    document: dict[str, Json] = {
        "at": now.isoformat(),
        "keys": keys,
        "lock_s": record.lock.total_seconds(),
        "source": source,
        "until": record.until.isoformat(),
    }
    write_document(repository, repository.names.name(f"{_prefix(repository, source)}{name}"), document)


def newest_locks(repository: Repository, source: str) -> LockRecord | None:
    """None without a record that can be read: then everything is to be retained anew."""
    for record in reversed(repository.records(_prefix(repository, source))):
        if record.origin is Origin.FORGED:
            continue
        try:
            return _read(repository, record.key, source)
        except DamageError:
            continue
    return None


def _read(repository: Repository, key: str, source: str) -> LockRecord:
    document = read_document(repository, key, {"source": source})
    try:
        keys = frozenset(map(str, document["keys"]))
        lock = timedelta(seconds=float(document["lock_s"]))
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise DamageError(
            f"The object {key} lacks a field or has one of another kind: {error}.", subject=key
        ) from error
    return LockRecord(moment(key, document, "until"), lock, keys)


def _prefix(repository: Repository, source: str) -> str:
    return f"{LOCKS}{source_tag(source, repository.cipher.hash)}/"
