"""Which cipher a repository has. That of an unencrypted one changes nothing, and imports no cryptography."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from backup_platform.domain.ports import Buffer, Cipher, Clock, Part, Store, Wrapped
from backup_platform.errors import KeyMissingError, RepositoryError
from backup_platform.repository.encryption.key_files import Keys
from backup_platform.repository.objects.names import digest

if TYPE_CHECKING:
    from backup_platform.repository.objects.info import RepositoryInfo

NONE, AGE = "none", "age-v1"


@dataclass(frozen=True, slots=True)
class Whole:
    """`ports.Part` of an object whose stored form is its plain form."""

    plain: int

    @classmethod
    def of(cls, stored: Buffer) -> Whole:
        return cls(len(stored))

    def read(self, start: int, length: int, read: Callable[[int, int], Buffer]) -> Buffer:
        return read(start, length)


class PlainCipher:
    """`ports.Cipher` of a repository that is not encrypted."""

    name = NONE
    chunking_seed = 0
    secret = b""
    reads_contents = True

    def require_contents(self) -> None:
        """Nothing is needed."""

    def hash(self, data: Buffer) -> bytes:
        return digest(data)

    def prepare_writing(self) -> None:
        """Whoever reads the store reads contents."""

    def wrap(self, key: str, plain: Buffer) -> Wrapped:
        return Wrapped(plain, Whole.of)

    def unwrap(self, key: str, stored: Buffer) -> Buffer:
        return stored

    def part(self, key: str, size: Callable[[], int], read: Callable[[int, int], Buffer]) -> Part | None:
        return None

    def fits(self, key: str, plain: int, stored: int) -> bool:
        return plain == stored


PLAIN = PlainCipher()


def open_cipher(info: RepositoryInfo, store: Store, keys: Keys, clock: Clock) -> Cipher:
    """The cipher of a repository. Raises KeyMissingError for a missing or wrong key, and RepositoryError for an
    unsupported kind of encryption."""
    if info.encryption == NONE:
        if keys:
            raise KeyMissingError(
                f"The repository at {store.location} says that it is not encrypted, and this host was given a key.",
                hint="Somebody may have replaced its repository.json: compare it with a copy. For a repository that is "
                "not encrypted, name no key file and no identity file, in the plan or in the environment.",
            )
        return PLAIN
    if info.encryption != AGE:
        raise RepositoryError(
            f"The repository at {store.location} has an encryption that this version does not support: "
            f"{info.encryption}.",
            hint="Install a newer backup-platform.",
        )
    from backup_platform.repository.encryption.age_cipher import AgeCipher

    return AgeCipher.open(info, store, keys, clock)
