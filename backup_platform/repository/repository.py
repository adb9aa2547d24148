"""A repository: recovery points, their blobs and their proofs, in one store (FORMAT.md)."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from backup_platform.domain.limits import INDEX_ROWS
from backup_platform.domain.model import Proof, RecoveryPoint, Window
from backup_platform.domain.ports import Buffer, Clock, Store, Wrapped
from backup_platform.errors import (
    ConflictError,
    DamageError,
    NotFoundError,
    StoreRefusedError,
)
from backup_platform.repository.encryption.cipher import open_cipher
from backup_platform.repository.encryption.key_files import Keys
from backup_platform.repository.objects.canonical import sign, unsign
from backup_platform.repository.objects.info import RepositoryInfo, read_info
from backup_platform.repository.objects.names import (
    DAMAGED,
    INDEXES,
    MANIFESTS,
    META,
    PACKS,
    PROOFS,
    HashedKey,
    IndexKey,
    ManifestKey,
    PackKey,
    StoredPack,
    digest,
    is_named_by,
    packs_among,
    source_tag,
)
from backup_platform.repository.objects.record_names import Origin, Record, RecordNames, is_mark
from backup_platform.repository.packs.known import Known, table_of
from backup_platform.repository.points.chains import next_place, require_place
from backup_platform.repository.points.manifests import decode_manifest, encode_manifest
from backup_platform.repository.records.marks import mark_name, marked
from backup_platform.repository.records.proofs import (
    ProvenPoint,
    decode_proof,
    decode_subject,
    encode_proof,
    parse_proof_key,
    proofs_by_point,
    proofs_of,
    subject_of,
)

if TYPE_CHECKING:
    from backup_platform.repository.packs.index import IndexedPack
    from backup_platform.repository.packs.indexes import Indexes
    from backup_platform.repository.packs.packs import Frame, PackBuilder
    from backup_platform.repository.points.point_reader import RecoveryPointReader

MANIFEST_READERS = 8


class Repository:
    """Opened on a store. Raises RepositoryMissingError when there is none, KeyMissingError without the right key."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        *,
        level: int = 3,
        keys: Keys | None = None,
        known: Known | None = None,
        expect: Callable[[RepositoryInfo], None] = lambda info: None,
    ) -> None:
        """`expect` is asked before any key is tried, and raises when another repository is meant."""
        self.store, self.clock, self.level = store, clock, level
        self.known = Known() if known is None else known
        self.name = ""  # in the plan
        self.info = read_info(store)
        expect(self.info)
        self.cipher = open_cipher(self.info, store, Keys() if keys is None else keys)
        self.names = RecordNames.of(self.cipher, self.info.id)
        self._indexes: Indexes | None = None
        self._manifests: dict[str, RecoveryPoint] = {}
        self.authentic_records: set[str] = set()  # of older versions, by their documents
        self.forgotten_windows: dict[str, Window] = {}  # by the key of their record, as far as they were read

    def manifests(self, source: str | None = None, *, reread: bool = False) -> list[RecoveryPoint]:
        """Every recovery point, also superseded ones, oldest sequence first. Raises DamageError.

        Manifests that were read before are only listed again, unless `reread` is set.
        """
        points, errors = self.readable_manifests(source, reread=reread)
        if errors:
            raise errors[0]
        return points

    def readable_manifests(
        self, source: str | None = None, *, reread: bool = False
    ) -> tuple[list[RecoveryPoint], list[DamageError]]:
        """Like `manifests`, and what is wrong with those that are damaged: for what one of them must not stop."""
        if reread:
            self._manifests.clear()
        listed = sorted(self.stored_manifests(source).items())
        with ThreadPoolExecutor(MANIFEST_READERS) as pool:
            results = list(pool.map(self._manifest, *zip(*listed, strict=True))) if listed else []
        points = [result for result in results if isinstance(result, RecoveryPoint)]
        errors = [result for result in results if isinstance(result, DamageError)]
        return sorted(self._with_acceptances(points), key=lambda p: (p.source, p.sequence)), errors

    def is_readable(self, key: str, stored_at: datetime) -> bool:
        return isinstance(self._manifest(key, stored_at), RecoveryPoint)

    def _manifest(self, key: str, stored_at: datetime) -> RecoveryPoint | DamageError:
        if key not in self._manifests:
            try:
                self._manifests[key] = self._decode_manifest(key)
            except DamageError as error:
                error.subject = key
                return error
        known = self._manifests[key]
        if known.stored_at != stored_at:
            known = self._manifests[key] = replace(known, stored_at=stored_at)
        return known

    def _with_acceptances(self, points: list[RecoveryPoint]) -> list[RecoveryPoint]:
        """Suspect points that somebody accepted say so. The ledger is only asked where there are some."""
        from backup_platform.repository.records.acceptances import read_acceptances

        suspect = {point.id for point in points if point.suspect}
        reasons = read_acceptances(self, suspect) if suspect else {}
        return [replace(p, accepted=reasons[p.id].reason) if p.id in reasons else p for p in points]

    def _decode_manifest(self, key: str) -> RecoveryPoint:
        return decode_manifest(key, self.plain(key), self.info.id, self.cipher.hash)

    def _chain(self, source: str) -> str:
        return f"{MANIFESTS}{source_tag(source, self.cipher.hash)}/"

    def manifest_key(self, point: RecoveryPoint) -> ManifestKey:
        return ManifestKey.of(point.source, point.sequence, self.cipher.hash)

    def next_sequence(self, source: str) -> int:
        """The place in the chain of a source that its next point takes."""
        return next_place(self, source)

    def manifest_location(self, point: RecoveryPoint) -> str:
        """Where a point's manifest is, for people."""
        return f"{self.store.location.rstrip('/')}/{self.manifest_key(point)}"

    def stored_manifests(self, source: str | None = None) -> dict[ManifestKey, datetime]:
        """When the store received each manifest, of a source or of all, by key. Objects of other names are none."""
        listed = self.store.list(MANIFESTS if source is None else self._chain(source))
        return {key: found.modified for found in listed if (key := ManifestKey.match(found.key))}

    def delete_manifest(self, point: RecoveryPoint) -> None:
        """Only for retention. The point is gone; its packs are prune's."""
        key = self.manifest_key(point)
        self.store.delete(key)
        self._manifests.pop(key, None)

    def indexes(self, *, fresh: bool = False) -> Indexes:
        """The indexes of packs that the store lists now, for reading. Kept until `fresh` is asked for."""
        from backup_platform.repository.packs.indexes import load_indexes

        if fresh or self._indexes is None:
            self._indexes = load_indexes(self)
        return self._indexes

    def keep_indexes(self, indexes: Indexes | None) -> None:
        """What readers use from now on; None: what the store lists by then."""
        self._indexes = indexes

    def stored_packs(self) -> dict[PackKey, StoredPack]:
        """The packs in the store. What has no name of a pack is none, and nobody touches it."""
        listed = (found for prefix in (PACKS, META) for found in self.store.list(prefix))
        return {pack.key: pack for pack in packs_among(listed)}

    def list_packs(self) -> dict[PackKey, int]:
        """Keys and sizes of the packs in the store."""
        return {key: found.size for key, found in self.stored_packs().items()}

    def tombstoned(self) -> set[PackKey]:
        """Keys of packs that prune is about to delete, or deletes: nothing new may build on them."""
        from backup_platform.repository.records.tombstones import read_tombstones

        tombstones = read_tombstones(self)
        tombstones.require_finals()
        return set(tombstones.condemned)

    def records(self, prefix: str) -> list[Record]:
        """Records of the ledger below a prefix, in the order of their keys, as far as a listing tells of them."""
        return sorted(self.names.all(self.store.list(prefix)))

    def damaged(self) -> set[HashedKey]:
        """Keys of packs that a verify found damaged, and of indexes that it found wrong.

        Marks of packs by older versions count: they only make careful. Marks of indexes these did not make.
        """
        marks = (each.says for each in self.records(DAMAGED) if is_mark(each))
        return {key for mark in marks if (key := marked(mark))}

    def mark_damaged(self, key: HashedKey, reason: str) -> None:
        """Make writers store the blobs of a pack again, from sources that still have them; let nobody use an index."""
        _, data = sign({"at": self.clock.now().isoformat(), "pack": key, "reason": reason}, self.cipher.hash)
        mark = self.names.name(mark_name(key))
        with suppress(ConflictError):
            self.store.create(mark, self.cipher.wrap(mark, data).stored)

    def read_mark(self, key: str, pack: str | None) -> None:
        """Raises DamageError unless the document of a mark is authentic, and says that it is of this pack."""
        if unsign(key, self.plain(key), self.cipher.hash)[1].get("pack") != pack:
            raise DamageError(
                f"The object {key} belongs elsewhere: somebody moved or copied it.", subject=key
            )

    def unmark_damaged(self, key: HashedKey) -> None:
        for mark in (mark_name(key), self.names.name(mark_name(key))):
            self.store.delete(mark)

    def verified(self, key: str) -> Buffer:
        """An object that is named by its hash. Raises DamageError when the bytes are not those of its name."""
        data = self._get(key)
        if not is_named_by(key, data):
            raise DamageError(
                f"The object {key} is altered: its bytes do not have the hash of its name.",
                subject=key,
                hint="Restore it from a copy of the repository, or back up anew.",
            )
        return data

    def plain(self, key: str) -> Buffer:
        """The plain bytes of an object, which has the hash of its name where it is named by one.

        Raises DamageError, and KeyMissingError for contents that no key on this host opens.
        """
        named = key.startswith((PACKS, META, INDEXES))
        return self.cipher.unwrap(key, self.verified(key) if named else self._get(key))

    def checked_pack(self, key: str) -> list[Frame]:
        """Decode a stored pack entirely and compare every blob. Raises DamageError, KeyMissingError."""
        from backup_platform.repository.packs.packs import check_pack

        return check_pack(self.plain(key), self.cipher.hash)

    def _get(self, key: str) -> Buffer:
        """An object that was written or listed. Raises DamageError when it is not there."""
        try:
            return self.store.get(key)
        except NotFoundError as error:
            raise DamageError(
                f"The object {key} is not in the store any more.", subject=key, missing=True
            ) from error

    def reader(self, point: RecoveryPoint) -> RecoveryPointReader:
        from backup_platform.repository.packs.blob_reader import BlobReader
        from backup_platform.repository.points.point_reader import RecoveryPointReader

        indexes = self.indexes()
        settings: Any = {"cipher": self.cipher, "sizes": indexes.listed}
        return RecoveryPointReader(
            point,
            BlobReader(self.store, indexes.contents, **settings),
            BlobReader(self.store, indexes.meta, **settings),
        )

    def store_pack(
        self, pack: PackBuilder, *, meta: bool, avoided: Collection[PackKey] = frozenset()
    ) -> IndexedPack:
        """Store a pack, read it back, decode it and compare every blob. Raises DamageError or StoreError.

        `avoided` are keys that it must not get, because packs of these names are being deleted.
        """
        from backup_platform.repository.packs.index import index_pack
        from backup_platform.repository.packs.packs import check_stored

        key, wrapped = self._wrapped(pack, meta, avoided)
        size, opened = len(wrapped.stored), wrapped.opened
        was_there = not self._put_named(key, wrapped.stored)
        del wrapped
        stored = self._read_back(key)
        frames = check_stored(stored, opened(stored), self.cipher.hash)
        if frames != pack.frames:
            raise DamageError(f"The pack {key} reads back with other blobs than were written.", subject=key)
        if was_there:
            with suppress(StoreRefusedError):  # a writer that may not delete: the next verify does
                self.unmark_damaged(key)
        packed = index_pack(key, frames, size)
        self.known.learn({key.id: table_of(packed.rows, self.cipher.hash)})
        return packed

    def _wrapped(
        self, pack: PackBuilder, meta: bool, avoided: Collection[PackKey]
    ) -> tuple[PackKey, Wrapped]:
        from backup_platform.repository.packs.packs import compressed_otherwise

        frames = pack.frames
        key, wrapped = self._named(pack.finish(), meta)
        if key not in avoided:
            return key, wrapped
        plain = self._plain_of(wrapped)
        for other in compressed_otherwise(plain, frames):
            pack.frames = other.frames
            key, wrapped = self._named(other.finish(), meta)
            if key not in avoided:
                break
        return key, wrapped

    def _named(self, plain: Buffer, meta: bool) -> tuple[PackKey, Wrapped]:
        wrapped = self.cipher.wrap(META if meta else PACKS, plain)
        return PackKey.of(digest(wrapped.stored), meta=meta), wrapped

    def _plain_of(self, wrapped: Wrapped) -> Buffer:
        part, view = wrapped.opened(wrapped.stored), memoryview(wrapped.stored)
        return part.read(0, part.plain, lambda start, length: view[start : start + length])

    def _put_named(self, key: str, data: Buffer) -> bool:
        """Store an object under its own hash, or mend one that is damaged; whether there was none before."""
        try:
            self.store.create(key, data)
        except ConflictError:
            try:
                self.verified(key)
            except DamageError:
                self.store.replace(key, data)
            return False
        return True

    def _read_back(self, key: str) -> Buffer:
        """Like `verified`. That it is gone may be the work of a prune, and the next run stores it again."""
        try:
            return self.verified(key)
        except DamageError as error:
            error.retryable = error.missing
            raise

    def write_index(self, packs: Sequence[IndexedPack]) -> None:
        """Store the index of some packs and read it back; several where they have very many blobs. Raises DamageError
        or StoreError."""
        from backup_platform.repository.packs.index_objects import encode_index, portions

        for some in portions(packs, INDEX_ROWS):
            data = self.cipher.wrap(INDEXES, encode_index(some)).stored
            key = IndexKey.of(digest(data))
            self._put_named(key, data)
            self._read_back(key)

    def commit(self, point: RecoveryPoint) -> RecoveryPoint:
        """Create the manifest and read it back. Raises ConflictError when another writer took the sequence, and
        RepositoryError when there is no place left.

        A second call with the same point succeeds, too: the store's client may repeat what was answered too late.
        """
        complete, data = encode_manifest(point, self.info.id, self.cipher.hash)
        require_place(complete, self._chain(complete.source))
        key = self.manifest_key(complete)
        try:
            self.store.create(key, self.cipher.wrap(key, data).stored)
        except ConflictError:
            if not self._holds(key, data):
                raise
        if self._decode_manifest(key) != complete:
            raise DamageError(f"The manifest {key} reads back different from what was written.", subject=key)
        return complete

    def _holds(self, key: str, plain: bytes) -> bool:
        try:
            return bytes(self.plain(key)) == plain
        except DamageError:
            return False

    def record_proof(self, proof: Proof, point: RecoveryPoint | None = None) -> None:
        """With the point that it is about, the proof tells of it also when its manifest is gone."""
        subject = subject_of(point, self.info.id) if point else None
        says, data = encode_proof(proof, self.cipher.hash, subject)
        key = self.names.name(says)
        self.store.create(key, self.cipher.wrap(key, data).stored)

    def proofs(self) -> dict[str, list[Proof]]:
        """Verdicts by point id, oldest first, from a listing alone: `detail` and `duration_s` are left out."""
        return proofs_by_point(self.records(PROOFS))

    def proof_details(self, point: str) -> list[Proof]:
        """The full verdicts of one point that count, oldest first. Raises DamageError."""
        return list(self._details(self.records(f"{PROOFS}{point}/")))

    def _details(self, records: Iterable[Record]) -> Iterator[Proof]:
        for record, _ in proofs_of(records):
            try:
                yield self.read_proof(record.key)
            except DamageError:
                if record.counts:
                    raise

    def proof_keys(self, point: str) -> list[str]:
        """Where the verdicts of one point are whose bodies may be authentic, oldest first."""
        records = self.records(f"{PROOFS}{point}/")
        return [each.key for each in records if each.origin in (Origin.GENUINE, Origin.OLDER)]

    def proven_once(self) -> set[str]:
        """Ids of the points that proofs tell of, also those of older versions: who acts on one reads its body."""
        told = (
            parse_proof_key(each.key) for each in self.records(PROOFS) if each.origin is not Origin.FORGED
        )
        return {proof.point for proof in told if proof}

    def read_proof(self, key: str) -> Proof:
        """Raises DamageError."""
        return decode_proof(key, self.plain(key), self.cipher.hash)

    def read_subject(self, key: str) -> ProvenPoint | None:
        """Which point a proof is about. Raises DamageError."""
        return decode_subject(key, self.plain(key), self.info.id, self.cipher.hash)
