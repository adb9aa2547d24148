"""File keys of older packs for newer recipients (FORMAT.md §9): no pack is stored again."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

from backup_platform.domain.ports import Store
from backup_platform.errors import DamageError
from backup_platform.repository.encryption import age
from backup_platform.repository.objects.names import REWRAPPED, ObjectId, digest

ENTRY = 32 + age.FILE_KEY
ENTRIES = 100_000  # an object has up to 4.8 MB


class RewrappedKeys:
    """The file keys by pack that the identities of this host open."""

    def __init__(self, entries: Iterable[tuple[bytes, bytes]]) -> None:
        self._keys: dict[bytes, set[bytes]] = defaultdict(set)
        for pack, file_key in entries:
            self._keys[pack].add(file_key)

    @classmethod
    def read(cls, store: Store, identities: Sequence[age.Identity]) -> RewrappedKeys:
        return cls(_entries(store, identities))

    def file_key(self, pack: bytes, header: age.Header) -> bytes | None:
        """The file key of a pack. None if there is none here, or if none fits this header."""
        for file_key in self._keys.get(pack, ()):
            try:
                header.payload_key(file_key)
            except DamageError:
                continue  # forged, or the header is altered: the caller finds out
            return file_key
        return None


def _entries(store: Store, identities: Sequence[age.Identity]) -> Iterator[tuple[bytes, bytes]]:
    for key in sorted(found.key for found in store.list(REWRAPPED)):
        try:
            plain = age.decrypt(store.get(key), identities)
        except DamageError:
            continue  # packs that only it opens are reported as without a key
        for start in range(0, len(plain or b"") - ENTRY + 1, ENTRY):
            entry = bytes(memoryview(plain or b"")[start : start + ENTRY])
            yield entry[:32], entry[32:]


def write_rewrapped(
    store: Store, entries: Iterable[tuple[bytes, bytes]], recipients: Sequence[age.Recipient]
) -> int:
    """Store file keys by pack for all recipients; how many."""
    count = 0
    rest = iter(entries)
    while some := list(islice(rest, ENTRIES)):
        data, _ = age.encrypt(b"".join(pack + file_key for pack, file_key in some), recipients)
        store.create(f"{REWRAPPED}{ObjectId.of(digest(data))}", data)
        count += len(some)
    return count
