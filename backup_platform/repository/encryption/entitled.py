"""Which packs an identity of this host must be able to open: it was a recipient when they were stored (FORMAT.md
§9)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from backup_platform.domain.ports import Cipher
from backup_platform.repository.encryption.age_cipher import AgeCipher
from backup_platform.repository.encryption.recipients import StoredRecipient, readable_recipients
from backup_platform.repository.objects.names import ADDED, KEYS, RETIRED, StoredPack

WRITERS_END = timedelta(days=1)  # a writer that began before a recipient was added does not encrypt to it
WRITTEN_HERE = timedelta(hours=1)  # a document that the store received later than this came from a copy


@dataclass(frozen=True, slots=True)
class Entitled:
    """`since` and `until` are times of the store between which packs were also written for a recipient of this host.
    They are empty where there is no such limit."""

    since: datetime | None
    until: datetime | None

    def covers(self, pack: StoredPack) -> bool:
        return (self.since is None or pack.modified > self.since) and (
            self.until is None or pack.modified < self.until
        )


def entitled(cipher: Cipher) -> list[Entitled]:
    """Of each identity on this host. In a copy the times of objects do not tell, so only an identity without older
    recipients counts. Raises StoreError."""
    if not isinstance(cipher, AgeCipher) or not cipher.reads_contents:
        return []
    stored = {found.key: found.modified for found in cipher.store.list(KEYS)}
    known, _ = readable_recipients(cipher.objects, stored)
    here = {identity.recipient for identity in cipher.identities}
    first = min((each.added_at for each in known), default=None)
    spans = (_span(each, stored, oldest=each.added_at == first) for each in known if each.text in here)
    return [span for span in spans if span]


def _span(recipient: StoredRecipient, stored: Mapping[str, datetime], *, oldest: bool) -> Entitled | None:
    added, until = (stored.get(KEYS + recipient.name + suffix) for suffix in (ADDED, RETIRED))
    if oldest:
        return Entitled(None, until)
    if added is None or added - recipient.added_at > WRITTEN_HERE:
        return None
    return Entitled(added + WRITERS_END, until)
