"""The current state of the server and database that a restore fills."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from backup_platform.errors import SourceMissingError, TargetError
from backup_platform.sources.postgres.connect.connections import connect, describe, parse
from backup_platform.sources.postgres.quoting import identifier, literal
from backup_platform.sources.postgres.restore.privileges import Privileges, privileges
from backup_platform.sources.postgres.target_failures import target_errors

if TYPE_CHECKING:
    from psycopg import Connection
    from psycopg.rows import TupleRow

_MAINTENANCE = ("postgres", "template1")
MARKER = "backup_platform: a restore into this database was begun and not finished: "
_COMMENT = (
    "SELECT pg_catalog.shobj_description(oid, 'pg_database') FROM pg_catalog.pg_database WHERE datname = %s"
)

# What a database holds beside what every new one does. Members of extensions come with CREATE EXTENSION.
_USER_SCHEMA = "n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'"
_MEMBER = (
    "NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = {catalog!r}::regclass AND d.objid = {oid} "
    "AND d.deptype = 'e')"
)
_OBJECTS = f"""
SELECT 'schema', n.nspname, '' FROM pg_namespace n WHERE {_USER_SCHEMA} AND n.nspname <> 'public'
   AND {_MEMBER.format(catalog="pg_namespace", oid="n.oid")}
UNION ALL
SELECT 'relation', n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE {_USER_SCHEMA} AND c.relkind IN ('r', 'p', 'v', 'm', 'S', 'f')
   AND {_MEMBER.format(catalog="pg_class", oid="c.oid")}
UNION ALL
SELECT 'function', n.nspname, p.proname || '(' || pg_get_function_identity_arguments(p.oid) || ')'
  FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
 WHERE {_USER_SCHEMA} AND {_MEMBER.format(catalog="pg_proc", oid="p.oid")}
UNION ALL
SELECT 'type', n.nspname, t.typname FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace
  LEFT JOIN pg_class c ON c.oid = t.typrelid
 WHERE {_USER_SCHEMA} AND t.typtype IN ('c', 'd', 'e', 'r') AND coalesce(c.relkind = 'c', true)
   AND {_MEMBER.format(catalog="pg_type", oid="t.oid")}
