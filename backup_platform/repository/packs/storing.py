"""Storing packs and indexes: each is read back before anything relies on it (FORMAT.md §4, §5)."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from contextlib import suppress

from backup_platform.domain.limits import INDEX_ROWS
from backup_platform.domain.ports import Buffer, Wrapped
from backup_platform.errors import DamageError, StoreRefusedError
from backup_platform.repository.objects.names import INDEXES, META, PACKS, IndexKey, PackKey, digest
from backup_platform.repository.objects.objects import Objects
from backup_platform.repository.packs.index import IndexedPack, index_pack
from backup_platform.repository.packs.index_objects import encode_index, portions
from backup_platform.repository.packs.packs import (
    Frame,
    PackBuilder,
    check_pack,
    check_stored,
    compressed_otherwise,
)
from backup_platform.repository.records.marks import Marks


def store_pack(
    objects: Objects, pack: PackBuilder, *, meta: bool, avoided: Collection[PackKey] = frozenset()
) -> IndexedPack:
    """Store a pack, read it back, decode it and compare every blob. Raises DamageError or StoreError.

    `avoided` are keys that it must not get, because packs of these names are being deleted.
    """
    key, wrapped = _wrapped(objects, pack, meta, avoided)
    size, opened = len(wrapped.stored), wrapped.opened
    was_there = not objects.put_named(key, wrapped.stored)
    del wrapped
    stored = objects.read_back(key)
    frames = check_stored(stored, opened(stored), objects.cipher.hash)
    if frames != pack.frames:
        raise DamageError(
            f"The pack {key} was read back, and its blobs are not those that were written.", subject=key
        )
    if was_there:
        with suppress(StoreRefusedError):  # a writer that may not delete: the next verify does
            Marks(objects).unmark(key)
    return index_pack(key, frames, size)


def _wrapped(
    objects: Objects, pack: PackBuilder, meta: bool, avoided: Collection[PackKey]
) -> tuple[PackKey, Wrapped]:
    frames = pack.frames
    key, wrapped = _named(objects, pack.finish(), meta)
    if key not in avoided:
        return key, wrapped
    plain = _plain_of(wrapped)
    for other in compressed_otherwise(plain, frames):
        pack.frames = other.frames
        key, wrapped = _named(objects, other.finish(), meta)
        if key not in avoided:
            break
    return key, wrapped


def _named(objects: Objects, plain: Buffer, meta: bool) -> tuple[PackKey, Wrapped]:
    wrapped = objects.cipher.wrap(META if meta else PACKS, plain)
    return PackKey.of(digest(wrapped.stored), meta=meta), wrapped


def _plain_of(wrapped: Wrapped) -> Buffer:
    part, view = wrapped.opened(wrapped.stored), memoryview(wrapped.stored)
    return part.read(0, part.plain, lambda start, length: view[start : start + length])


def checked_pack(objects: Objects, key: PackKey) -> list[Frame]:
    """Decode a stored pack entirely and compare every blob. Raises DamageError, KeyMissingError."""
    return check_pack(objects.plain(key), objects.cipher.hash)


def write_index(objects: Objects, packs: Sequence[IndexedPack]) -> None:
    """Store the index of some packs and read it back; several where they have very many blobs. Raises DamageError or
    StoreError."""
    for some in portions(packs, INDEX_ROWS):
        data = objects.cipher.wrap(INDEXES, encode_index(some)).stored
        key = IndexKey.of(digest(data))
        objects.put_named(key, data)
        objects.read_back(key)
