"""SQL over one recovery point, in place: only what a query needs is read, and nothing is restored."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from backup_platform.extras import not_installed

if TYPE_CHECKING:
    from backup_platform.actions.query.engine import Engine
    from backup_platform.actions.query.results import Form, QueryResult
    from backup_platform.actions.tables.point_tables import PointTables


LONGEST_S = 600.0


@contextmanager
def query(
    tables: PointTables, sql: str, *, form: Form = "native", time_limit_s: float | None = LONGEST_S
) -> Iterator[QueryResult]:
    """The result of one query, to be read inside the block. The time limit is for the query's work, not for its reader.
    Raises UsageError if the query is wrong, and TimeLimitError, DamageError or StoreError if reading fails."""
    with open_engine(time_limit_s) as engine:
        from backup_platform.actions.query.names import refuse_other_case, sql_names
        from backup_platform.actions.query.results import QueryResult

        readable = tables.catalogue.readable
        named = zip(readable, sql_names(readable), strict=True)
        # SQL knows no table without columns.
        advice = tables.advice(labels=[name.plain for table, name in named if table.columns])
        refuse_other_case(sql, readable)
        engine.offer(tables, sql)
        yield QueryResult(engine, engine.query(sql, advice=advice), form, advice)


def open_engine(time_limit_s: float | None = LONGEST_S) -> Engine:
    """Raises NotInstalledError if DuckDB is not installed."""
    try:
        from backup_platform.actions.query.engine import Engine
    except ImportError as error:
        raise not_installed(error) or error from error
    return Engine(time_limit_s=time_limit_s)
