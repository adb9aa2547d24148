"""What indexes say about packs (FORMAT.md §5).

An attacker with write access can store a wrong index. If indexes disagree about a pack, readers use all of them,
because the hash of a blob shows which one is right. A writer uses only what all of them say.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np

from backup_platform.repository.objects.names import PackKey
from backup_platform.repository.packs.index import IndexedPack


@dataclass(slots=True)
class Claims:
    """By the keys of packs: the rows of the first index, and the rows of other indexes that differ from it."""

    first: dict[PackKey, IndexedPack] = field(default_factory=dict)
    others: dict[PackKey, list[IndexedPack]] = field(default_factory=dict)

    def hear(self, said: IndexedPack) -> int:
        """Note what an index says of a pack; the number of the version that this is."""
        key = said.key
        known = self.versions(key)
        for number, each in enumerate(known):
            if same_rows(each, said):
                return number
        if known:
            self.others.setdefault(key, []).append(said)
        else:
            self.first[key] = said
        return len(known)

    def versions(self, key: PackKey) -> list[IndexedPack]:
        return [self.first[key], *self.others.get(key, ())] if key in self.first else []

    @property
    def disputed(self) -> frozenset[PackKey]:
        """Packs about which indexes disagree."""
        return frozenset(self.others)

    def all_said(self) -> dict[PackKey, IndexedPack]:
        """For each pack, every row that any index has."""
        return self.first | {key: _joined(self.versions(key)) for key in self.others}

    def agreed(self) -> dict[PackKey, IndexedPack]:
        """For each pack, the rows that all indexes with this pack have."""
        return self.first | {key: _common(self.versions(key)) for key in self.others}


def by_pack(said: Iterable[IndexedPack]) -> dict[PackKey, IndexedPack]:
    """What one index says of each pack, also where its rows of a pack do not stand together."""
    parts: dict[PackKey, list[IndexedPack]] = {}
    for pack in said:
        parts.setdefault(pack.key, []).append(pack)
    return {key: some[0] if len(some) == 1 else _joined(some) for key, some in parts.items()}


def same_rows(a: IndexedPack, b: IndexedPack) -> bool:
    """Whether two indexes say the same of a pack."""
    return len(a.rows) == len(b.rows) and _bytes_of(a) == _bytes_of(b)


def true_claims(
    heard: Mapping[PackKey, int], claims: Claims, truth: Mapping[PackKey, IndexedPack]
) -> set[PackKey]:
    """The packs about which an index says nothing that is known to be wrong."""
    return {
        key
        for key, number in heard.items()
        if key not in truth or same_rows(claims.versions(key)[number], truth[key])
    }


def _bytes_of(pack: IndexedPack) -> bytes:
    rows = pack.rows.copy()
    rows["pack"] = 0  # a number of the index that they were taken from
    return rows.tobytes()


def _each_row(pack: IndexedPack) -> list[bytes]:
    data, size = _bytes_of(pack), pack.rows.dtype.itemsize
    return [data[start : start + size] for start in range(0, len(data), size)]


def _joined(packs: Collection[IndexedPack]) -> IndexedPack:
    rows = dict.fromkeys(row for pack in packs for row in _each_row(pack))
    return _of_rows(packs, rows)


def _common(packs: Collection[IndexedPack]) -> IndexedPack:
    each = [_each_row(pack) for pack in packs]
    shared = set(each[0]).intersection(*each[1:])
    return _of_rows(packs, [row for row in each[0] if row in shared])


def _of_rows(packs: Collection[IndexedPack], rows: Iterable[bytes]) -> IndexedPack:
    first = next(iter(packs))
    return IndexedPack(first.key, np.frombuffer(b"".join(rows), first.rows.dtype).copy(), first.size)
