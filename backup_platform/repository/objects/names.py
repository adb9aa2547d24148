"""Names of objects in format 1 (FORMAT.md §1, §3): prefixes, keys and ids as types, hashes."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import ClassVar, Final, Generic, Self, TypeVar

from blake3 import blake3

from backup_platform.domain.ports import Buffer, StoredObject

FORMAT = 1
ROOT_KEY = "repository.json"
PACKS: Final = "packs/"
META: Final = "meta/"
INDEXES: Final = "indexes/"
MANIFESTS, TOMBSTONES = "manifests/", "tombstones/"
LEDGER = "ledger/"
PROOFS, DAMAGED, KEY_TESTS = "ledger/proofs/", "ledger/damaged/", "ledger/keys/"
CLAIMS = f"{DAMAGED}claims/"
HOLDS, FORGOTTEN = "ledger/holds/", "ledger/forgotten/"
READS = "ledger/reads/"
ACCEPTED = "ledger/accepted/"
LOCKS = "ledger/locks/"
KEYS = "keys/"
REWRAPPED = f"{KEYS}rewrap/"
ADDED, RETIRED = ".recipient", ".retired"  # documents of a recipient, beside its wrapped key
Hash = Callable[[Buffer], bytes]  # that of the repository: keyed in an encrypted one
HASH_BYTES = 32
ID_DIGITS = 2 * HASH_BYTES
ROWS_HASH_DIGITS = 32  # of what names an index's rows of one pack (§8)
T = TypeVar("T")


def digest(data: Buffer) -> bytes:
    """BLAKE3-256, unkeyed: names stored objects, and blobs of an unencrypted repository."""
    return blake3(data).digest()


def _hex(hashed: bytes) -> str:
    if len(hashed) != HASH_BYTES:
        raise ValueError(f"a hash has {HASH_BYTES} bytes, not {len(hashed)}")
    return hashed.hex()


class Name(str):
    """A text of one form. Code that has a name need not check it again. Raises ValueError for any other text.
    `str.__new__` makes a name from a text that is known to have the form, because there are very many."""

    __slots__ = ()
    FORM: ClassVar[re.Pattern[str]]

    def __new__(cls, text: str) -> Self:
        if not cls.FORM.fullmatch(text):
            raise ValueError(f"{text[:100]!r} is not a valid {cls.__name__}")
        return str.__new__(cls, text)

    @classmethod
    def match(cls, text: str) -> Self | None:
        """None for another text: anybody who may write can give an object any name."""
        return str.__new__(cls, text) if cls.FORM.fullmatch(text) else None


class ObjectId(Name):
    """The unkeyed hash of an object's stored bytes, in hex digits."""

    __slots__ = ()
    FORM = re.compile("[0-9a-f]{64}")

    @classmethod
    def of(cls, hashed: bytes) -> Self:
        """Raises ValueError unless there are 32 bytes."""
        return str.__new__(cls, _hex(hashed))

    @classmethod
    def all_of(cls, joined: str) -> list[Self]:
        """The ids in a joined text. Raises ValueError for a text that is not joined ids."""
        if len(joined) % ID_DIGITS or not re.fullmatch("[0-9a-f]*", joined):
            raise ValueError(f"{joined[:100]!r} is not a sequence of ids")
        starts = range(0, len(joined), ID_DIGITS)
        return [str.__new__(cls, joined[start : start + ID_DIGITS]) for start in starts]

    @property
    def hash(self) -> bytes:
        return bytes.fromhex(self)


class HashedKey(Name):
    """The key of an object that is named by its hash."""

    __slots__ = ()

    @property
    def id(self) -> ObjectId:
        return str.__new__(ObjectId, self[-ID_DIGITS:])


class PackKey(HashedKey):
    """The key of a pack of contents or of metadata."""

    __slots__ = ()
    FORM = re.compile(r"(packs|meta)/([0-9a-f]{2})/\2[0-9a-f]{62}")

    @classmethod
    def of(cls, hashed: bytes, *, meta: bool) -> Self:
        """Raises ValueError unless there are 32 bytes."""
        name = _hex(hashed)
        return str.__new__(cls, f"{META if meta else PACKS}{name[:2]}/{name}")

    @property
    def meta(self) -> bool:
        return self.startswith(META)


@dataclass(frozen=True, slots=True)
class StoredPack(StoredObject):
    """A pack in a store."""

    key: PackKey


@dataclass(frozen=True, slots=True)
class Kinds(Generic[T]):
    """One for each kind of pack."""

    contents: T
    meta: T

    def of(self, key: PackKey) -> T:
        return self.meta if key.meta else self.contents

    def __iter__(self) -> Iterator[T]:
        return iter((self.contents, self.meta))


class IndexKey(HashedKey):
    """The key of an index."""

    __slots__ = ()
    FORM = re.compile(f"{INDEXES}[0-9a-f]{{64}}")

    @classmethod
    def of(cls, hashed: bytes) -> Self:
        """Raises ValueError unless there are 32 bytes."""
        return str.__new__(cls, f"{INDEXES}{_hex(hashed)}")


class ManifestKey(Name):
    """The key of a manifest: the place of a recovery point in the chain of its source."""

    __slots__ = ()
    FORM = re.compile(rf"{MANIFESTS}[0-9a-f]{{32}}/(?!0{{10}})[0-9]{{10}}")

    @classmethod
    def of(cls, source: str, sequence: int, hashed: Hash = digest) -> Self:
        return cls(f"{MANIFESTS}{source_tag(source, hashed)}/{sequence:010d}")

    @property
    def sequence(self) -> int:
        return int(self.rpartition("/")[2])


def source_tag(source: str, hashed: Hash = digest) -> str:
    return hashed(source.encode()).hex()[:32]


def recipient_name(text: str) -> str:
    """`<name>` of FORMAT.md §9."""
    return digest(text.encode()).hex()


def is_named_by(key: str, data: Buffer) -> bool:
    """Whether a key ends in the hash of these stored bytes."""
    return ObjectId.of(digest(data)) == key.rpartition("/")[2]


def packs_among(listed: Iterable[StoredObject]) -> Iterator[StoredPack]:
    """The packs among some objects. An object without the name of a pack is not a pack."""
    for found in listed:
        if key := PackKey.match(found.key):
            yield StoredPack(key, found.size, found.modified)
