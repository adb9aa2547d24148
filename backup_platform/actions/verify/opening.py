"""Can the host that verifies also restore? Reading packs and comparing their hashes does not show to whom they are
encrypted."""

from __future__ import annotations

from collections.abc import Collection

from backup_platform.advice import command, joined, written
from backup_platform.errors import DamageError, KeyMissingError, NotFoundError
from backup_platform.repository.objects.names import PACKS
from backup_platform.repository.repository import Repository


def closed_to_this_host(repository: Repository, packs: Collection[str]) -> str:
    """What is wrong if this host has identities, but none opens the newest of these packs; empty otherwise."""
    from backup_platform.repository.encryption.age_cipher import AgeCipher

    cipher = repository.cipher
    if not isinstance(cipher, AgeCipher) or not cipher.reads_contents:
        return ""
    listed = [found for found in repository.store.list(PACKS) if found.key in packs]
    for found in sorted(listed, key=lambda found: (found.modified, found.key), reverse=True):
        try:
            cipher.pack_file_key(found.key, found.size)
        except KeyMissingError as error:
            newest = (
                "It is the newest pack that was tried, so the newest points cannot be restored on this host."
            )
            shows = (command("key", "list"), " shows whether recipients were changed.")
            return written(joined(error.message, newest, error.advice, shows))
        except (DamageError, NotFoundError):
            continue  # others tell of it
        return ""
    return ""
