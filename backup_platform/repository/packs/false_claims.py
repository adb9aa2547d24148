"""Indexes that say of a pack what it does not hold (FORMAT.md §5, §8). Only a holder of the repository key makes one,
or in an unencrypted repository whoever may write."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from backup_platform.errors import DamageError, KeyMissingError, NotFoundError
from backup_platform.repository.encryption.entitled import Entitled, entitled
from backup_platform.repository.objects.names import PackKey, StoredPack
from backup_platform.repository.objects.objects import Objects
from backup_platform.repository.packs.blob_reader import PackRanges
from backup_platform.repository.packs.claims import same_rows
from backup_platform.repository.packs.index import IndexedPack
from backup_platform.repository.packs.indexes import read_table
from backup_platform.repository.packs.packs import check_pack

NOT_HELD = "An index lists contents that the pack does not have."
WRONG_BLOBS = "The pack has the hash of its name, and its blobs do not have the contents of theirs."
NOT_FOR_US = (
    "An index names the pack, and no identity on this host opens it, although one of them was a recipient when the "
    "pack was stored."
)


@dataclass(frozen=True)
class ClaimCheck:
    """Compares what indexes say of packs with the packs. `packs` are those in the store. No pack is read whole, except
    by `falsely_built`."""

    objects: Objects
    packs: Mapping[PackKey, StoredPack]

    def wrong(self, said: IndexedPack) -> str:
        """What is wrong with what indexes say of a pack, by its own table; empty also where nobody here can tell."""
        try:
            table = read_table(self._ranges, said.key)
        except KeyMissingError:
            return NOT_FOR_US if self.must_open(said.key) else ""
        except (DamageError, NotFoundError):
            return ""  # others tell of it
        return "" if same_rows(said, table) else NOT_HELD

    def must_open(self, key: PackKey) -> bool:
        """Whether an identity of this host was a recipient when a pack was stored."""
        pack = self.packs.get(key)
        return pack is not None and not key.meta and any(span.covers(pack) for span in self._spans)

    def falsely_built(self, key: PackKey) -> str:
        """What is wrong with a pack that has the hash of its name: no disk and no network did that."""
        try:
            stored = self.objects.verified(key)
        except DamageError:
            return ""
        try:
            check_pack(self.objects.cipher.unwrap(key, stored), self.objects.cipher.hash)
        except KeyMissingError:
            return ""
        except DamageError:
            return WRONG_BLOBS
        return ""

    @cached_property
    def _ranges(self) -> PackRanges:
        sizes = {key: pack.size for key, pack in self.packs.items()}
        return PackRanges(self.objects.store, self.objects.cipher, sizes)

    @cached_property
    def _spans(self) -> list[Entitled]:
        return entitled(self.objects.cipher)
