"""What a restore knows before it writes: the recovery point, the target, and what is to be restored."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from backup_platform.domain.model import RecoveryPoint
from backup_platform.domain.restoring import DatabaseTarget
from backup_platform.domain.tables import Table
from backup_platform.sources.postgres.contents import PointContents
from backup_platform.sources.postgres.dump.pg_restore import Archive
from backup_platform.sources.postgres.dump.toc import TocEntry
from backup_platform.sources.postgres.restore.scope import Scope
from backup_platform.sources.postgres.restore.target import TargetDatabase, TargetState
from backup_platform.sources.postgres.restore.two_roles.division import Pair


@dataclass(frozen=True, slots=True)
class Preparation:
    """All that a restore needs to know before it writes. `archive` is gone when `prepare`'s block ends."""

    point: RecoveryPoint
    target: DatabaseTarget
    database: TargetDatabase
    standing: TargetState
    contents: PointContents
    archive: Archive
    toc: tuple[TocEntry, ...]
    scope: Scope
    beyond: Mapping[int, str] = field(default_factory=dict)  # entries that are left out, and why
    large_objects_there: frozenset[int] = frozenset()  # of those to be restored beside what is there
    pair: Pair | None = None  # of a private server, whose roles they are

    @property
    def tables(self) -> tuple[Table, ...]:
        return self.scope.tables
