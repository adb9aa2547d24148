"""Indexes that say of a pack what it does not hold: found by whoever decodes the pack, and not believed any more.

An index is derived from its packs (FORMAT.md §5). One that is not can only be made by a holder of the repository key.
"""

from __future__ import annotations

from collections.abc import Mapping

from backup_platform.errors import DamageError
from backup_platform.repository.claims import pack_key
from backup_platform.repository.format import INDEXES, META
from backup_platform.repository.index import decode_index, index_pack
from backup_platform.repository.known import table_of
from backup_platform.repository.repository import Repository


def misdescribed(repository: Repository, read: Mapping[str, str]) -> dict[str, str]:
    """What is wrong, by key, of packs that were decoded (the hash of their rows, by key): the index that readers use
    now says something else of them."""
    indexes, hashed = repository.indexes(), repository.cipher.hash
    return {
        key: f"An index says of the pack {key} what the pack does not hold. It is not used any more."
        for key, table in read.items()
        if table and indexes.table(key, hashed) not in ("", table)
    }


def disown(repository: Repository, read: Mapping[str, str]) -> None:
    """Mark the indexes that are wrong about these packs, once right ones are stored. Raises StoreError, DamageError."""
    packs = [
        index_pack(bytes.fromhex(key[-64:]), key.startswith(META), repository.checked_pack(key))
        for key in sorted(read)
    ]
    repository.write_index(packs)
    for key in sorted(found.key for found in repository.store.list(INDEXES)):
        if _is_wrong(repository, key, read):
            repository.mark_damaged(key, "It says of a pack what the pack does not hold.")


def _is_wrong(repository: Repository, index: str, read: Mapping[str, str]) -> bool:
    try:
        named = {pack_key(pack): pack.rows for pack in decode_index(repository.plain(index))}
    except DamageError:
        return False  # nobody believes it
    hashed = repository.cipher.hash
    return any(table_of(rows, hashed) != read[key] for key, rows in named.items() if key in read)
