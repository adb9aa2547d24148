"""What the role of a restore may do on the server, and in the database if it exists."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from psycopg import Connection
    from psycopg.rows import TupleRow

# Roles that stand for the superuser on managed servers, whose owners let them do more than PostgreSQL does.
_MANAGING = ("rds_superuser", "cloudsqlsuperuser", "alloydbsuperuser", "azure_pg_admin", "neon_superuser")
_SET_SINCE = 160_000
_MEMBERS = "SELECT rolname FROM pg_roles WHERE pg_has_role(oid, '{}') AND pg_has_role(oid, 'USAGE')"
_CREATABLE = "SELECT name FROM pg_available_extension_versions WHERE trusted OR NOT superuser"
_TABLESPACES = "SELECT spcname FROM pg_tablespace WHERE has_tablespace_privilege(oid, 'CREATE')"
_UNTRUSTED = "SELECT lanname FROM pg_language WHERE NOT lanpltrusted"
_BARRED = (
    "SELECT fdwname FROM pg_foreign_data_wrapper WHERE NOT has_foreign_data_wrapper_privilege(oid, 'USAGE')"
)
_INSTALLED = "SELECT extname, pg_has_role(extowner, 'USAGE') FROM pg_extension"
_PUBLIC = "SELECT pg_has_role(nspowner, 'USAGE') FROM pg_namespace WHERE nspname = 'public'"
_CREATES = "SELECT has_database_privilege(current_database(), 'CREATE')"
_MAKES = """SELECT EXISTS (SELECT FROM pg_namespace
                                WHERE nspname !~ '^pg_' AND has_schema_privilege(oid, 'CREATE'))"""
_HAS_BLOCKS = """SELECT EXISTS (SELECT FROM pg_language
                                WHERE lanname = 'plpgsql' AND has_language_privilege(oid, 'USAGE'))"""
_TRY = b"SET session_replication_role = replica; RESET session_replication_role"
_TRY_IN_A_BLOCK = b"""
DO LANGUAGE plpgsql $block$
BEGIN
  SET session_replication_role = replica;
  RESET session_replication_role;
  PERFORM set_config('backup_platform.silences', 'true', false);
EXCEPTION WHEN insufficient_privilege THEN
  PERFORM set_config('backup_platform.silences', 'false', false);
END $block$
"""
_TRIED = "SELECT current_setting('backup_platform.silences', true)::bool"
_PUBLIC_OWNED_SINCE = 150_000


@dataclass(frozen=True, slots=True)
class Privileges:
    """`limited`: it is neither a superuser nor the administrator of a managed server.

    `members` are the roles that it may give objects to, and whose objects it may use. `silences`: it may load without
    triggers. `extensions` are those of the database, with whether it owns them; `creatable` are others that it may
    create. `untrusted` are languages and `barred` foreign-data wrappers that it may not use; `tablespaces` are those
    that it may. `makes`: there is a schema in which it may make something, or it may make one.
    """

    limited: bool
    members: frozenset[str]
    silences: bool
    subscribes: bool
    extensions: Mapping[str, bool]
    creatable: frozenset[str]
    untrusted: frozenset[str]
    barred: frozenset[str]
    tablespaces: frozenset[str]
    owns_public: bool
    makes: bool


def privileges(connection: Connection[TupleRow], *, superuser: bool, exists: bool) -> Privileges:
    """`exists` says whether the connection is to the database itself. Otherwise it is to another one, and the database
    is to be created."""
    version = connection.info.server_version
    members = _names(connection, _MEMBERS.format("SET" if version >= _SET_SINCE else "MEMBER"))
    creates = not exists or _value(connection, _CREATES)
    return Privileges(
        limited=not superuser and members.isdisjoint(_MANAGING),
        members=members,
        silences=superuser or _silences(connection),
        subscribes=superuser or (version >= _SET_SINCE and "pg_create_subscription" in members),
        extensions=_extensions(connection) if exists else {"plpgsql": superuser},
        creatable=_names(connection, _CREATABLE) if creates else frozenset(),
        untrusted=_names(connection, _UNTRUSTED),
        barred=_names(connection, _BARRED) if exists else frozenset(),
        tablespaces=_names(connection, _TABLESPACES),
        makes=creates or _value(connection, _MAKES),
        owns_public=_value(connection, _PUBLIC) if exists else superuser or version >= _PUBLIC_OWNED_SINCE,
    )


def _silences(connection: Connection[TupleRow]) -> bool:
    """Managed servers grant this to others than superusers, and only trying tells. An error that a block catches is in
    no log of the server: nothing is wrong."""
    import psycopg

    tried = _TRY_IN_A_BLOCK if _value(connection, _HAS_BLOCKS) else _TRY
    try:
        connection.execute(tried)
    except psycopg.errors.InsufficientPrivilege:
        return False
    return tried is _TRY or _value(connection, _TRIED)


def _extensions(connection: Connection[TupleRow]) -> dict[str, bool]:
    return {str(name): bool(owned) for name, owned in connection.execute(_INSTALLED).fetchall()}


def _names(connection: Connection[TupleRow], query: str) -> frozenset[str]:
    return frozenset(row[0] for row in connection.execute(query.encode()))


def _value(connection: Connection[TupleRow], query: str) -> bool:
    row = connection.execute(query.encode()).fetchone()
    return bool(row and row[0])
