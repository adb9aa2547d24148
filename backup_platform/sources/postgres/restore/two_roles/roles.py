"""The roles of a private server: owners, as which nobody can log in, and the runner, which is a member of all of them.

None of them is a superuser, or may read files or run programs. The runner bypasses policies, as a restore must. It may
read everything if the server has such a right.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from backup_platform.sources.postgres.document import CapturedDatabase
from backup_platform.sources.postgres.quoting import identifier, literal

if TYPE_CHECKING:
    from backup_platform.sources.postgres.connect.connections import Connection

_READS_ALL_SINCE = 140_000
_SUPERUSER, _RUNNER = "backup_platform_superuser", "backup_platform_runner"
FIRST_OF_USERS = 16_384
# For servers that know no such right: each table, without a grant that the comparison of definitions would see.
_READING = """
SELECT format('GRANT SELECT ON TABLE %%s TO %%I', c.oid::regclass, %(runner)s::text) FROM pg_class c
  JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE c.relkind IN ('r', 'p', 'v', 'm', 'S', 'f') AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
UNION ALL
SELECT format('GRANT USAGE ON SCHEMA %%I TO %%I', n.nspname, %(runner)s::text) FROM pg_namespace n
 WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
"""


# What roles of the source may call of the server's own functions: some read files.
_OWN_FUNCTIONS = f"""
SELECT format('REVOKE ALL ON ROUTINE %%s FROM %%s', p.oid::regprocedure, coalesce(quote_ident(r.rolname), 'PUBLIC'))
  FROM pg_proc p CROSS JOIN LATERAL aclexplode(p.proacl) a LEFT JOIN pg_roles r ON r.oid = a.grantee
 WHERE p.oid < {FIRST_OF_USERS} AND (a.grantee >= {FIRST_OF_USERS} OR (a.grantee = 0 AND EXISTS (
   SELECT FROM pg_init_privs i WHERE i.classoid = 'pg_proc'::regclass AND i.objoid = p.oid
      AND NOT EXISTS (SELECT FROM aclexplode(i.initprivs) x WHERE x.grantee = 0))))
"""  # noqa: S608


# Not even one that is enabled always fires for the statement that disables it.
_SILENCED = "SELECT format('ALTER EVENT TRIGGER %%I DISABLE', evtname) FROM pg_event_trigger"


def needs_grants(version: int) -> bool:
    return version < _READS_ALL_SINCE


def before_queries(version: int) -> Iterator[str]:
    """Queries for the statements that a superuser runs before others ask the restored database; after its definitions
    were compared, which would show them."""
    yield _SILENCED
    yield _OWN_FUNCTIONS
    if needs_grants(version):
        yield _READING


def superuser_for(document: CapturedDatabase) -> str:
    return _unlike(_SUPERUSER, document)


def make_roles(
    connection: Connection, document: CapturedDatabase, password: str
) -> tuple[str, tuple[str, ...]]:
    """The runner, and the owners that were made."""
    there = {row[0] for row in connection.execute("SELECT rolname FROM pg_roles")}
    owners = tuple(role for role in dict.fromkeys((document.owner, *document.roles)) if role not in there)
    runner = _unlike(_RUNNER, document)
    for statement in _statements(runner, owners, password, connection.info.server_version):
        connection.execute(statement.encode())
    return runner, owners


def _statements(runner: str, owners: tuple[str, ...], password: str, version: int) -> Iterator[str]:
    yield f"CREATE ROLE {identifier(runner)} LOGIN BYPASSRLS PASSWORD {literal(password)}"
    if not needs_grants(version):
        yield f"GRANT pg_read_all_data TO {identifier(runner)}"
    for owner in owners:
        yield f"CREATE ROLE {identifier(owner)} NOLOGIN"
        yield f"GRANT {identifier(owner)} TO {identifier(runner)}"


def _unlike(name: str, document: CapturedDatabase) -> str:
    """A name that no role of the source has."""
    while name in (document.owner, *document.roles):
        name += "_"
    return name
