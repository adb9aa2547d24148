"""Which stored data a backup may refer to: only data that this host has checked, or data that it counts as
unvouched.

Every holder of the repository key can store a pack, and a wrong index of it. If a writer deduplicates against such
an index, it stores nothing, and its point is worthless.
"""

from __future__ import annotations

import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import numpy as np

from backup_platform.domain.model import OnTrust
from backup_platform.errors import DamageError, KeyMissingError, StoreRefusedError
from backup_platform.repository.objects.names import ObjectId, PackKey
from backup_platform.repository.objects.objects import Objects
from backup_platform.repository.packs.index import index_pack
from backup_platform.repository.packs.known import table_of
from backup_platform.repository.packs.storing import checked_pack
from backup_platform.repository.records.marks import Marks

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from backup_platform.repository.packs.index import BlobIndex
    from backup_platform.repository.packs.known import Known

CHECKED_BYTES = 256 << 20  # of packs of one kind that a backup reads for this


class Reliance:
    """On the packs of one kind that `index` had when the backup began. Thread-safe.

    `vouched` tells of packs that somebody decoded: the hash of their rows. `read` are those that were read here, and
    are right.
    """

    def __init__(
        self,
        objects: Objects,
        known: Known,
        index: BlobIndex,
        *,
        meta: bool,
        sizes: Mapping[PackKey, int],
        vouched: Callable[[], Mapping[ObjectId, str]],
    ) -> None:
        self._objects, self._known, self._index = objects, known, index
        self._sizes, self._vouched = sizes, vouched
        self._referred, self._packs = np.zeros(len(index), bool), len(index.packs)
        self._left = CHECKED_BYTES if meta or objects.cipher.reads_contents else 0
        self._judged: dict[int, bool | None] = {}
        self._judging = threading.Lock()
        self.read: dict[PackKey, str] = {}

    def rely(self, row: int) -> bool:
        """Whether a point may refer to the blob of a row. Raises StoreError."""
        if row >= len(self._referred):
            return True  # this backup stored it
        usable = self._usable(self._index.pack_number(row))
        self._referred[row] = self._referred[row] or usable
        return usable

    def rely_all(self, rows: NDArray[Any]) -> NDArray[Any]:
        """The same for many rows."""
        numbers = self._index.rows["pack"][rows]
        bad = [number for number in np.unique(numbers).tolist() if not self._usable(number)]
        usable = ~np.isin(numbers, bad) if bad else np.ones(len(rows), bool)
        old = rows < len(self._referred)
        self._referred[rows[usable & old]] = True
        return usable

    def on_trust(self) -> list[OnTrust]:
        """Packs to which the point refers although no known host has decoded them, the largest part first."""
        found = []
        for number in sorted(number for number, verdict in self._judged.items() if verdict is None):
            rows = self._rows(number)
            size = int(rows["length"][self._referred[self._index.rows_of(number)]].sum())
            if size:
                found.append(OnTrust(self._index.packs[number].id, self._table(rows), size))
        return sorted(found, key=lambda each: (-each.size, each.pack))

    def _usable(self, number: int) -> bool:
        """On trust is usable, too."""
        if number >= self._packs:
            return True
        with self._judging:
            if number not in self._judged:
                self._judged[number] = self._judge(number)
            return self._judged[number] is not False

    def _judge(self, number: int) -> bool | None:
        """True if the pack is known to hold what the index says, False if it does not, None if it is unknown."""
        pack, table = self._index.packs[number], self._table(self._rows(number))
        known = self._known.packs.get(pack.id) or self._vouched().get(pack.id)
        return known == table if known else self._look(pack, table)

    def _look(self, key: PackKey, table: str) -> bool | None:
        if (size := self._sizes[key]) > self._left:
            return None
        self._left -= size
        try:
            pack = index_pack(key, checked_pack(self._objects, key))
        except (KeyMissingError, StoreRefusedError):
            return None
        except DamageError as error:
            if not error.missing:
                with suppress(StoreRefusedError):
                    Marks(self._objects).mark(key, error.message)
            return False
        if self._table(pack.rows) != table:
            return False
        self.read[key] = table
        return True

    def _table(self, rows: NDArray[Any]) -> str:
        return table_of(rows, self._objects.cipher.hash)

    def _rows(self, number: int) -> NDArray[Any]:
        return self._index.rows[self._index.rows_of(number)]
