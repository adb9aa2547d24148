"""Sealed objects: metadata under the repository key (FORMAT.md §3, §9)."""

from __future__ import annotations

import os
from dataclasses import dataclass, field

from blake3 import blake3

from backup_platform.domain.ports import Buffer
from backup_platform.errors import DamageError
from backup_platform.repository.encryption.age import Stream, write_stream

MAGIC = b"BPSEAL\x00\x01"
HEAD = len(MAGIC) + 32


def derive(purpose: str, material: bytes) -> bytes:
    return blake3(material, derive_key_context=f"backup_platform 1 {purpose}").digest()


def key_id(repository_key: bytes) -> str:
    """What `repository.json` says of the key, and does not give it away."""
    return derive("key id", repository_key).hex()


@dataclass(frozen=True, slots=True)
class Secrets:
    """What is derived from a repository key. Never shows itself."""

    blobs: bytes = field(repr=False)
    metadata: bytes = field(repr=False)
    chunking: int = field(repr=False)

    @classmethod
    def of(cls, repository_key: bytes) -> Secrets:
        # pyfastcdc refuses a seed of 64 bits
        seed = int.from_bytes(derive("chunking", repository_key)[:8], "little") & (1 << 63) - 1
        return cls(derive("blob id", repository_key), derive("metadata", repository_key), seed)


def seal(secrets: Secrets, plain: Buffer) -> bytearray:
    """The stored form of metadata. It is different each time. A bytearray must not be used afterwards: the stored form
    may use its memory."""
    salt = os.urandom(HEAD - len(MAGIC))
    sealed = plain if isinstance(plain, bytearray) else bytearray(plain)
    write_stream(derive("sealed", secrets.metadata + salt), MAGIC + salt, sealed)
    return sealed


def open_sealed(secrets: Secrets, sealed: Buffer) -> Stream:
    """The payload of a whole sealed object. Raises DamageError."""
    return sealed_stream(secrets, sealed, len(sealed))


def sealed_stream(secrets: Secrets, head: Buffer, size: int) -> Stream:
    """The payload of a sealed object of `size` bytes that begins with `head`. Raises DamageError."""
    start = bytes(head[:HEAD])
    if len(start) < HEAD or not start.startswith(MAGIC):
        raise DamageError("It is not a sealed object, or its beginning is altered.")
    return Stream(derive("sealed", secrets.metadata + start[len(MAGIC) :]), HEAD, size - HEAD)


def unseal(secrets: Secrets, sealed: Buffer) -> bytearray:
    """The plain bytes of a whole sealed object. Raises DamageError."""
    view, stream = memoryview(sealed), open_sealed(secrets, sealed)
    return stream.read(0, stream.plain, lambda start, length: view[start : start + length])
