"""Names of the ledger's records. They end in a keyed hash of their content (FORMAT.md §8). So a listing shows which of
them were made by a holder of the repository's key."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from hmac import compare_digest
from typing import NamedTuple

from blake3 import blake3

from backup_platform.domain.limits import MAX_LEDGER_NAME
from backup_platform.domain.ports import Cipher, StoredObject
from backup_platform.domain.trust.latest import SKEW
from backup_platform.repository.objects.names import (
    ACCEPTED,
    CLAIMS,
    DAMAGED,
    FORGOTTEN,
    INDEXES,
    KEY_TESTS,
    LOCKS,
    PROOFS,
    READS,
)

DIGITS = 32  # of the hash, in hex: 128 bits
TIME = "%Y%m%dT%H%M%S.%fZ"
NAME_HASH = rf"(?:-[0-9a-f]{{{DIGITS}}})?"  # after what a name says
_HASHED = re.compile(rf"(?P<says>.+)-(?P<hash>[0-9a-f]{{{DIGITS}}})")
_TIMED = re.compile(r".*/(?P<at>[0-9]{8}T[0-9]{6}\.[0-9]{6}Z)-[^/]*")


_ID, _AT, _ANY = "[0-9a-f]{64}", r"[0-9]{8}T[0-9]{6}\.[0-9]{6}Z", "[0-9a-f]{8}"
_KINDS = {
    PROOFS: f"{_ID}/{_AT}-(?:verify|drill)-(?:passed|failed)-{_ANY}",
    DAMAGED: f"(?:packs|meta|indexes|claims)/{_ID}",
    KEY_TESTS: f"{_ID}/{_AT}-(?:passed|failed)-{_ANY}",
    ACCEPTED: f"{_ID}/[0-9a-f]{{16}}",
    FORGOTTEN: f"[0-9a-f]{{32}}/[0-9]{{10}}-(?:{_ID}|lost)",
    READS: f"{_AT}-{_ANY}",
    LOCKS: f"[0-9a-f]{{32}}/{_AT}-{_ANY}",
}
_KIND = re.compile("|".join(f"({prefix}){rest}" for prefix, rest in _KINDS.items()))


class Origin(StrEnum):
    """What the name of a record shows about its origin."""

    GENUINE = "genuine"
    OLDER = "older"  # it has no hash: an older version wrote it, or who has no key
    FORGED = "forged"  # its hash is not that of what it says, where it stands
    AHEAD = "ahead"  # genuine, but its time is after the one at which the store received it


class Record(NamedTuple):
    """An object of the ledger. `says` is its name without the hash."""

    key: str
    says: str
    origin: Origin
    stored_at: datetime

    @property
    def counts(self) -> bool:
        """Whether it is evidence by its name alone."""
        return self.origin is Origin.GENUINE


def name_key(secret: bytes, repository: str) -> bytes:
    """The key of the hashes in names. Without a secret everybody can compute it."""
    return blake3(secret + repository.encode(), derive_key_context="backup_platform 1 ledger names").digest()


def is_mark(record: Record) -> bool:
    """Whether a damage mark counts."""
    return record.counts or (record.origin is Origin.OLDER and counts_unread(record.says))


def counts_unread(says: str) -> bool:
    """Whether this is a damage mark that counts without a hash, whatever its body says: that of a pack."""
    return kind_of(says) == DAMAGED and not says.startswith((f"{DAMAGED}{INDEXES}", CLAIMS))


@dataclass(frozen=True, slots=True)
class RecordNames:
    """Makes and judges names. Where nothing is `secret`, a name without a hash is as good as one with it."""

    _key: bytes = field(repr=False)
    secret: bool

    @classmethod
    def of(cls, cipher: Cipher, repository: str) -> RecordNames:
        return cls(name_key(cipher.secret, repository), bool(cipher.secret))

    def name(self, says: str) -> str:
        """The key of a record that says this, with the folder that it stands in."""
        return f"{says}-{self._hash(says)}"

    def _hash(self, says: str) -> str:
        return blake3(says.encode(), key=self._key).hexdigest(DIGITS // 2)

    def judged(self, found: StoredObject) -> Record:
        match = _HASHED.fullmatch(found.key) if len(found.key) <= MAX_LEDGER_NAME else None
        says = match["says"] if match else found.key
        if len(found.key) > MAX_LEDGER_NAME or (
            match and not compare_digest(self._hash(says), match["hash"])
        ):
            origin = Origin.FORGED
        elif not match and self.secret:
            origin = Origin.OLDER
        else:
            origin = _in_time(says, found.modified)
        return Record(found.key, says, origin, found.modified)

    def all(self, listed: Iterable[StoredObject]) -> Iterator[Record]:
        return map(self.judged, listed)


def kind_of(says: str) -> str:
    """The prefix of a record's kind, from its name without the hash. Empty if it is not a record."""
    match = _KIND.fullmatch(says)
    return match[match.lastindex] if match and match.lastindex else ""


def moment_of(says: str) -> datetime | None:
    """The time that a name begins with; None where it tells none."""
    match = _TIMED.fullmatch(says)
    try:
        return datetime.fromisoformat(match["at"]) if match else None
    except ValueError:
        return None


def _in_time(says: str, stored_at: datetime) -> Origin:
    at = moment_of(says)
    return Origin.AHEAD if at is not None and at > stored_at + SKEW else Origin.GENUINE
