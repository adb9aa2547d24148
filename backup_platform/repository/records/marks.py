"""Marks in the ledger (FORMAT.md §8): packs that a verify found damaged, and indexes that it found wrong."""

from __future__ import annotations

import re

from backup_platform.repository.objects.names import DAMAGED, META, PACKS, HashedKey, IndexKey, PackKey

MARK = re.compile(rf"{DAMAGED}(?P<kind>packs/|meta/|indexes/)(?P<id>[0-9a-f]{{64}})")


def mark_name(key: HashedKey) -> str:
    """What the name of the record says that tells that a pack is damaged, or an index wrong."""
    return f"{DAMAGED}{key.partition('/')[0]}/{key.id}"


def marked(says: str) -> PackKey | IndexKey | None:
    """Inverse of `mark_name`; None for what is no mark."""
    if not (match := MARK.fullmatch(says)):
        return None
    identity = bytes.fromhex(match["id"])
    if match["kind"] in (PACKS, META):
        return PackKey.of(identity, meta=match["kind"] == META)
    return IndexKey.of(identity)
