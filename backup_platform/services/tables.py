"""The tables of points: listing, querying, comparing, exporting and loading them."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Unpack

from backup_platform.clock import SILENT
from backup_platform.domain.ports import Progress
from backup_platform.services.bound import BoundRepository
from backup_platform.services.points import RecoveryPoints

if TYPE_CHECKING:
    from backup_platform.actions.query.results import QueryOptions, QueryResult
    from backup_platform.actions.tables.diff import DiffOptions, TableDifference
    from backup_platform.actions.tables.export import ExportSummary
    from backup_platform.actions.tables.point_tables import PointTables
    from backup_platform.domain.model import RecoveryPoint


@dataclass(frozen=True, slots=True)
class Tables:
    """The tables of the points of one repository."""

    bound: BoundRepository
    points: RecoveryPoints

    def of(self, spec: str) -> PointTables:
        """The tables of a recovery point. Raises NotFoundError, UsageError for a point without tables."""
        from backup_platform.actions.tables.point_tables import PointTables

        having = [name for name, plan in self.bound.plan.sources.items() if plan.source_kind.tables]
        return PointTables(self.bound.giving.reader(self.points.find(spec)), elsewhere=having)

    def of_point(self, point: RecoveryPoint) -> PointTables | None:
        """The tables of a point. If its kind has none, None, and nothing is read."""
        from backup_platform.actions.tables.point_tables import PointTables, has_tables

        return PointTables(self.bound.repository.reader(point)) if has_tables(point) else None

    def query(self, spec: str, sql: str, **how: Unpack[QueryOptions]) -> AbstractContextManager[QueryResult]:
        """SQL on the tables of a recovery point. Raises UsageError if the query is wrong."""
        from backup_platform.actions.query.run import query

        return query(self.of(spec), sql, **how)

    def diff(self, a: str, b: str, table: str, **how: Unpack[DiffOptions]) -> TableDifference:
        """The differences from point `a` to point `b` in one table. The first differences are listed."""
        from backup_platform.actions.tables.diff import diff_table

        return diff_table(self.of(a), self.of(b), table, **how)

    def export(
        self,
        spec: str,
        to: str,
        *,
        tables: Sequence[str] = (),
        overwrite: bool = False,
        progress: Progress = SILENT,
    ) -> ExportSummary:
        """Tables of a recovery point, all unless some are named, as Parquet files in a directory or store. Raises
        TargetError for a directory of the plan's own, and where the files cannot be written."""
        from backup_platform.actions.tables.export import export
        from backup_platform.stores.remote import open_url

        self.bound.refuse_own_place(to)
        return export(
            self.of(spec),
            to,
            tables,
            overwrite=overwrite,
            open_store=open_url,
            clock=self.bound.clock,
            progress=progress,
        )

    def load(
        self,
        source: str,
        window: str,
        table: str,
        *,
        columns: Sequence[str] | None = None,
        filter: Any = None,  # noqa: A002  as in pyarrow
        as_pandas: bool = False,
    ) -> Any:
        """A table of the recovery point of a window (or "latest"), see `backup_platform.load_table`."""
        from backup_platform.actions.points.find import require_window
        from backup_platform.actions.tables.load import load

        point = self.points.find(f"{source}@{window}")
        require_window(point, window)
        rows = load(self.of(point.id), table, columns=columns, where=filter)
        return rows.to_pandas(use_threads=False) if as_pandas else rows
