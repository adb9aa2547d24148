"""When packs were last read and found to be right: what the rotation of reading needs of the ledger (FORMAT.md §8)."""

from __future__ import annotations

import secrets
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime

from backup_platform.domain.limits import READS_PACKS
from backup_platform.domain.model import Json
from backup_platform.domain.ports import Buffer
from backup_platform.errors import ConflictError, DamageError, StoreRefusedError
from backup_platform.repository.objects.documents import Codec, Fields, instant
from backup_platform.repository.objects.names import READS, ROWS_HASH_DIGITS, ObjectId, PackKey
from backup_platform.repository.objects.objects import Objects
from backup_platform.repository.objects.record_names import TIME, Origin, Record

COMPACTED_ABOVE = 8
READERS = 8


@dataclass(slots=True)
class Reads:
    """When each pack was last read, by its id, and the objects that say so. `tables` has the hash of the rows
    (`table_of`) of packs that were also decoded. `points` are points of which every pack was decoded."""

    last: dict[ObjectId, datetime] = field(default_factory=dict)
    objects: tuple[str, ...] = ()
    tables: dict[ObjectId, str] = field(default_factory=dict)
    points: set[str] = field(default_factory=set)

    def learn(self, other: Reads, until: datetime) -> None:
        """No read counts as later than `until`, the store's time of the record, whatever the reader's clock said."""
        for pack, at in other.last.items():
            at = min(at, until)
            self.last[pack] = max(at, self.last.get(pack, at))
        self.tables |= other.tables
        self.points |= other.points


def encode_reads(reads: Reads, codec: Codec) -> bytes:
    """The plain bytes of an object that says when packs were read, to the second."""
    groups: dict[tuple[str, bool], list[ObjectId]] = defaultdict(list)
    for pack, at in reads.last.items():
        time = at.astimezone(UTC).replace(microsecond=0).isoformat()
        groups[time, pack in reads.tables].append(pack)
    texts: list[Json] = [
        _group(at, sorted(groups[at, decoded]), decoded, reads) for at, decoded in sorted(groups)
    ]
    points: dict[str, Json] = {"points": "".join(sorted(reads.points))} if reads.points else {}
    return codec.encode({**points, "reads": texts})[1]


def _group(at: str, packs: list[ObjectId], decoded: bool, reads: Reads) -> Json:
    tables: dict[str, Json] = {"tables": "".join(reads.tables[pack] for pack in packs)} if decoded else {}
    return {"at": at, "packs": "".join(packs), **tables}


def decode_reads(key: str, data: Buffer, codec: Codec) -> Reads:
    """Raises DamageError."""
    return codec.decode(key, data).decoded(_reads)


def _reads(said: Fields) -> Reads:
    result = Reads()
    for group in said.list("reads"):
        at, packs = instant(group["at"]).astimezone(UTC), ObjectId.all_of(group["packs"])
        result.learn(Reads(dict.fromkeys(packs, at)), at)
        result.tables.update(zip(packs, _cut(group.get("tables", "")), strict=False))
    result.points.update(ObjectId.all_of(said.values.get("points", "")))
    return result


def _cut(tables: str) -> list[str]:
    length = ROWS_HASH_DIGITS
    return [tables[start : start + length] for start in range(0, len(tables) - length + 1, length)]


def load_reads(objects: Objects) -> Reads:
    """What the ledger says. An object that cannot be read says nothing: its packs are read again the sooner."""
    found = [each for each in objects.records(READS) if each.origin is not Origin.FORGED]
    with ThreadPoolExecutor(READERS) as pool:
        texts = list(pool.map(lambda each: _load(objects, each), found))
    result = Reads()
    for each, reads in zip(found, texts, strict=True):
        if reads is not None:
            result.learn(reads, each.stored_at)
            result.objects = (*result.objects, each.key)
    return result


def _load(objects: Objects, found: Record) -> Reads | None:
    try:
        return decode_reads(found.key, objects.plain(found.key), objects.codec)
    except DamageError:
        return None


def record_reads(
    objects: Objects, read: Mapping[PackKey, str], at: datetime, points: Iterable[str] = ()
) -> None:
    """Record that these packs were read now and are right. By key: the hash of their rows if they were decoded, else
    nothing. `points` are those of which every pack was decoded, now or before."""
    tables = {key.id: table for key, table in read.items() if table}
    _write(objects, Reads({key.id: at for key in read}, (), tables, set(points)), at)


def _write(objects: Objects, reads: Reads, at: datetime) -> None:
    for some in _portions(reads):
        says = f"{READS}{at.astimezone(UTC).strftime(TIME)}-{secrets.token_hex(4)}"
        with suppress(ConflictError):  # the name is our own: the store took it, and its answer was lost
            objects.put(objects.names.name(says), encode_reads(some, objects.codec))


def _portions(reads: Reads) -> Iterator[Reads]:
    """As many as fit into a document each, so that it can be read again."""
    packs, points = sorted(reads.last), sorted(reads.points)
    for start in range(0, max(len(packs), len(points)), READS_PACKS):
        some = {pack: reads.last[pack] for pack in packs[start : start + READS_PACKS]}
        tables = {pack: reads.tables[pack] for pack in some if pack in reads.tables}
        yield Reads(some, (), tables, set(points[start : start + READS_PACKS]))


def compact_reads(objects: Objects, at: datetime, points: Callable[[], Collection[str]]) -> bool:
    """Put many such objects into one, without packs that are gone; whether that was done. `points` gives the ids of
    those that are there.

    Safe beside others who record or compact: what they write stays. Not done where nothing may be deleted.
    """
    reads = load_reads(objects)
    least = len(reads.last) // READS_PACKS
    if len(reads.objects) <= COMPACTED_ABOVE + least or not _may_delete(objects):
        return False
    stored = {key.id for key in objects.packs()}
    last = {pack: time for pack, time in reads.last.items() if pack in stored}
    there = reads.points.intersection(points()) if reads.points else set[str]()
    _write(objects, Reads(last, (), reads.tables, there), at)
    with suppress(StoreRefusedError):  # under Object Lock
        for key in reads.objects:
            objects.store.delete(key)
    return True


def _may_delete(objects: Objects) -> bool:
    try:
        objects.store.delete(f"{READS}none")
    except StoreRefusedError:
        return False
    return True
