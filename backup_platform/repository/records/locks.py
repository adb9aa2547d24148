"""Until when what a source's points need is retained by the store: records of the ledger (FORMAT.md §8)."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from backup_platform.domain.limits import LOCKED_KEYS
from backup_platform.domain.model import Json
from backup_platform.errors import DamageError
from backup_platform.repository.objects.documents import Fields
from backup_platform.repository.objects.names import LOCKS, source_tag
from backup_platform.repository.objects.objects import Objects
from backup_platform.repository.objects.record_names import TIME, Origin


@dataclass(frozen=True, slots=True)
class LockRecord:
    """Objects with these keys are retained until then, or longer. `lock` is what the plan said."""

    until: datetime
    lock: timedelta
    keys: frozenset[str]


def write_locks(objects: Objects, source: str, record: LockRecord, now: datetime) -> None:
    """Record the retention of these objects. If there are too many for one document, the others are extended again the
    next time. Raises StoreError."""
    name = f"{now.astimezone(UTC).strftime(TIME)}-{secrets.token_hex(4)}"
    keys: list[Json] = [*sorted(record.keys)[:LOCKED_KEYS]]
    document: dict[str, Json] = {
        "at": now.isoformat(),
        "keys": keys,
        "lock_s": record.lock.total_seconds(),
        "source": source,
        "until": record.until.isoformat(),
    }
    objects.write_document(objects.names.name(f"{_prefix(objects, source)}{name}"), document)


def newest_locks(objects: Objects, source: str) -> LockRecord | None:
    """The newest record that can be read. If it is None, everything must be retained again."""
    for record in reversed(objects.records(_prefix(objects, source))):
        if record.origin is Origin.FORGED:
            continue
        try:
            return _read(objects, record.key, source)
        except DamageError:
            continue
    return None


def _read(objects: Objects, key: str, source: str) -> LockRecord:
    def record(said: Fields) -> LockRecord:
        lock = timedelta(seconds=float(said.values["lock_s"]))
        return LockRecord(said.instant("until"), lock, frozenset(map(str, said.values["keys"])))

    return objects.read_document(key, {"source": source}).decoded(record)


def _prefix(objects: Objects, source: str) -> str:
    return f"{LOCKS}{source_tag(source, objects.cipher.hash)}/"