UNION ALL
SELECT 'large object', '', oid::text FROM (SELECT oid FROM pg_largeobject_metadata LIMIT 10) l
UNION ALL SELECT 'event trigger', '', evtname FROM pg_event_trigger
UNION ALL SELECT 'publication', '', pubname FROM pg_publication
ORDER BY 1, 2, 3
"""  # noqa: S608


class _AbsentError(Exception):
    """There is no such database."""


@dataclass(frozen=True, slots=True)
class DatabaseObject:
    kind: str
    schema: str
    name: str

    @property
    def label(self) -> str:
        return " ".join((self.kind, ".".join(filter(None, (self.schema, self.name)))))


@dataclass(frozen=True, slots=True)
class ExistingDatabase:
    """An existing database. `unfinished` tells of a restore into it that did not end, "" without one."""

    encoding: str
    comment: str | None
    unfinished: str
    owned: bool
    objects: tuple[DatabaseObject, ...]

    @property
    def occupied(self) -> bool:
        """Whether the database holds objects. A schema alone does not count, because those for extensions are created
        beforehand."""
        return any(item.kind != "schema" for item in self.objects)


@dataclass(frozen=True, slots=True)
class TargetState:
    """The server, and the database on it if it exists. `server` is for people and holds no secret."""

    server: str
    database: str
    version: int
    user: str
    superuser: bool
    creates: bool
    roles: frozenset[str]
    tablespaces: frozenset[str]
    extensions: frozenset[str]
    wal_minimal: bool
    privileges: Privileges
    found: ExistingDatabase | None

    @property
    def major(self) -> int:
        return self.version // 10_000


class TargetDatabase:
    """One database of one server: `url` names the server, `name` the database."""

    def __init__(self, url: str, name: str) -> None:
        self.url, self.name = url, name

    @classmethod
    def of(cls, url: str, fallback: str | None) -> TargetDatabase:
        """The database that the url names, else `fallback`. Raises TargetError when there is neither."""
        with target_errors("the target"):
            name = parse(url).get("dbname", fallback)
        if not name:
            raise TargetError("The url names no database.", hint="End it with /DATABASE.")
        return cls(url, name)

    @property
    def label(self) -> str:
        return describe(self.url, dbname=self.name)

    @contextmanager
    def connection(self) -> Iterator[Connection[TupleRow]]:
        """To the database, in autocommit mode with the pinned settings. Raises TargetError."""
        with target_errors(self.label), self.connect() as connection:
            yield connection

    def connect(self) -> Connection[TupleRow]:
        return connect(self.url, dbname=self.name)

    @contextmanager
    def maintenance(self) -> Iterator[Connection[TupleRow]]:
        """To another database of the server, for CREATE DATABASE. Raises TargetError."""
        with target_errors(self.label), self._maintenance() as connection:
            yield connection

    def _maintenance(self) -> Connection[TupleRow]:
        try:
            return connect(self.url, dbname=_MAINTENANCE[0])
        except SourceMissingError:
            return connect(self.url, dbname=_MAINTENANCE[1])

    def standing(self) -> TargetState:
        """Reads, and changes nothing. Raises TargetError."""
        try:
            with target_errors(self.label), self._existing() as connection:
                return self._standing(connection, self._found(connection))
        except _AbsentError:
            with self.maintenance() as connection:
                return self._standing(connection, None)

    def _existing(self) -> Connection[TupleRow]:
        try:
            return self.connect()
        except SourceMissingError as error:
            raise _AbsentError from error

    def _standing(self, connection: Connection[TupleRow], found: ExistingDatabase | None) -> TargetState:
        server = _server(connection)
        return TargetState(
            server=_place(self.url),
            database=self.name,
            roles=_names(connection, "SELECT rolname FROM pg_roles"),
            tablespaces=_names(connection, "SELECT spcname FROM pg_tablespace"),
            extensions=_names(connection, "SELECT name FROM pg_available_extensions"),
            privileges=privileges(connection, superuser=server["superuser"], exists=found is not None),
            found=found,
            **server,
        )

    def _found(self, connection: Connection[TupleRow]) -> ExistingDatabase:
        query = """SELECT pg_encoding_to_char(encoding), pg_has_role(datdba, 'USAGE') FROM pg_database
                    WHERE datname = current_database()"""
        ((encoding, owned),) = connection.execute(query).fetchall()
        unfinished, comment = split_marker(_value(connection, _COMMENT, self.name))
        objects = connection.execute(_OBJECTS.encode()).fetchall()
        return ExistingDatabase(
            encoding, comment, unfinished, owned, tuple(DatabaseObject(*row) for row in objects)
        )

    def large_objects(self, numbers: Sequence[int]) -> frozenset[int]:
        """The large objects that exist already."""
        query = b"SELECT oid::bigint FROM pg_largeobject_metadata WHERE oid = ANY(%s::oid[])"
        with self.connection() as connection:
            return frozenset(row[0] for row in connection.execute(query, (list(numbers),)))

    def comment(self, connection: Connection[TupleRow], text: str | None) -> None:
        """Set the database's comment; None removes it."""
        value = "NULL" if text is None else literal(text)
        connection.execute(f"COMMENT ON DATABASE {identifier(self.name)} IS {value}".encode())


def marker(what: str, comment: str | None) -> str:
    """The comment of a database while it is restored: it keeps the one that was there."""
    return MARKER + what + ("" if comment is None else f"\n{comment}")


def split_marker(comment: str | None) -> tuple[str, str | None]:
    """What was being restored, "" for no restore, and the comment that was there before."""
    if comment is None or not comment.startswith(MARKER):
        return "", comment
    what, newline, before = comment.removeprefix(MARKER).partition("\n")
    return what, before if newline else None


def _server(connection: Connection[TupleRow]) -> dict[str, Any]:
    query = """SELECT current_setting('server_version_num')::int, current_user::text, rolsuper,
                      rolsuper OR rolcreatedb, current_setting('wal_level') = 'minimal'
                 FROM pg_roles WHERE rolname = current_user"""
    ((version, user, superuser, creates, minimal),) = connection.execute(query).fetchall()
    return {
        "version": version,
        "user": user,
        "superuser": superuser,
        "creates": creates,
        "wal_minimal": minimal,
    }


def _place(url: str) -> str:
    """`describe` without the database."""
    text = describe(url, dbname="x")
    return text.replace("PostgreSQL database 'x' ", "", 1)


def _value(connection: Connection[TupleRow], query: str, *arguments: object) -> Any:
    row = connection.execute(query.encode(), arguments).fetchone()
    return row[0] if row else None


def _names(connection: Connection[TupleRow], query: str) -> frozenset[str]:
    return frozenset(row[0] for row in connection.execute(query.encode()))
