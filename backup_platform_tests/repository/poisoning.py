"""What a taken over writer does: it holds the repository key, adds objects, has no identity and deletes nothing."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import zstandard

from backup_platform.repository.objects.names import INDEXES, PACKS, IndexKey, PackKey, digest
from backup_platform.repository.packs.index import IndexedPack, index_pack
from backup_platform.repository.packs.index_objects import decode_index, encode_index
from backup_platform.repository.packs.packs import Frame, PackBuilder
from backup_platform.repository.points.chunking import CONTENTS
from backup_platform.repository.points.recorder import _seeded
from backup_platform.repository.repository import Repository
from backup_platform_tests.support import SMALL


def ids_of(repository: Repository, known: bytes) -> list[tuple[bytes, int]]:
    """The blobs that another writer will make of a file whose content is known."""
    cipher = repository.cipher
    chunks = [known] if len(known) <= SMALL else _seeded(CONTENTS, cipher.chunking_seed).cut([known])
    return [(cipher.hash(chunk), len(chunk)) for chunk in map(bytes, chunks)]


def lie(repository: Repository, known: bytes) -> str:
    """A pack of zeros, and an index that says that it holds a file of known content; the key of the pack."""
    builder = PackBuilder()
    for blob, length in ids_of(repository, known):
        builder.add(zstandard.ZstdCompressor().compress(bytes(length)), length, [(blob, length)])
    frames = list(builder.frames)
    return store_pack(repository, builder, frames)


def store_pack(repository: Repository, builder: PackBuilder, frames: Sequence[Frame]) -> PackKey:
    stored = bytes(repository.cipher.wrap(PACKS, builder.finish()).stored)
    key = PackKey.of(digest(stored), meta=False)
    repository.store.create(key, stored)
    write_index(repository, index_pack(key, frames))
    return key


def write_index(repository: Repository, pack: IndexedPack) -> IndexKey:
    data = bytes(repository.cipher.wrap(INDEXES, encode_index([pack])).stored)
    key = IndexKey.of(digest(data))
    repository.store.create(key, data)
    return key


def describe_falsely(repository: Repository, pack: PackKey, known: bytes) -> IndexKey:
    """An index that says of an honest pack that it holds a file of known content where it holds another blob of that
    length, with a name that sorts before that of the honest index; its key."""
    honest, (named,) = _index_of(repository, pack)
    ((blob, length),) = ids_of(repository, known)
    (row,) = np.flatnonzero(named.rows["length"] == length)
    named.rows["blob"][row] = np.frombuffer(blob, "<u8")
    key = honest
    while key >= honest:
        named.rows["offset"][row] += 1
        data = bytes(repository.cipher.wrap(INDEXES, encode_index([named])).stored)
        key = IndexKey.of(digest(data))
    repository.store.create(key, data)
    return key


def _index_of(repository: Repository, pack: PackKey) -> tuple[IndexKey, list[IndexedPack]]:
    for key in sorted(IndexKey(found.key) for found in repository.store.list(INDEXES)):
        named = [each for each in decode_index(repository.objects.plain(key)) if each.key == pack]
        if named:
            return key, named
    raise LookupError(pack)
