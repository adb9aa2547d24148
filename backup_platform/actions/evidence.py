"""Records of the ledger that are not evidence: forged ones, those of older versions, and those with a time in the
future."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace

from backup_platform.domain.model import Proof
from backup_platform.domain.words import are, first_of, how_many
from backup_platform.errors import ConflictError, DamageError
from backup_platform.repository.objects.names import (
    ACCEPTED,
    DAMAGED,
    FORGOTTEN,
    KEY_TESTS,
    LEDGER,
    PROOFS,
)
from backup_platform.repository.objects.objects import Objects
from backup_platform.repository.objects.record_names import Origin, Record, counts_unread, kind_of
from backup_platform.repository.points.chains import strange_names
from backup_platform.repository.records.acceptances import read_acceptance
from backup_platform.repository.records.forgotten import require_authentic
from backup_platform.repository.records.holds import read_holds
from backup_platform.repository.records.marks import Marks
from backup_platform.repository.records.proofs import Proofs, proofs_by_point
from backup_platform.repository.repository import Repository

READERS = 8
NAMED = 5  # of the records in a sentence
READ_MOST = 32  # records of older versions, for who only lists points
# Those of older versions that are read whenever they are asked for, or replaced by themselves, need no new name.
ADOPTED = (PROOFS, DAMAGED, KEY_TESTS, ACCEPTED, FORGOTTEN)
SETTLE = (
    "Only somebody with the repository key can store such an index, in an unencrypted repository whoever may write. "
    "Find out who did: docs/repair.md. Then delete the record in the store."
)
FIND_OUT = "Find out who wrote to the store, then delete these objects there."


@dataclass(frozen=True, slots=True)
class Doubts:
    """Keys of records. `holds` are sentences about holds that cannot be read, which stay in force. `strange` are
    objects among the manifests that are not named like one. `claims` are sentences about the first of the `claimed`
    packs that indexes described falsely. `counting` are damage marks that are not authentic, and count."""

    forged: tuple[str, ...] = ()
    older: tuple[str, ...] = ()
    ahead: tuple[str, ...] = ()
    holds: tuple[str, ...] = ()
    strange: tuple[str, ...] = ()
    claims: tuple[str, ...] = ()
    claimed: int = 0
    counting: tuple[str, ...] = ()

    def findings(self) -> list[str]:
        """What is wrong with a repository, one sentence each."""
        forged = [f"{self.forgery()} {FIND_OUT}"] if self.forged else []
        counting = [f"{self.forged_marks()} {FIND_OUT}"] if self.counting else []
        return [*forged, *counting, *self.holds, *self.false_claims()]

    def forged_marks(self) -> str:
        return (
            f"{how_many(len(self.counting), 'damage mark')} {are(len(self.counting))} forged or altered. Such a mark "
            "counts, because it only makes writers careful: the next backup stores the data of the pack again, which "
            f"costs space: {first_of(self.counting, NAMED)}."
        )

    def false_claims(self) -> list[str]:
        """What somebody has to look at, one sentence."""
        if not self.claimed:
            return []
        return [
            f"Indexes made false claims about {how_many(self.claimed, 'pack')}, or nobody here could check them: "
            f"{first_of(self.claims, NAMED, ' ', self.claimed)} {SETTLE}"
        ]

    def forgery(self) -> str:
        return (
            f"{how_many(len(self.forged), 'record')} of the ledger {are(len(self.forged))} forged or altered, and "
            f"ignored: {first_of(self.forged, NAMED)}."
        )

    def notes(self) -> list[str]:
        """Remarks for people. They do not concern the recovery points."""
        notes = [(self.older, self.age), (self.ahead, self.future), (self.strange, self.strangers)]
        return [tell() for found, tell in notes if found]

    def strangers(self) -> str:
        return (
            f"{how_many(len(self.strange), 'object')} below manifests/ {are(len(self.strange))} not named like a "
            f"manifest: {first_of(self.strange, NAMED)}. {FIND_OUT}"
        )

    def age(self) -> str:
        have = "have names" if len(self.older) > 1 else "has a name"
        return (
            f"{how_many(len(self.older), 'record')} of the ledger {have} without a hash. Older versions made such "
            "records, and anybody can forge them. They prove nothing until `repair` has read them."
        )

    def future(self) -> str:
        return (
            f"{how_many(len(self.ahead), 'record')} of the ledger {are(len(self.ahead))} not evidence, because the "
            f"time in the name is later than when the store received it: {first_of(self.ahead, NAMED)}. Set the clock "
            "of the host that wrote it, or of the store, and prove the point again."
        )


def doubts_of(records: Iterable[Record]) -> Doubts:
    """Found by names alone. A record of an older version that `repair` has adopted is no longer a doubt."""
    found = defaultdict[Origin, list[Record]](list)
    for record in records:
        if kind_of(record.says):
            found[record.origin].append(record)
    adopted = {record.says for record in found[Origin.GENUINE]}
    older = [
        each for each in found[Origin.OLDER] if each.says.startswith(ADOPTED) and each.says not in adopted
    ]
    return Doubts(forged=_keys(found[Origin.FORGED]), older=_keys(older), ahead=_keys(found[Origin.AHEAD]))


def _keys(records: Iterable[Record]) -> tuple[str, ...]:
    return tuple(record.key for record in records)


@dataclass(frozen=True, slots=True)
class Evidence:
    """Reads the records of a repository's ledger, and separates evidence from records that are not."""

    repository: Repository

    def proofs(self) -> tuple[dict[str, list[Proof]], Doubts]:
        """Proofs by point id, and the records that are not evidence. It takes one listing."""
        records = self.repository.objects.records(PROOFS)
        found = doubts_of(records)
        if len(found.older) <= READ_MOST:
            found = self._settled(found)
        forged = set(found.forged)
        return proofs_by_point(each for each in records if each.key not in forged), found

    def of_points(self, points: Iterable[str]) -> Doubts:
        """Doubts about the proofs of some points, given by id."""
        return self._settled(self.listed(*(f"{PROOFS}{point}/" for point in points)))

    def of_keys(self) -> Doubts:
        """Doubts about the tests of identities."""
        return self._settled(self.listed(KEY_TESTS))

    def of_all(self) -> Doubts:
        """Doubts about the whole ledger. The bodies of holds are read as well."""
        found = self._settled(self.listed(LEDGER))
        held = [hold for holds in read_holds(self.repository.objects).values() for hold in holds]
        unread = tuple(
            f"{hold.damaged} The point stays held." for hold in held if hold.damaged and not hold.released_at
        )
        claims, claimed = self.repository.marks.false_claims(NAMED)
        strange = strange_names(self.repository.objects)
        return replace(found, holds=unread, strange=strange, claims=tuple(claims), claimed=claimed)

    def listed(self, *prefixes: str) -> Doubts:
        """The records below some prefixes, by names alone."""
        listings = (self.repository.objects.records(prefix) for prefix in prefixes)
        return doubts_of(record for records in listings for record in records)

    def _settled(self, found: Doubts) -> Doubts:
        """The documents of older versions are read: they tell which of these records are forged."""
        genuine = set(self.authentic(found.older)) if found.older else set()
        false = [key for key in found.older if key not in genuine]
        return replace(
            found,
            forged=(*found.forged, *(key for key in false if not counts_unread(key))),
            counting=tuple(key for key in false if counts_unread(key)),
            older=tuple(key for key in found.older if key in genuine),
        )

    def authentic(self, keys: Sequence[str]) -> Iterator[str]:
        """Some records of older versions: those whose documents are authentic, and match their names."""
        with ThreadPoolExecutor(READERS) as pool:
            for key, good in zip(keys, pool.map(self._is_authentic, keys), strict=True):
                if good:
                    yield key

    def adopt(self, keys: Sequence[str]) -> None:
        """Store authentic records of older versions under the names that this version gives them. Raises StoreError."""
        store = self.repository.store
        for key in self.authentic(keys):
            with suppress(ConflictError):  # somebody else did
                store.create(self.repository.objects.names.name(key), store.get(key))

    def _is_authentic(self, key: str) -> bool:
        try:
            _READERS[kind_of(key)](self.repository.objects, key)
        except DamageError:
            return False
        return True


def _read_proof(objects: Objects, key: str) -> None:
    Proofs(objects).read(key)


def _read_mark(objects: Objects, key: str) -> None:
    Marks(objects).require_authentic(key)


def _read_key_test(objects: Objects, key: str) -> None:
    from backup_platform.repository.encryption.key_tests import read_test

    read_test(objects, key)


_READERS: dict[str, Callable[[Objects, str], object]] = {
    PROOFS: _read_proof,
    DAMAGED: _read_mark,
    KEY_TESTS: _read_key_test,
    ACCEPTED: read_acceptance,
    FORGOTTEN: require_authentic,
}
