"""A repository: recovery points, their blobs and their proofs, in one store (FORMAT.md)."""

from __future__ import annotations

from collections.abc import Callable, Collection
from functools import partial
from typing import TYPE_CHECKING

from backup_platform.domain.model import RecoveryPoint, Window
from backup_platform.domain.ports import Capabilities, Cipher, Clock, Store
from backup_platform.repository.encryption.cipher import open_cipher
from backup_platform.repository.encryption.key_files import Keys
from backup_platform.repository.objects.info import RepositoryInfo, read_info
from backup_platform.repository.objects.names import PackKey
from backup_platform.repository.objects.objects import Objects
from backup_platform.repository.packs.known import Known, table_of
from backup_platform.repository.points.notes import Notes
from backup_platform.repository.points.points import Points
from backup_platform.repository.records.marks import Marks
from backup_platform.repository.records.proofs import Proofs

if TYPE_CHECKING:
    from backup_platform.repository.packs.index import IndexedPack
    from backup_platform.repository.packs.indexes import Indexes
    from backup_platform.repository.packs.packs import PackBuilder
    from backup_platform.repository.points.point_reader import RecoveryPointReader


class Repository:
    """An open repository on a store. Raises RepositoryMissingError if there is none, and KeyMissingError without the
    right key. `objects` is what its parts use: `points`, the `proofs` and `marks` of its ledger, and all code that
    needs no whole repository. `known` is what this host knows of it from its own work, `level` the level of
    compression, and `capabilities` those of the store."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        *,
        level: int = 3,
        keys: Keys | None = None,
        known: Known | None = None,
        capabilities: Capabilities | None = None,
        expect: Callable[[RepositoryInfo], None] = lambda info: None,
    ) -> None:
        """`expect` is asked before any key is tried, and raises when another repository is meant."""
        info = read_info(store)
        expect(info)
        cipher = open_cipher(info, store, Keys() if keys is None else keys, clock)
        self.objects = Objects(store, cipher, info, clock)
        self.points, self.proofs, self.marks = Points(self.objects), Proofs(self.objects), Marks(self.objects)
        self.level, self.capabilities = level, capabilities or Capabilities()
        self.known = Known() if known is None else known
        self.notes = Notes()
        self.name = ""  # in the plan
        self._indexes: Indexes | None = None
        self.forgotten_windows: dict[str, Window] = {}  # by the key of their record, as far as they were read

    @property
    def store(self) -> Store:
        return self.objects.store

    @property
    def cipher(self) -> Cipher:
        return self.objects.cipher

    @property
    def info(self) -> RepositoryInfo:
        return self.objects.info

    @property
    def clock(self) -> Clock:
        return self.objects.clock

    def indexes(self, *, fresh: bool = False) -> Indexes:
        """The indexes of packs that the store lists now, for reading. Kept until `fresh` is asked for."""
        from backup_platform.repository.packs.indexes import load_indexes

        if fresh or self._indexes is None:
            self._indexes = load_indexes(self.objects)
        return self._indexes

    def keep_indexes(self, indexes: Indexes | None) -> None:
        """What readers use from now on; None: what the store lists by then."""
        self._indexes = indexes

    def reader(self, point: RecoveryPoint) -> RecoveryPointReader:
        from backup_platform.repository.packs.blob_reader import BlobReader
        from backup_platform.repository.points.point_reader import RecoveryPointReader

        indexes = self.indexes()
        read = partial(BlobReader, self.store, cipher=self.cipher, sizes=indexes.listed)
        return RecoveryPointReader(point, read(indexes.contents), read(indexes.meta))

    def store_pack(
        self, pack: PackBuilder, *, meta: bool, avoided: Collection[PackKey] = frozenset()
    ) -> IndexedPack:
        """`packs.storing.store_pack`. This host knows from now on what the pack holds."""
        from backup_platform.repository.packs.storing import store_pack

        packed = store_pack(self.objects, pack, meta=meta, avoided=avoided)
        self.known.learn({packed.key.id: table_of(packed.rows, self.cipher.hash)})
        return packed
