"""What a repository holds and what its recovery points need, read in the order that prune relies on (FORMAT.md §10)."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from backup_platform.domain.model import Content, RecoveryPoint
from backup_platform.domain.ports import StoredObject
from backup_platform.domain.words import how_many, point_name
from backup_platform.errors import DamageError
from backup_platform.repository.deletion.usage import Kept, Standing, Usage, blobs_of
from backup_platform.repository.objects.names import INDEXES, HashedKey, Kinds, PackKey, StoredPack
from backup_platform.repository.objects.store_clock import store_now
from backup_platform.repository.packs.blob_reader import BlobReader, PackRanges
from backup_platform.repository.packs.claims import Claims, by_pack, same_rows, true_claims
from backup_platform.repository.packs.decoded import Decoded
from backup_platform.repository.packs.index import BlobIndex, IndexedPack
from backup_platform.repository.packs.index_objects import decode_index
from backup_platform.repository.packs.indexes import by_its_table, misfits
from backup_platform.repository.points.point_reader import RecoveryPointReader
from backup_platform.repository.records.tombstones import Tombstones, read_tombstones
from backup_platform.repository.repository import Repository


@dataclass(frozen=True, slots=True)
class StoredIndex:
    """An index object, and how many rows it has for each pack. It has none if it is altered, and none for packs about
    which it is known to be wrong. Another index disagrees about the `disputed` packs."""

    stored: StoredObject
    rows: dict[PackKey, int]
    readable: bool = True
    disputed: frozenset[PackKey] = frozenset()


@dataclass(slots=True)
class Survey:
    """`problems` say why nothing may be deleted. Packs are given by their keys. Indexes disagree about `disputed`
    packs. `doubted` packs are said to hold the same needed blobs as others, and no available key shows which of them
    really do."""

    now: datetime  # the store's, before anything else was read
    tombstones: Tombstones
    manifests: frozenset[str]
    damaged: frozenset[HashedKey]
    indexes: tuple[StoredIndex, ...]
    packs: dict[PackKey, StoredPack]
    unindexed: frozenset[PackKey]
    problems: tuple[str, ...] = ()
    disputed: frozenset[PackKey] = frozenset()
    needed: frozenset[PackKey] = frozenset()
    doubted: frozenset[PackKey] = frozenset()
    unused: dict[PackKey, int] = field(
        default_factory=dict
    )  # stored bytes of what is not taken from a needed pack
    stand_ins: dict[PackKey, set[PackKey]] = field(
        default_factory=dict
    )  # packs that blobs of another are taken from
    places: dict[PackKey, tuple[BlobIndex, int, Kept]] = field(default_factory=dict)  # of each pack's rows
    readers: Kinds[BlobReader] | None = None

    def blobs(self, pack: PackKey) -> Iterator[bytes]:
        """Ids of the needed blobs that are taken from a pack, in its order."""
        index, number, kept = self.places[pack]
        return blobs_of(index, number, kept.taken)

    def holds(self, decoded: Decoded, pack: PackKey) -> bool:
        """Whether a pack was decoded and is what this survey took it for."""
        return pack in decoded.packs and same_rows(self.said(pack), decoded.packs[pack])

    def said(self, pack: PackKey) -> IndexedPack:
        """What this survey takes a pack for."""
        index, number, _ = self.places[pack]
        (said,) = index.of_packs([number])
        return said

    def reader(self, pack: PackKey) -> BlobReader:
        assert self.readers is not None
        return self.readers.of(pack)


def survey(repository: Repository, decoded: Decoded | None = None) -> Survey:
    """Read everything except contents. For packs that were `decoded` before, that result counts, whatever indexes
    say. Raises StoreError, KeyMissingError."""
    decoded = decoded or Decoded()
    now = store_now(repository.store)
    tombstones = read_tombstones(repository.objects)
    manifests, points, problems = _manifests(repository)
    damaged = frozenset(repository.marks.damaged() | decoded.damaged.keys())
    indexes, claims = _indexes(repository, decoded, damaged)
    packs = repository.objects.packs()
    indexed = {key for index in indexes for key in index.rows}
    unindexed = frozenset(packs.keys() - indexed)
    disputed = frozenset(key for index in indexes for key in index.disputed) & packs.keys()
    found = Survey(now, tombstones, manifests, damaged, indexes, packs, unindexed, disputed=disputed)
    rows = {key: pack for key, pack in (claims.all_said() | decoded.packs).items() if key in packs}
    ranges = PackRanges(repository.store, repository.cipher, _sizes(found))
    untold = sorted(unindexed - rows.keys())
    rows |= {key: pack for key in untold if (pack := by_its_table(ranges, key)) is not None}
    found.damaged |= misfits(repository.cipher, rows, _sizes(found), claims) - decoded.packs.keys()
    indexes_of = Kinds(_index(rows, found, meta=False), _index(rows, found, meta=True))
    rows.clear()
    problems += _collect(repository, found, indexes_of, points, decoded)
    problems += [f"The final tombstone {o.key} is altered." for o in tombstones.unreadable_finals]
    found.problems = tuple(problems)
    return found


def _manifests(repository: Repository) -> tuple[frozenset[str], list[RecoveryPoint], list[str]]:
    keys = frozenset(repository.points.stored())
    points, errors = repository.points.readable(reread=True)
    if errors:  # one may have been forgotten between the listing and the reading
        points, errors = repository.points.readable()
    return keys, points, [error.message for error in errors]


def _indexes(
    repository: Repository, decoded: Decoded, damaged: Container[str]
) -> tuple[tuple[StoredIndex, ...], Claims]:
    """All indexes, and what they say of packs, whether those are there or not. One that is marked as wrong is heard,
    too: the mark may be what is wrong."""
    objects, heard, claims = [], [], Claims()
    for stored in sorted(repository.store.list(INDEXES), key=lambda o: o.key):
        try:
            named = by_pack(decode_index(repository.objects.plain(stored.key)))
        except DamageError as error:
            if not error.missing:  # else another prune replaced it
                objects.append(StoredIndex(stored, {}, readable=False))
            continue
        heard.append((stored, {key: (claims.hear(pack), len(pack.rows)) for key, pack in named.items()}))
    marked = {key for stored, told in heard if stored.key in damaged for key in told}
    disputed = (claims.disputed | marked) - decoded.packs.keys()
    for stored, told in heard:
        true = true_claims({key: version for key, (version, _) in told.items()}, claims, decoded.packs)
        rows = {key: count for key, (_, count) in told.items() if key in true}
        objects.append(StoredIndex(stored, rows, disputed=disputed & rows.keys()))
    return tuple(objects), claims


def _sizes(found: Survey) -> dict[PackKey, int]:
    return {key: pack.size for key, pack in found.packs.items()}


def _index(rows: dict[PackKey, IndexedPack], found: Survey, *, meta: bool) -> BlobIndex:
    """Sound packs first, and the oldest of them: blobs are read from those."""
    index = BlobIndex()
    order = {
        key: (key in found.damaged, key in found.unindexed, found.packs[key].modified, key)
        for key in rows
        if key.meta == meta
    }
    index.add(rows[key] for key in sorted(order, key=order.__getitem__))
    return index


def _collect(
    repository: Repository,
    found: Survey,
    indexes: Kinds[BlobIndex],
    points: Sequence[RecoveryPoint],
    decoded: Decoded,
) -> list[str]:
    """Fill in what the points need; what is missing for them."""
    sizes = _sizes(found)
    readers = Kinds(
        *(BlobReader(repository.store, index, cipher=repository.cipher, sizes=sizes) for index in indexes)
    )
    usages = Kinds(*map(Usage, indexes))
    problems = []
    for point in _distinct(points):
        problems += _needs(point, RecoveryPointReader(point, readers.contents, readers.meta), usages)
    for index, usage in zip(indexes, usages, strict=True):
        _settle(found, index, usage, _closed(repository, index, decoded))
    found.readers = readers
    return problems


def _distinct(points: Iterable[RecoveryPoint]) -> Iterator[RecoveryPoint]:
    """One point of those that have the same inventory."""
    seen: set[Content] = set()
    for point in points:
        if point.inventory.content not in seen:
            seen.add(point.inventory.content)
            yield point


def _needs(point: RecoveryPoint, reader: RecoveryPointReader, usages: Kinds[Usage]) -> list[str]:
    name = point_name(point)
    try:
        missing = sum((usages.meta if meta else usages.contents).need(ids) for meta, ids in reader.needed())
    except DamageError as error:
        return [f"{name} cannot be read: {error.message}"]
    return (
        [f"{name} needs {how_many(missing, 'blob')} that no listed pack is known to hold."] if missing else []
    )


def _closed(repository: Repository, index: BlobIndex, decoded: Decoded) -> set[PackKey]:
    """Packs whose real contents this host cannot check."""
    closed = decoded.closed.intersection(index.packs)
    if not repository.cipher.reads_contents:
        contents = index.of_packs(number for number, key in enumerate(index.packs) if not key.meta)
        closed |= {
            pack.key for pack in contents if not repository.known.remembers(pack, repository.cipher.hash)
        }
    return closed - decoded.packs.keys()


def _settle(found: Survey, index: BlobIndex, usage: Usage, closed: set[PackKey]) -> None:
    keys, condemned, doomed = index.packs, found.tombstones.condemned, found.tombstones.doomed

    def standing(number: int, share: float) -> Standing:
        key = keys[number]
        age = found.packs[key].modified, key
        # None that is closed goes for another: the first only counts as the one that was there before.
        if key in closed:
            return (key in found.damaged, key in doomed, True, age)
        rest = (key in condemned, key in found.unindexed, -share, age)
        return (key in found.damaged, key in doomed, False, rest)

    kept = usage.settle(
        standing,
        weak=lambda n: keys[n] in doomed or keys[n] in found.damaged,
        closed=lambda n: keys[n] in closed,
    )
    found.doubted |= {key for key, doubted in zip(keys, kept.doubted.tolist(), strict=True) if doubted}
    found.needed |= {key for key, needed in zip(keys, kept.needed.tolist(), strict=True) if needed}
    unused = (kept.needed * kept.unused).round().astype(int)
    found.unused |= {keys[n]: int(unused[n]) for n in unused.nonzero()[0].tolist()}
    found.places |= {key: (index, number, kept) for number, key in enumerate(keys)}
    for other, taken in kept.stand_ins.tolist():
        found.stand_ins.setdefault(keys[other], set()).add(keys[taken])
