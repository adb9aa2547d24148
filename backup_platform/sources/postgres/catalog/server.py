"""What a server says about itself and about the database, apart from its tables."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from backup_platform.domain.model import Json

if TYPE_CHECKING:
    from backup_platform.sources.postgres.connect.connections import Connection

SKEW_S = 60.0

_SERVER = """
SELECT current_setting('server_version'), current_setting('server_version_num')::int, pg_is_in_recovery(),
    CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END::text,
    current_database()::text, pg_database_size(current_database()), pg_encoding_to_char(encoding)::text,
    coalesce((SELECT rolsuper FROM pg_roles WHERE rolname = current_user), false)
FROM pg_database WHERE datname = current_database()
"""
_NAMES = (
    "server_version",
    "server_version_num",
    "in_recovery",
    "lsn",
    "database",
    "database_size",
    "encoding",
    "superuser",
)
# The version with which an index was built, and the one that sorts now.
_COLLATIONS = """
SELECT n.nspname || '.' || c.collname, c.collversion, pg_collation_actual_version(c.oid)
FROM pg_collation c JOIN pg_namespace n ON n.oid = c.collnamespace
WHERE c.collversion IS NOT NULL AND c.oid IN (SELECT attcollation FROM pg_attribute WHERE attcollation <> 0)
ORDER BY 1
"""
_DEFAULT_COLLATION = """
SELECT 'database', datcollversion, pg_database_collation_actual_version(oid)
FROM pg_database WHERE datname = current_database() AND datcollversion IS NOT NULL
"""
_READS_PASSWORDS = "SELECT has_table_privilege('pg_catalog.pg_authid', 'SELECT')"


def server_facts(connection: Connection) -> dict[str, Json]:
    """Versions, position in the log (LSN) and size in bytes, as this transaction sees them."""
    row = connection.execute(_SERVER).fetchone()
    assert row is not None
    return dict(zip(_NAMES, row, strict=True))


def collation_facts(connection: Connection) -> tuple[dict[str, Json], list[str]]:
    """Versions of the collations that columns use, and a warning for each that the machine has in another."""
    rows = connection.execute(_COLLATIONS).fetchall()
    if connection.info.server_version >= 150000:
        rows += connection.execute(_DEFAULT_COLLATION).fetchall()
    warnings = [
        f"The collation {name} has version {now} on the source, but indexes were built with {built}: "
        "they may be out of order until they are rebuilt."
        for name, built, now in rows
        if now is not None and now != built
    ]
    return {name: built for name, built, _ in rows}, warnings


def reads_passwords(connection: Connection) -> bool:
    """Whether this role may read the passwords of roles, as pg_dumpall does."""
    row = connection.execute(_READS_PASSWORDS).fetchone()
    return bool(row and row[0])


def clock_skew(here: datetime, there: datetime) -> tuple[float, list[str]]:
    """By how many seconds the server's clock is ahead of this machine's, and a warning if they differ much."""
    skew = round((there - here).total_seconds(), 3)
    if abs(skew) <= SKEW_S:
        return skew, []
    where = "ahead of" if skew > 0 else "behind"
    return skew, [f"The server's clock is {abs(skew):,.0f} s {where} this machine's: one of them is wrong."]
