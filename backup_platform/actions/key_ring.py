"""The recipients of one encrypted repository, and what is done with them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from backup_platform.actions.keys import KeyTest, cipher_of, export_key, test_keys
from backup_platform.domain.ports import Clock
from backup_platform.repository.encryption import recipients
from backup_platform.repository.encryption.key_objects import key_problems
from backup_platform.repository.repository import Repository

if TYPE_CHECKING:
    from backup_platform.repository.encryption.age_cipher import AgeCipher
    from backup_platform.repository.encryption.recipients import StoredRecipient


@dataclass(frozen=True, slots=True)
class KeyRing:
    """Every method raises UsageError when the repository is not encrypted, KeyMissingError without the key needed."""

    repository: Repository
    clock: Clock

    @property
    def _cipher(self) -> AgeCipher:
        return cipher_of(self.repository)

    def add(self, recipient: str) -> StoredRecipient:
        """Raises ConflictError for one that is there."""
        return recipients.add_recipient(self._cipher, recipients.parse_recipient(recipient), self.clock.now())

    def retire(self, recipient: str) -> StoredRecipient:
        """Raises NotFoundError, UsageError for the last one."""
        return recipients.retire_recipient(self._cipher, recipient, self.clock.now())

    def recipients(self) -> list[StoredRecipient]:
        return recipients.list_recipients(self._cipher)

    def problems(self) -> list[str]:
        """What is wrong with the objects below `keys/`."""
        return [str(each) for each in key_problems(self.repository)]

    def test(self) -> list[KeyTest]:
        return test_keys(self.repository, self.clock)

    def rewrap(self) -> int:
        """Every pack becomes readable for all recipients; how many packs."""
        return recipients.rewrap(self.repository, self._cipher)

    def export(self, path: str) -> None:
        export_key(self.repository, path, self.clock.now())
