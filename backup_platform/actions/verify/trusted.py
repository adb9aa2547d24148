"""Reading unvouched packs first (docs/encryption.md). Until somebody decodes them, their indexes may be wrong on
purpose."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from backup_platform.actions.structure import Needs
from backup_platform.domain.model import Proof, RecoveryPoint
from backup_platform.domain.trust.vouching import Vouched, unvouched_bytes
from backup_platform.repository.objects.names import PackKey
from backup_platform.repository.records.reads import load_reads, record_reads
from backup_platform.repository.repository import Repository

AT_ONCE = 1 << 30  # bytes that a verify which reads a share reads at least of what was taken on trust


def load_vouched(repository: Repository) -> Vouched:
    """What the ledger says was decoded."""
    reads = load_reads(repository.objects)
    return Vouched({str(pack): table for pack, table in reads.tables.items()}, reads.points)


def unvouched(
    repository: Repository, points: Sequence[RecoveryPoint], proofs: Mapping[str, Sequence[Proof]]
) -> dict[str, int | None]:
    """`unvouched_bytes` by point id. Reads the ledger's records of reads, and no inventory."""
    vouched = Vouched() if _nothing_taken(points) else load_vouched(repository)
    return {point.id: unvouched_bytes(point, vouched, proofs.get(point.id, ())) for point in points}


def unvouched_of(repository: Repository, point: RecoveryPoint) -> int | None:
    """The unvouched bytes of one point. If it refers only to data that its writer checked, nothing is read."""
    if _nothing_taken([point]):
        return 0
    return unvouched(repository, [point], repository.proofs.by_point())[point.id]


def _nothing_taken(points: Sequence[RecoveryPoint]) -> bool:
    return all(point.unvouched and not point.unvouched.size for point in points)


@dataclass(frozen=True, slots=True)
class Trusting:
    """The points of a verify that refer to packs which their writer did not check and nobody has decoded yet, and
    points for which this is unknown."""

    repository: Repository
    points: tuple[RecoveryPoint, ...]
    vouched: Vouched

    @classmethod
    def of(cls, repository: Repository, points: Sequence[RecoveryPoint]) -> Trusting:
        if _nothing_taken(points):
            return cls(repository, (), Vouched())
        vouched, proofs = load_vouched(repository), repository.proofs.by_point()
        left = (p for p in points if unvouched_bytes(p, vouched, proofs.get(p.id, ())) != 0)
        return cls(repository, tuple(left), vouched)

    def packs(self, needs: Mapping[str, Needs]) -> list[PackKey]:
        """What to read first, the largest parts first. Empty if no key opens it."""
        if not self.repository.cipher.reads_contents:
            return []
        named: dict[PackKey, int] = {}
        others: set[PackKey] = set()
        for point in self.points:
            wanted = needs[point.id].packs
            mine = self._named(point, wanted)
            for key, size in mine.items():
                named[key] = max(size, named.get(key, 0))
            if sum(mine.values()) < (unvouched_bytes(point, self.vouched, ()) or 0):
                others |= {key for key in wanted if key.id not in self.vouched.tables}
        return [*sorted(named, key=lambda key: (-named[key], key)), *sorted(others - named.keys())]

    def _named(self, point: RecoveryPoint, wanted: Iterable[PackKey]) -> dict[PackKey, int]:
        """The packs that a point names and still needs."""
        packs = point.unvouched.packs if point.unvouched else ()
        open_ = [each for each in packs if self.vouched.tables.get(each.pack) != each.table]
        sizes = {each.pack: each.size for each in open_}
        return {key: sizes[key.id] for key in wanted if key.id in sizes}

    def settle(self, read: Mapping[PackKey, str], needs: Mapping[str, Needs]) -> None:
        """Record the points whose needed packs were all decoded, now or before, and hold what the index says. Raises
        StoreError."""
        tables = {**self.vouched.tables, **{str(key.id): table for key, table in read.items() if table}}
        wanted = {key for point in self.points for key in needs[point.id].packs}
        indexes, hashed = self.repository.indexes(), self.repository.cipher.hash
        right = {k for k in wanted if k.id in tables and indexes.table(k, hashed) == tables[k.id]}
        whole = [p.id for p in self.points if not needs[p.id].findings and needs[p.id].packs <= right]
        decoded = {key: table for key, table in read.items() if table}
        if self.points and (decoded or whole):
            record_reads(self.repository.objects, decoded, self.repository.clock.now(), whole)


def within(packs: Sequence[PackKey], sizes: Mapping[PackKey, int], limit: int) -> list[PackKey]:
    """The first of some packs, as many as fit."""
    chosen: list[PackKey] = []
    total = 0
    for key in packs:
        total += sizes.get(key, 0)
        if total > limit and chosen:
            break
        chosen.append(key)
    return chosen
