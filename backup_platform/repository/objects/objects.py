"""The objects of a repository, one at a time: what every other part of it reads and writes through (FORMAT.md §1)."""

from __future__ import annotations

from collections.abc import Mapping

from backup_platform.domain.model import Json
from backup_platform.domain.ports import Buffer, Cipher, Clock, Store
from backup_platform.errors import ConflictError, DamageError, NotFoundError
from backup_platform.repository.objects.documents import Codec, SignedDocument
from backup_platform.repository.objects.info import RepositoryInfo
from backup_platform.repository.objects.names import (
    INDEXES,
    META,
    PACKS,
    HashedKey,
    PackKey,
    StoredPack,
    is_named_by,
    packs_among,
)
from backup_platform.repository.objects.record_names import Record, RecordNames


class Objects:
    """The store, its cipher, the repository that the objects belong to, and a clock. `codec` is for signed documents.
    `names` makes and checks names of records. `authentic_records` are keys of records by older versions whose documents
    were read and found authentic. Thread-safe."""

    def __init__(self, store: Store, cipher: Cipher, info: RepositoryInfo, clock: Clock) -> None:
        self.store, self.cipher, self.info, self.clock = store, cipher, info, clock
        self.codec = Codec(info.id, cipher.hash)
        self.names = RecordNames.of(cipher, info.id)
        self.authentic_records: set[str] = set()

    # Any object

    def get(self, key: str) -> Buffer:
        """An object that was written or listed. Raises DamageError when it is not there."""
        try:
            return self.store.get(key)
        except NotFoundError as error:
            raise DamageError(
                f"The object {key} is not in the store any more.", subject=key, missing=True
            ) from error

    def verified(self, key: str) -> Buffer:
        """An object that is named by its hash. Raises DamageError when the bytes are not those of its name."""
        data = self.get(key)
        if not is_named_by(key, data):
            raise DamageError(
                f"The object {key} is altered: its hash is not its name.",
                subject=key,
                hint="Restore it from a copy of the repository, or back up anew.",
            )
        return data

    def plain(self, key: str) -> Buffer:
        """The plain bytes of an object, which has the hash of its name where it is named by one.

        Raises DamageError, and KeyMissingError for contents that no key on this host opens.
        """
        named = key.startswith((PACKS, META, INDEXES))
        return self.cipher.unwrap(key, self.verified(key) if named else self.get(key))

    def put(self, key: str, plain: Buffer, *, anew: bool = False) -> None:
        """Seal and store an object. Raises ConflictError if the key exists, unless the object is written `anew`."""
        stored = self.cipher.wrap(key, plain).stored
        (self.store.replace if anew else self.store.create)(key, stored)

    # Objects that are named by their hash

    def put_named(self, key: HashedKey, stored: Buffer) -> bool:
        """Store an object under its own hash, or repair a damaged one. Returns whether there was none before."""
        try:
            self.store.create(key, stored)
        except ConflictError:
            try:
                self.verified(key)
            except DamageError:
                self.store.replace(key, stored)
            return False
        return True

    def read_back(self, key: HashedKey) -> Buffer:
        """Like `verified`. That it is gone may be the work of a prune, and the next run stores it again."""
        try:
            return self.verified(key)
        except DamageError as error:
            error.retryable = error.missing
            raise

    def packs(self) -> dict[PackKey, StoredPack]:
        """The packs in the store. Objects that are not named like a pack are ignored, and never touched."""
        listed = (found for prefix in (PACKS, META) for found in self.store.list(prefix))
        return {pack.key: pack for pack in packs_among(listed)}

    # Signed documents

    def write_document(self, key: str, fields: Mapping[str, Json], *, anew: bool = False) -> None:
        """Raises ConflictError if the key exists, unless the document is written `anew`."""
        self.put(key, self.codec.encode(fields)[1], anew=anew)

    def read_document(self, key: str, place: Mapping[str, Json] | None = None) -> SignedDocument:
        """`place` is what the key tells of the document. Raises DamageError when it is altered or says something
        else."""
        return self.codec.decode(key, self.plain(key), place)

    def records(self, prefix: str) -> list[Record]:
        """Records of the ledger below a prefix, in the order of their keys, as far as a listing tells of them."""
        return sorted(self.names.all(self.store.list(prefix)))
