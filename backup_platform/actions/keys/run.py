"""Operations on keys: make, add, retire, list, test, rewrap, export."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from backup_platform.actions.structure import needs_of
from backup_platform.advice import command
from backup_platform.domain.limits import MAX_RECIPIENTS
from backup_platform.domain.model import RecoveryPoint
from backup_platform.domain.ports import Clock, Store
from backup_platform.domain.trust.latest import in_time
from backup_platform.errors import ConflictError, DamageError, NotFoundError, RepositoryError, UsageError
from backup_platform.repository.creating import init_repository, require_unused
from backup_platform.repository.encryption.key_files import (
    KEY_VARIABLE,
    Keys,
    new_repository_key,
    write_identity,
    write_repository_key,
)
from backup_platform.repository.objects.info import RepositoryInfo
from backup_platform.repository.objects.names import ROOT_KEY
from backup_platform.repository.repository import Repository

if TYPE_CHECKING:
    from backup_platform.repository.encryption.age_cipher import AgeCipher
    from backup_platform.repository.encryption.recipients import StoredRecipient


def generate_key(path: str, now: datetime) -> str:
    """Write a new identity to a new file, and return its recipient. Raises UsageError if the file exists."""
    from backup_platform.repository.encryption import age

    identity = age.generate_identity()
    recipient = age.Identity(identity).recipient
    write_identity(path, identity, recipient, now)
    return recipient


def init_encrypted(store: Store, keys: Keys, recipients: Sequence[str], clock: Clock) -> RepositoryInfo:
    """Create a repository that recipients can open. Its key is read from the key file, or a new one is written there.
    Raises ConflictError if there is a repository already, and UsageError for a text that is not a recipient, or without
    a key file."""
    from backup_platform.repository.encryption.recipients import parse_recipient

    for text in recipients:
        parse_recipient(text)
    if len(set(recipients)) < len(recipients):
        raise UsageError("A recipient is given twice.")
    if len(recipients) > MAX_RECIPIENTS:
        raise UsageError(f"{len(recipients)} recipients are given. The limit is {MAX_RECIPIENTS}.")
    require_unused(store)
    try:
        store.head(ROOT_KEY)
    except NotFoundError:
        key = keys.repository_key() or _new_key(store, keys, clock.now())
        return init_repository(store, clock, key=key, recipients=recipients)
    raise ConflictError(
        f"There is a repository at {store.location} already.",
        hint="Use it, or name another place in the plan.",
    )


def _new_key(store: Store, keys: Keys, now: datetime) -> bytes:
    if keys.key is None:
        raise UsageError(
            "An encrypted repository has a key that writers need, and no file is named for it.",
            hint=f"Name a new file as {keys.plan_key}.key_file in the plan, or in {KEY_VARIABLE}.",
        )
    key = new_repository_key()
    write_repository_key(keys.key.origin, key, store.location, now)
    return key


def cipher_of(repository: Repository) -> AgeCipher:
    """Raises UsageError for a repository that is not encrypted."""
    from backup_platform.repository.encryption.age_cipher import AgeCipher

    if not isinstance(repository.cipher, AgeCipher):
        raise UsageError(
            f"The repository at {repository.info.location} is not encrypted, so it has no keys and no recipients.",
            hint=(
                "Encryption is chosen when a repository is made. To have one, name a new place and a key_file in the "
                "plan, then ",
                command("init", "--recipient", "age1…"),
                " (docs/encryption.md).",
            ),
        )
    return repository.cipher


def export_key(repository: Repository, path: str, now: datetime) -> None:
    """Write the repository key to a new file, for a host that writes. Raises UsageError."""
    write_repository_key(path, cipher_of(repository).repository_key, repository.info.location, now)


@dataclass(frozen=True, slots=True)
class KeyTest:
    """A passed test of an identity. `point` is None in an empty repository, and `pack` is empty for a point without
    packs."""

    recipient: StoredRecipient
    point: RecoveryPoint | None
    pack: str


def test_keys(repository: Repository, clock: Clock) -> list[KeyTest]:
    """Prove, for every identity on this host, that it opens the repository key and a pack of the newest point.

    Raises KeyMissingError when one does not, and DamageError. Passed tests are recorded.
    """
    from backup_platform.repository.encryption.key_tests import list_recipients, record_test

    cipher = cipher_of(repository)
    cipher.require_contents()
    known = {each.text: each for each in list_recipients(cipher.objects)}
    if unlisted := [identity.recipient for identity in cipher.identities if identity.recipient not in known]:
        raise DamageError(
            f"The repository at {repository.info.location} has no document below keys/ that names {unlisted[0]} as a "
            "recipient. Nothing is written to it.",
            hint=(
                command("repair"),
                " takes it from a copy; else run ",
                command("key", "add", unlisted[0]),
                ".",
            ),
        )
    newest = _newest(repository)
    tests = []
    for identity in cipher.identities:
        alone = cipher.alone(identity)  # opens the repository key
        pack = _open_pack(repository, alone, newest) if newest else ""
        record_test(cipher.objects, identity.recipient, newest.id if newest else "", clock.now())
        tests.append(KeyTest(known[identity.recipient], newest, pack))
    return tests


def _newest(repository: Repository) -> RecoveryPoint | None:
    points, errors = repository.points.readable()
    if errors and not points:
        raise errors[0]
    sound = [point for point in points if in_time(point) and not point.is_suspect]
    return max(sound or points, key=lambda point: point.committed_at, default=None)


def _open_pack(repository: Repository, cipher: AgeCipher, point: RecoveryPoint) -> str:
    """The smallest pack of contents that the point needs, decoded entirely; empty when it has none."""
    from backup_platform.repository.packs.packs import check_pack

    needs = needs_of(repository, point)
    sizes = repository.indexes().listed
    packs = sorted((key for key in needs.packs if not key.meta), key=lambda key: (sizes[key], key))
    if not packs and needs.findings:
        raise RepositoryError(needs.findings[0])
    if not packs:
        return ""
    check_pack(cipher.unwrap(packs[0], repository.objects.verified(packs[0])), cipher.hash)
    return packs[0]
