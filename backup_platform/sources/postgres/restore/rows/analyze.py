"""Gathering statistics of the restored tables, over several connections."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from backup_platform.sources.postgres.document import QualifiedName
from backup_platform.sources.postgres.quoting import identifier
from backup_platform.sources.postgres.restore.target import TargetDatabase

# The relations themselves, and the partitioned ones above them. What has foreign tables below it is left out: ANALYZE
# would ask their servers for rows.
_WITH_PARENTS = """
WITH RECURSIVE wanted(oid) AS (
  SELECT to_regclass(name)::oid FROM unnest(%s::text[]) name
  UNION SELECT i.inhparent FROM pg_inherits i JOIN wanted w ON w.oid = i.inhrelid
), foreigners(oid) AS (
  SELECT ftrelid FROM pg_foreign_table
  UNION SELECT i.inhparent FROM pg_inherits i JOIN foreigners f ON f.oid = i.inhrelid
)
SELECT n.nspname, c.relname FROM wanted w JOIN pg_class c ON c.oid = w.oid JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE w.oid NOT IN (SELECT oid FROM foreigners)
 ORDER BY c.relkind = 'p', pg_table_size(c.oid) DESC
"""


def analyze(database: TargetDatabase, relations: Sequence[QualifiedName], jobs: int) -> list[str]:
    """ANALYZE them and the tables that they are partitions of, the largest first. Raises TargetError.

    What the server refuses is a warning: a partitioned table with a foreign partition needs that other server.
    """
    import psycopg

    names = [identifier(name.schema, name.name) for name in relations]
    with database.connection() as connection:
        found = [QualifiedName(*row) for row in connection.execute(_WITH_PARENTS, (names,)).fetchall()]
    waiting = iter(found)
    warnings: list[str] = []

    def work() -> None:
        with database.connection() as connection:
            for name in waiting:
                try:
                    connection.execute(f"ANALYZE {identifier(name.schema, name.name)}".encode())
                except psycopg.Error as error:
                    if connection.closed:
                        raise
                    warnings.append(f"No statistics of {name.label} were gathered: {_first_line(error)}")

    with ThreadPoolExecutor(max(1, min(jobs, len(found)))) as pool:
        for future in [pool.submit(work) for _ in range(min(jobs, len(found)))]:
            future.result()
    return warnings


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]
