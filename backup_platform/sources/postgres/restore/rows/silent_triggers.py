"""Rows are loaded as they were captured: triggers of the target that would fire stay silent, and are as before at the
end of the same transaction, or after its failure."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from backup_platform.sources.postgres.document import QualifiedName
from backup_platform.sources.postgres.quoting import identifier

if TYPE_CHECKING:
    from psycopg import Connection
    from psycopg.rows import TupleRow

# Those that an INSERT fires in this session and that its role may alter. As a replica, ENABLE ALWAYS and ENABLE REPLICA
# ones fire. A row trigger of a partitioned table only fires as those of its partitions, and altering it alters them.
_FIRING = b"""
SELECT n.nspname, c.relname, t.tgname, t.tgenabled::text
  FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE (c.oid = to_regclass(%(name)s) OR c.oid IN (SELECT relid FROM pg_partition_tree(to_regclass(%(name)s))))
   AND t.tgtype & 4 <> 0 AND NOT (c.relkind = 'p' AND t.tgtype & 1 <> 0)
   AND t.tgenabled = ANY (CASE current_setting('session_replication_role') WHEN 'replica' THEN '{A,R}' ELSE '{A,O}' END
                          ::"char"[])
   AND (NOT t.tgisinternal OR (SELECT rolsuper FROM pg_roles WHERE rolname = current_user))
   AND pg_has_role(c.relowner, 'USAGE')
 ORDER BY c.oid, t.oid
"""
_STATES = {"O": "ENABLE", "A": "ENABLE ALWAYS", "R": "ENABLE REPLICA"}


@contextmanager
def quiet(connection: Connection[TupleRow], name: QualifiedName) -> Iterator[None]:
    """The block belongs to one transaction: when it fails, the server puts everything back."""
    rows = connection.execute(_FIRING, {"name": identifier(name.schema, name.name)}).fetchall()
    for schema, table, trigger, _ in rows:
        _alter(connection, schema, table, f"DISABLE TRIGGER {identifier(trigger)}")
    yield
    if rows:
        # A table with deferred checks pending cannot be altered; what they find, they find at the commit anyway.
        connection.execute("SET CONSTRAINTS ALL IMMEDIATE")
    for schema, table, trigger, state in rows:
        _alter(connection, schema, table, f"{_STATES[state]} TRIGGER {identifier(trigger)}")


def _alter(connection: Connection[TupleRow], schema: str, table: str, change: str) -> None:
    connection.execute(f"ALTER TABLE ONLY {identifier(schema, table)} {change}".encode())
