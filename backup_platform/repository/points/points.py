"""The recovery points of a repository: their manifests, read, committed and deleted (FORMAT.md §7)."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime

from backup_platform.domain.model import RecoveryPoint
from backup_platform.errors import ConflictError, DamageError
from backup_platform.repository.objects.names import MANIFESTS, ManifestKey, source_tag
from backup_platform.repository.objects.objects import Objects
from backup_platform.repository.points.chains import REACH, REACH_OF_NONE, require_place
from backup_platform.repository.points.manifests import decode_manifest, encode_manifest
from backup_platform.repository.records.acceptances import read_acceptances
from backup_platform.repository.records.forgotten import forgotten_places

READERS = 8


class Points:
    """The recovery points of one repository. Manifests that were read before are not read again."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects
        self._read: dict[ManifestKey, RecoveryPoint] = {}

    def all(self, source: str | None = None, *, reread: bool = False) -> list[RecoveryPoint]:
        """Also superseded ones, oldest sequence first; of all sources, or of one. Raises DamageError."""
        points, errors = self.readable(source, reread=reread)
        if errors:
            raise errors[0]
        return points

    def readable(
        self, source: str | None = None, *, reread: bool = False
    ) -> tuple[list[RecoveryPoint], list[DamageError]]:
        """Like `all`, and what is wrong with the damaged manifests. For callers that a damaged manifest must not
        stop."""
        if reread:
            self._read.clear()
        points, errors = self.read(self.stored(source))
        return sorted(self._with_acceptances(points), key=lambda p: (p.source, p.sequence)), errors

    def read(self, listed: Mapping[ManifestKey, datetime]) -> tuple[list[RecoveryPoint], list[DamageError]]:
        """The points of some listed manifests, without their acceptances, and what is wrong with those that are
        damaged."""
        if not listed:
            return [], []
        with ThreadPoolExecutor(READERS) as pool:
            results = list(pool.map(self._look, *zip(*sorted(listed.items()), strict=True)))
        points = [result for result in results if isinstance(result, RecoveryPoint)]
        return points, [result for result in results if isinstance(result, DamageError)]

    def ids(self) -> set[str]:
        """The ids of all readable points."""
        return {point.id for point in self.readable()[0]}

    def _look(self, key: ManifestKey, stored_at: datetime) -> RecoveryPoint | DamageError:
        if key not in self._read:
            try:
                self._read[key] = self._decode(key)
            except DamageError as error:
                error.subject = key
                return error
        known = self._read[key]
        if known.stored_at != stored_at:
            known = self._read[key] = replace(known, stored_at=stored_at)
        return known

    def _decode(self, key: ManifestKey) -> RecoveryPoint:
        return decode_manifest(key, self._objects.plain(key), self._objects.codec)

    def _with_acceptances(self, points: list[RecoveryPoint]) -> list[RecoveryPoint]:
        """Suspect points that somebody accepted say so. The ledger is only asked where there are some."""
        suspect = {point.id for point in points if point.suspect}
        reasons = read_acceptances(self._objects, suspect) if suspect else {}
        return [replace(p, accepted=reasons[p.id].reason) if p.id in reasons else p for p in points]

    # Places

    def key(self, point: RecoveryPoint) -> ManifestKey:
        return self.key_of(point.source, point.sequence)

    def key_of(self, source: str, sequence: int) -> ManifestKey:
        """The key of the manifest in a place of a chain."""
        return ManifestKey.of(source, sequence, self._objects.cipher.hash)

    def location(self, point: RecoveryPoint) -> str:
        """Where a point's manifest is, for people."""
        return f"{self._objects.store.location.rstrip('/')}/{self.key(point)}"

    def stored(self, source: str | None = None) -> dict[ManifestKey, datetime]:
        """When the store received each manifest, of one source or of all, by key. Objects that are not named like a
        manifest are left out."""
        listed = self._objects.store.list(MANIFESTS if source is None else self._chain(source))
        return {key: found.modified for found in listed if (key := ManifestKey.match(found.key))}

    def _chain(self, source: str) -> str:
        return f"{MANIFESTS}{source_tag(source, self._objects.cipher.hash)}/"

    def next_sequence(self, source: str) -> int:
        """The number in the chain of a source that its next point gets. It is higher than the highest readable
        manifest, and higher than unreadable manifests in reach, because each of them may be repaired. An unreadable one
        further up was not written by a backup, and must not use up the numbers."""
        stored = self.stored(source)
        highest = max(stored, key=lambda key: key.sequence, default=None)
        if highest and isinstance(self._look(highest, stored[highest]), RecoveryPoint):
            return highest.sequence + 1
        taken = {key.sequence for key in stored}
        known = max((point.sequence for point in self.readable(source)[0]), default=0)
        if max(taken, default=0) > known:
            places = forgotten_places(self._objects, source)
            known = max([known, *(place.sequence for place in places)])
        reach = known + (REACH if known else REACH_OF_NONE)
        following = max((place for place in taken if place <= reach), default=0) + 1
        while following in taken:
            following += 1
        return following

    # Changes

    def commit(self, point: RecoveryPoint) -> RecoveryPoint:
        """Create the manifest and read it back. Raises ConflictError if another writer took the number, and
        RepositoryError if no number is left. A second call with the same point succeeds as well, because the store's
        client may repeat a request that was answered too late."""
        complete, data = encode_manifest(point, self._objects.codec)
        require_place(complete, self._chain(complete.source))
        key = self.key(complete)
        try:
            self._objects.put(key, data)
        except ConflictError:
            if not self._holds(key, data):
                raise
        if self._decode(key) != complete:
            raise DamageError(f"The manifest {key} reads back different from what was written.", subject=key)
        return complete

    def _holds(self, key: ManifestKey, plain: bytes) -> bool:
        try:
            return bytes(self._objects.plain(key)) == plain
        except DamageError:
            return False

    def delete(self, point: RecoveryPoint) -> None:
        """Only for retention. The point is gone; its packs are prune's."""
        key = self.key(point)
        self._objects.store.delete(key)
        self._read.pop(key, None)
