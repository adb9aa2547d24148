"""Two attackers (docs/faults.md): a writer that was taken over, who holds the repository key and may create objects,
and the owner of the store, who holds no key and may do anything to objects."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta

import numpy as np
import zstandard

from backup_platform.domain.model import Proof, ProofMethod
from backup_platform.repository.objects.canonical import canonical
from backup_platform.repository.objects.names import (
    INDEXES,
    META,
    PACKS,
    IndexKey,
    PackKey,
    digest,
    packs_among,
)
from backup_platform.repository.packs.claims import by_pack
from backup_platform.repository.packs.index import IndexedPack, index_pack
from backup_platform.repository.packs.index_objects import decode_index, encode_index
from backup_platform.repository.packs.known import table_of
from backup_platform.repository.packs.packs import PackBuilder
from backup_platform.repository.records.forgotten import record_forgotten
from backup_platform.repository.records.reads import record_reads
from backup_platform.repository.records.tombstones import write_tombstones
from backup_platform.repository.repository import Repository
from backup_platform_tests.faults.memory import MemoryStore

TRIES = 40


@dataclass(frozen=True, slots=True)
class Writer:
    """Creates objects through `repository`, which has no identity, and never replaces or deletes one."""

    repository: Repository
    chance: random.Random

    def known(self) -> dict[PackKey, IndexedPack]:
        """What the indexes say, by the keys of packs that are there."""
        store = self.repository.store
        found: dict[PackKey, IndexedPack] = {}
        for key in sorted(each.key for each in store.list(INDEXES)):
            found |= by_pack(decode_index(self.repository.objects.plain(key)))
        return {key: pack for key, pack in found.items() if key in self.repository.objects.packs()}

    def act(self) -> str:
        """One attack; which."""
        acts: dict[str, Callable[[], object]] = {
            "a pack of garbage": self.garbage,
            "a pack of garbage and forged evidence": self.praised_garbage,
            "an index that is wrong about a pack": self.wrong_index,
            "an index that gives a pack blobs of others": self.foreign_blobs,
            "tombstones of others' packs": self.tombstone,
            "marks of damage on good packs": self.defame,
            "records that points were forgotten": self.forgotten,
        }
        name = self.chance.choice(sorted(acts))
        acts[name]()
        return name

    def garbage(self) -> IndexedPack:
        """It claims all blobs of a kind, sorts before every good pack, and is sound but for what its blobs are."""
        meta = self.chance.random() < 0.3
        prefix = META if meta else PACKS
        rows = [
            (row["blob"].tobytes(), int(row["length"]))
            for key, pack in sorted(self.known().items())
            if key.startswith(prefix)
            for row in pack.rows
        ]
        rows = rows or [(digest(b"a blob that nobody needs"), 20)]
        some = self.chance.sample(rows, max(1, len(rows) * self.chance.choice([1, 2, 2]) // 2))
        return self.store_garbage(sorted(some), meta=meta)

    def store_garbage(self, blobs: list[tuple[bytes, int]], *, meta: bool, tries: int = TRIES) -> IndexedPack:
        """A pack that is said to hold those blobs. Of so many tries, the first that sorts before every good pack."""
        store, prefix = self.repository.store, META if meta else PACKS
        self.repository.cipher.prepare_writing()
        good = [pack.key.id for pack in packs_among(store.list(prefix))]
        for salt in range(tries):
            builder = PackBuilder()
            for identity, length in blobs:
                level = zstandard.ZstdCompressor(level=1 + salt % 19)
                builder.add(level.compress(bytes([salt % 256]) * length), length, [(identity, length)])
            frames = list(builder.frames)
            stored = bytes(self.repository.cipher.wrap(prefix, builder.finish()).stored)
            if all(digest(stored).hex() < name for name in good):
                break
        pack = index_pack(PackKey.of(digest(stored), meta=meta), frames, len(stored))
        if pack.key not in self.repository.objects.packs():
            store.create(pack.key, stored)
        self.index([pack])
        return pack

    def store_honest(self, content: bytes) -> IndexedPack:
        """A pack that is what its own table says, in no index yet."""
        cipher, builder = self.repository.cipher, PackBuilder()
        frame = zstandard.ZstdCompressor().compress(content)
        builder.add(frame, len(content), [(cipher.hash(content), len(content))])
        frames = list(builder.frames)
        stored = bytes(cipher.wrap(PACKS, builder.finish()).stored)
        pack = index_pack(PackKey.of(digest(stored), meta=False), frames, len(stored))
        self.repository.store.create(pack.key, stored)
        return pack

    def claim_more(self, content: bytes, *, instead: bool = False) -> PackKey:
        """An honest pack, and an index that says that it holds what other packs hold, besides or `instead`."""
        others = [pack.rows for key, pack in self.known().items() if not key.meta]
        pack = self.store_honest(content)
        self.index([replace(pack, rows=np.concatenate(others if instead else [pack.rows, *others]))])
        return pack.key

    def praised_garbage(self) -> None:
        """What the ledger says of it is authentic: the writer holds the key."""
        pack, at = self.garbage(), self.repository.clock.now()
        table = table_of(pack.rows, self.repository.cipher.hash)
        points = [point.id for point in self.repository.points.readable()[0]]
        record_reads(self.repository.objects, {pack.key: table}, at, points)
        for point in self.repository.points.readable()[0]:
            self.repository.proofs.record(Proof(point.id, ProofMethod.DRILL, True, at, 0.1, {}), point)

    def wrong_index(self) -> None:
        """Sorted before the right one, and stored after it."""
        _, pack = self.pick()
        rows, count = pack.rows.copy(), len(pack.rows)
        wrong = self.chance.choice(["offsets", "lengths", "fewer", "none", "sizes"])
        if wrong == "offsets":
            rows["frame"] = rows["frame"][::-1] + 7
        elif wrong == "lengths":
            rows["length"] = rows["length"] + 1
        elif wrong == "sizes":
            rows["frame_stored"] = 1 << 31
        else:
            rows = rows[: count // 2 if wrong == "fewer" else 1].copy()
            if wrong == "none":
                rows["blob"] = np.frombuffer(digest(b"a blob that nobody needs"), "<u8").reshape(-1, 4)
        self.index([replace(pack, rows=rows)])

    def foreign_blobs(self) -> None:
        """A good pack is said to hold what other packs hold; it was read, and proven, and is what it was."""
        (_, pack), (_, other) = self.pick(), self.pick()
        if pack.key.meta == other.key.meta:
            rows = np.concatenate([pack.rows, other.rows])
            self.index([replace(pack, rows=rows)])

    def tombstone(self) -> None:
        """Final ones would stop backups; prune does as it is told by those that are not."""
        keys = sorted(self.repository.objects.packs())
        write_tombstones(self.repository.objects, self.chance.sample(keys, (len(keys) + 1) // 2))

    def defame(self) -> None:
        self.repository.marks.mark(self.pick()[0], "made up")

    def forgotten(self) -> None:
        for point in self.repository.points.readable()[0]:
            record_forgotten(self.repository.objects, point, "made up", self.repository.clock.now())

    def pick(self) -> tuple[PackKey, IndexedPack]:
        return self.chance.choice(sorted(self.known().items(), key=lambda item: item[0]))

    def index(self, packs: list[IndexedPack]) -> None:
        """With a name that sorts as early as some tries make it."""
        cipher, encoded = self.repository.cipher, encode_index(packs)
        wrapped = min((bytes(cipher.wrap(INDEXES, bytearray(encoded)).stored) for _ in range(8)), key=digest)
        key = IndexKey.of(digest(wrapped))
        if key not in {found.key for found in self.repository.store.list(INDEXES)}:
            self.repository.store.create(key, wrapped)


@dataclass(frozen=True, slots=True)
class Owner:
    """Does to the objects of a store what needs no key. Where nobody opens packs to tell what they hold, who harms
    `indexes` harms their packs (docs/prune.md)."""

    store: MemoryStore
    chance: random.Random
    indexes: bool

    def act(self) -> str:
        acts: dict[str, Callable[[], None]] = {
            "other times": self.redate,
            "a flipped bit": self.flip,
            "objects that changed places": self.swap,
            "an index that is gone": self.lose_index,
            "a ledger that is gone": self.lose_ledger,
            "a final tombstone": self.doom,
        }
        name = self.chance.choice(sorted(acts))
        if name != "an index that is gone" or self.indexes:
            acts[name]()
        return name

    def harmed(self, *prefixes: str) -> str:
        return self.chance.choice([each for each in prefixes if each != INDEXES or self.indexes])

    def pick(self, prefix: str) -> str:
        return self.chance.choice(sorted(self.store.keys(prefix)) or [""])

    def redate(self) -> None:
        """Everything may seem old, and what is new older than what was there before."""
        for key in sorted(self.store.keys(self.chance.choice(["", "packs/", "indexes/", "tombstones/"]))):
            data, found = self.store.objects[key]
            moved = found.modified - timedelta(hours=self.chance.randrange(100))
            self.store.objects[key] = data, replace(found, modified=moved)

    def flip(self) -> None:
        key = self.pick(self.harmed("packs/", "meta/", "indexes/", "tombstones/", "ledger/"))
        if key and (data := bytearray(self.store.get(key))):
            data[self.chance.randrange(len(data))] ^= 1
            self.store.alter(key, bytes(data))

    def swap(self) -> None:
        prefix = self.harmed("packs/", "meta/", "indexes/", "ledger/")
        one, other = self.pick(prefix), self.pick(prefix)
        if one:
            first, second = bytes(self.store.get(one)), bytes(self.store.get(other))
            self.store.alter(one, second)
            self.store.alter(other, first)

    def lose_index(self) -> None:
        self.store.delete(self.pick("indexes/"))

    def lose_ledger(self) -> None:
        for key in self.store.keys("ledger/"):
            self.store.delete(key)

    def doom(self) -> None:
        packs = sorted(self.store.keys("packs/") | self.store.keys("meta/"))
        data = canonical({"packs": list(self.chance.sample(packs, (len(packs) + 1) // 2))})
        self.store.replace(f"tombstones/{digest(data).hex()}.final", data)
