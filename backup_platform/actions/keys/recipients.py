"""The recipients of one encrypted repository, and the operations on them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from backup_platform.actions.keys.run import KeyTest, cipher_of, export_key, test_keys
from backup_platform.advice import Advice
from backup_platform.domain.ports import Clock
from backup_platform.repository.encryption import recipients
from backup_platform.repository.encryption.key_objects import key_problems, unexpected_recipients
from backup_platform.repository.objects.names import KEYS
from backup_platform.repository.repository import Repository

if TYPE_CHECKING:
    from backup_platform.repository.encryption.age_cipher import AgeCipher
    from backup_platform.repository.encryption.recipients import StoredRecipient


@dataclass(frozen=True, slots=True)
class Rewrapped:
    """How many packs the recipients `to` can read now, and where the repository names other recipients than the plan
    or this host: these were left out."""

    packs: int
    to: tuple[str, ...]
    unexpected: tuple[Advice, ...] = ()


@dataclass(frozen=True, slots=True)
class KeyRing:
    """Every method raises UsageError when the repository is not encrypted, KeyMissingError without the key needed."""

    repository: Repository
    clock: Clock

    @property
    def _cipher(self) -> AgeCipher:
        return cipher_of(self.repository)

    @property
    def planned(self) -> Sequence[str]:
        """The recipients of the plan, to which contents are encrypted. Empty if the plan names none."""
        known = self._cipher.known_recipients
        return known.pinned if known else ()

    def add(self, recipient: str) -> StoredRecipient:
        """Add a recipient. If another host added it before, this host now knows it. Raises ConflictError for a
        known one."""
        cipher, parsed = self._cipher, recipients.parse_recipient(recipient)
        added = self._added_elsewhere(recipient)
        added = added or recipients.add_recipient(cipher.objects, parsed, self.clock.now())
        if cipher.known_recipients:
            cipher.known_recipients.added(recipient)
        return added

    def _added_elsewhere(self, recipient: str) -> StoredRecipient | None:
        cipher = self._cipher
        if cipher.known_recipients is None or cipher.known_recipients.pinned:
            return None
        listed = [found.key for found in cipher.store.list(KEYS)]
        found, damaged = recipients.readable_recipients(cipher.objects, listed)
        active = {each.text: each for each in found if not each.retired_at}
        expected = cipher.known_recipients.expected(list(active), whole=not damaged)
        return active.get(recipient) if recipient in expected.unknown(list(active)) else None

    def retire(self, recipient: str) -> StoredRecipient:
        """Retire a recipient, also one that another host retired before. Raises NotFoundError, and UsageError for
        the last one."""
        cipher = self._cipher
        retired = recipients.retire_recipient(cipher.objects, recipient, self.clock.now())
        if cipher.known_recipients:
            cipher.known_recipients.retired(recipient)
        return retired

    def recipients(self) -> list[StoredRecipient]:
        from backup_platform.repository.encryption.key_tests import list_recipients

        return list_recipients(self._cipher.objects)

    def problems(self) -> list[Advice]:
        """What is wrong with the objects below `keys/`."""
        return [each.told for each in key_problems(self.repository.cipher)]

    def unexpected(self) -> tuple[Advice, ...]:
        """Recipients that the repository names, but that the plan or this host does not. Works for any repository."""
        return tuple(each.told for each in unexpected_recipients(self.repository.cipher))

    def test(self) -> list[KeyTest]:
        return test_keys(self.repository, self.clock)

    def rewrap(self, named: Sequence[str] = ()) -> Rewrapped:
        """Make every pack readable for the `named` recipients, or else for those that the plan names or this host
        knows. Raises RecipientsChangedError, without writing anything, if this host knows none."""
        cipher = self._cipher
        to = cipher.recipients_to_rewrap(named)
        packs = cipher.rewrap(self.repository.objects.packs(), to)
        return Rewrapped(packs, tuple(to), self.unexpected())

    def export(self, path: str) -> None:
        export_key(self.repository, path, self.clock.now())
