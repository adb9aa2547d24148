"""Making a repository in an empty place (FORMAT.md §2)."""

from __future__ import annotations

import secrets
from collections.abc import Sequence

from backup_platform.advice import command
from backup_platform.domain.model import Json
from backup_platform.domain.ports import Clock, Store
from backup_platform.errors import (
    ConflictError,
    DamageError,
    NotFoundError,
)
from backup_platform.repository.encryption.key_files import Keys
from backup_platform.repository.objects.canonical import canonical
from backup_platform.repository.objects.info import RepositoryInfo, read_info
from backup_platform.repository.objects.names import (
    FORMAT,
    MANIFESTS,
    ROOT_KEY,
)
from backup_platform.repository.points.chunking import CONTENTS


def init_repository(
    store: Store, clock: Clock, *, key: bytes | None = None, recipients: Sequence[str] = ()
) -> RepositoryInfo:
    """Create a repository in an empty place, encrypted when it has a key. Raises ConflictError when there is one."""
    require_unused(store)
    document: dict[str, Json] = {
        "chunking": CONTENTS.parameters(),
        "created_at": clock.now().isoformat(),
        "encryption": "none",
        "format": FORMAT,
        "id": secrets.token_hex(16),
    }
    if key is not None:
        from backup_platform.repository.encryption.sealing import key_id

        document |= {"encryption": "age-v1", "key_id": key_id(key)}
    try:
        store.create(ROOT_KEY, canonical(document))
    except ConflictError as error:
        raise ConflictError(
            f"There is a repository at {store.location} already.",
            hint="Use it, or name another place in the plan.",
        ) from error
    info = read_info(store)
    if (info.id, info.encryption, info.key_id) != tuple(
        document.get(name, "") for name in ("id", "encryption", "key_id")
    ):
        raise DamageError(f"{ROOT_KEY} at {store.location} reads back different from what was written.")
    if key is not None:
        _add_recipients(store, info, key, recipients, clock)
    return info


def require_unused(store: Store) -> None:
    """Raises ConflictError if there are recovery points without their `repository.json`: a new one would hide them."""
    if next(iter(store.list(MANIFESTS)), None) is None:
        return
    try:
        store.head(ROOT_KEY)
    except NotFoundError as error:
        raise ConflictError(
            f"There are recovery points at {store.location}, and their {ROOT_KEY} is lost.",
            hint=(command("repair", "--from", "NAME"), " puts it back from a copy (docs/repair.md)."),
        ) from error


def _add_recipients(
    store: Store, info: RepositoryInfo, key: bytes, recipients: Sequence[str], clock: Clock
) -> None:
    from backup_platform.repository.encryption.age_cipher import AgeCipher
    from backup_platform.repository.encryption.recipients import add_recipient, parse_recipient

    objects = AgeCipher(info, store, Keys(), key, clock).objects
    now = clock.now()  # the same for all: none of them is older than another
    for recipient in recipients:
        add_recipient(objects, parse_recipient(recipient), now)
