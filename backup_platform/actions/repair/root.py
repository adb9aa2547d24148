"""Restoring a lost or damaged `repository.json` from a copy. Without it, no repository opens (FORMAT.md §8).

It is not authenticated. The objects beside it vouch for it: manifests that a key opens, with the right hash and the
repository's id.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass

from backup_platform.advice import command
from backup_platform.domain.ports import Store
from backup_platform.domain.words import how_many
from backup_platform.errors import (
    ConflictError,
    DamageError,
    NotFoundError,
    RepositoryError,
    RepositoryMissingError,
    UsageError,
)
from backup_platform.repository.objects.info import read_info
from backup_platform.repository.objects.names import MANIFESTS, ROOT_KEY
from backup_platform.repository.points.manifests import decode_manifest
from backup_platform.repository.repository import Repository


@dataclass(frozen=True, slots=True)
class RootRepair:
    """Restores `repository.json` of `store` from the copy `donor`."""

    store: Store
    donor: Repository

    def needed(self) -> str:
        """What is wrong with `repository.json`; empty if nothing is. Raises StoreError."""
        try:
            read_info(self.store)
        except RepositoryMissingError:
            return "is missing"
        except DamageError:
            return "is damaged"
        return ""

    def require_same(self) -> str:
        """The key of a manifest here that belongs to the donor's repository. Raises RepositoryError if none does."""
        if self.store.location == self.donor.store.location:
            raise UsageError("A repository cannot be repaired from itself.", hint="Name a copy of it.")
        keys = sorted(each.key for each in self.store.list(MANIFESTS))
        for key in keys:
            if self._is_ours(key):
                return key
        raise RepositoryError(
            f"{self.store.location} cannot be recognised as a copy of {self.donor.store.location}: it has "
            f"{how_many(len(keys), 'manifest')}, and none fits.",
            hint=("Name another copy. To make a copy in an empty place: ", command("init"), "."),
        )

    def run(self) -> None:
        """Raises RepositoryError like `require_same`, and ConflictError if there is a sound one meanwhile."""
        problem = self.needed()
        if not problem:
            raise ConflictError(f"{ROOT_KEY} at {self.store.location} is sound.")
        self.require_same()
        data = bytes(self.donor.store.get(ROOT_KEY))
        if problem == "is damaged":
            self.store.replace(ROOT_KEY, data)
        else:
            with suppress(ConflictError):  # somebody else put it back
                self.store.create(ROOT_KEY, data)
        if self._stored() != data:
            raise DamageError(
                f"{ROOT_KEY} at {self.store.location} reads back different from what was written."
            )

    def _stored(self) -> bytes:
        try:
            return bytes(self.store.get(ROOT_KEY))
        except NotFoundError:
            return b""

    def _is_ours(self, key: str) -> bool:
        donor = self.donor
        try:
            plain = donor.cipher.unwrap(key, self.store.get(key))
            decode_manifest(key, plain, donor.objects.codec)
        except (DamageError, NotFoundError):
            return False
        return True
