"""Restoring the definitions of a recovery point into a database by two roles."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING

from backup_platform.errors import TargetError
from backup_platform.sources.postgres.connect.connections import connect
from backup_platform.sources.postgres.dump.archive_file import (
    Rewrite,
    UnknownArchiveError,
    rewrite_definitions,
)
from backup_platform.sources.postgres.dump.pg_restore import Archive, ToolError, ToolOutcome
from backup_platform.sources.postgres.dump.toc import TocEntry, listed
from backup_platform.sources.postgres.quoting import identifier
from backup_platform.sources.postgres.restore import subscriptions
from backup_platform.sources.postgres.restore.two_roles.definitions import (
    for_superusers,
    quiet_types,
    refused,
)
from backup_platform.sources.postgres.restore.two_roles.entries import (
    OF_SUPERUSERS,
    OWNED,
    after_data,
    at_last,
    before_data,
)
from backup_platform.sources.postgres.restore.two_roles.roles import FIRST_OF_USERS
from backup_platform.sources.postgres.restore.two_roles.validators import KINDS as WITH_VALIDATORS
from backup_platform.sources.postgres.restore.two_roles.validators import Validators
from backup_platform.sources.postgres.target_failures import target_errors

if TYPE_CHECKING:
    from backup_platform.sources.postgres.connect.connections import Connection

_BY_RUNNER = ("--no-owner", "--no-privileges")
_NOTHING = b"--\n"  # pg_restore passes over what has no definition, its owner as well
_MEMBER = (
    "EXISTS (SELECT FROM pg_depend d WHERE d.classid = {0}::regclass AND d.objid = {1} AND d.deptype = 'e')"
)
# A function of the superuser's that runs with its owner's rights would be a way to these.
_HANDED_OVER = f"""
SELECT format('ALTER ROUTINE %%s OWNER TO %%I', p.oid::regprocedure, %(runner)s::text) FROM pg_proc p
 WHERE p.proowner = current_user::regrole AND p.oid >= {FIRST_OF_USERS} AND NOT {_MEMBER.format("'pg_proc'", "p.oid")}
UNION ALL
SELECT format('ALTER SERVER %%I OWNER TO %%I', s.srvname, %(runner)s::text) FROM pg_foreign_server s
 WHERE s.srvowner = current_user::regrole AND NOT {_MEMBER.format("'pg_foreign_server'", "s.oid")}
UNION ALL
SELECT format('ALTER FOREIGN TABLE %%s OWNER TO %%I', c.oid::regclass, %(runner)s::text) FROM pg_class c
 WHERE c.relkind = 'f' AND c.relowner = current_user::regrole AND NOT {_MEMBER.format("'pg_class'", "c.oid")}
"""  # noqa: S608
# Rows of an extension's tables are restored, and what rests on its schemas and servers; they stay its own.
_LENT = f"""
SELECT format('%%s ALL ON %%s %%s %%s %%I', %(verb)s::text, CASE c.relkind WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END,
              c.oid::regclass, %(to)s::text, %(runner)s::text)
  FROM pg_class c WHERE c.relkind IN ('r', 'p', 'S') AND {_MEMBER.format("'pg_class'", "c.oid")}
UNION ALL
SELECT format('%%s ALL ON SCHEMA %%I %%s %%I', %(verb)s::text, n.nspname, %(to)s::text, %(runner)s::text)
  FROM pg_namespace n WHERE {_MEMBER.format("'pg_namespace'", "n.oid")}
UNION ALL
SELECT format('%%s USAGE ON FOREIGN SERVER %%I %%s %%I', %(verb)s::text, s.srvname, %(to)s::text, %(runner)s::text)
  FROM pg_foreign_server s WHERE {_MEMBER.format("'pg_foreign_server'", "s.oid")}
"""  # noqa: S608


@dataclass(frozen=True, slots=True)
class Pair:
    """The urls of a private server, with which two roles connect to the same databases. `owners` are roles that may own
    objects there. None of them is a superuser."""

    runner: str
    superuser: str
    owners: tuple[str, ...]

    @property
    def user(self) -> str:
        """The runner."""
        from psycopg.conninfo import conninfo_to_dict

        return str(conninfo_to_dict(self.runner)["user"])


@dataclass(frozen=True, slots=True)
class Division:
    """`toc` are the entries to restore."""

    archive: Archive
    toc: Sequence[TocEntry]
    pair: Pair
    database: str
    options: Sequence[str] = ()

    def before_data(self) -> ToolOutcome:
        found, constants = ToolOutcome(), for_superusers(self.archive, self.toc)
        archive, _ = self._without_validators()
        for by_superuser, entries in before_data(self.toc, constants):
            if not by_superuser:
                done = self._restored(self.pair.runner, "pre-data", entries, 1, archive)
                found = _joined(found, done)
                continue
            for some in _with_their_types_before(entries, constants):
                self._require_quiet(some, constants)
                done = self._restored(self.pair.superuser, "pre-data", some, 1, archive)
                found = _joined(found, done)
            self.as_superuser(_HANDED_OVER)
            self.as_superuser(_LENT, verb="GRANT", to="TO")
        return found

    def _require_quiet(self, entries: Sequence[int], constants: Mapping[int, Collection[str]]) -> None:
        """Raises `SourceError` where a superuser would read a constant whose type may call code of the database."""
        if not (names := {name for entry in entries for name in constants.get(entry, ())}):
            return
        with self.connection() as connection:
            quiet = quiet_types(connection, names)
        for entry in self.toc:
            if entry.id in entries and not quiet.issuperset(constants.get(entry.id, ())):
                raise refused(entry)

    def after_data(self, jobs: int) -> ToolOutcome:
        return self._restored(self.pair.runner, "post-data", after_data(self.toc), jobs)

    def at_last(self) -> list[ToolError]:
        """Owners, grants, publications, subscriptions, event triggers. No code of the database runs from here on but
        in queries. What fails because something else comes later is tried twice."""
        self.as_superuser(_LENT, verb="REVOKE", to="FROM")
        with self.connection() as connection:
            for statement in self._without_validators()[1]:
                connection.execute(statement.encode("utf-8", "surrogateescape"))
        most, triggers = at_last(self.toc)
        archive = _without_definitions(self.archive)
        with self._brief_superusers():
            errors = self._by_superuser(archive, most)
            if again := [error.entry for error in errors if error.entry]:
                errors = self._by_superuser(archive, again)
            errors = self._with_subscriptions(errors)
            return [*errors, *self._by_superuser(archive, triggers)]

    def _with_subscriptions(self, errors: list[ToolError]) -> list[ToolError]:
        """Whose parameters an older server does not know are made without them."""
        refused = subscriptions.refused(errors)
        if refused:
            with self.connection() as connection:
                for statement in subscriptions.reduced(self.archive, self.toc):
                    connection.execute(statement.encode())
        return [error for error in errors if error not in refused]

    def _by_superuser(self, archive: Archive, entries: Sequence[int]) -> list[ToolError]:
        if not entries:
            return []
        return archive.restore_entries(self.pair.superuser, self.database, entries, self.options)

    def as_superuser(self, query: str, **arguments: str) -> None:
        with self.connection() as connection:
            carry_out(connection, query, runner=self.pair.user, **arguments)

    @contextmanager
    def connection(self) -> Iterator[Connection]:
        with target_errors(self.database), connect(self.pair.superuser, dbname=self.database) as connection:
            yield connection

    def _restored(
        self, url: str, section: str, entries: Sequence[int], jobs: int, archive: Archive | None = None
    ) -> ToolOutcome:
        options, used = [*_BY_RUNNER, *self.options], archive or self.archive
        return used.restore(url, self.database, section, entries=entries, jobs=jobs, options=options)

    def _without_validators(self) -> tuple[Archive, list[str]]:
        """The archive, and the statements that come when nothing more is made of what had validators."""
        if not any(entry.kind in WITH_VALIDATORS for entry in self.toc):
            return self.archive, []
        validators = Validators()
        return _rewritten(self.archive, ".unvalidated", validators.take), validators.returned

    @contextmanager
    def _brief_superusers(self) -> Iterator[None]:
        """What only superusers may own can be given to nobody else. The owner stays when it is none any more."""
        owners = {entry.owner for entry in self.toc if entry.kind in OF_SUPERUSERS}
        roles = [identifier(role) for role in self.pair.owners if listed(role) in owners]
        with self.connection() as connection:
            for role in roles:
                connection.execute(f"ALTER ROLE {role} SUPERUSER".encode())
            try:
                yield
            finally:
                for role in roles:
                    connection.execute(f"ALTER ROLE {role} NOSUPERUSER".encode())


def _with_their_types_before(
    entries: Sequence[int], constants: Mapping[int, Collection[str]]
) -> Iterator[list[int]]:
    """In the same order, those with constants apart from the others: types of extensions are there by then."""
    for _, some in groupby(entries, lambda entry: bool(constants.get(entry))):
        yield list(some)


def _without_definitions(archive: Archive) -> Archive:
    """Of what is there already, so that pg_restore does no more than set its owner."""
    return _rewritten(archive, ".owners", _reduced)


def _rewritten(archive: Archive, suffix: str, rewrite: Rewrite) -> Archive:
    path = archive.path + suffix
    try:
        with open(archive.path, "rb") as file, open(path, "wb") as draft:
            draft.write(rewrite_definitions(file.read(), rewrite))
    except UnknownArchiveError as error:
        raise TargetError(f"The stored schema cannot be restored into a private server: {error}") from error
    return Archive(archive.tools, os.fspath(path))


def _reduced(kind: str, definition: bytes) -> bytes:
    return _NOTHING if kind in OWNED and definition else definition


def _joined(one: ToolOutcome, other: ToolOutcome) -> ToolOutcome:
    return ToolOutcome(one.errors + other.errors, one.failed | other.failed, one.ungranted + other.ungranted)


def carry_out(connection: Connection, query: str, **arguments: str) -> None:
    """Run the statements that the query answers with."""
    for (statement,) in connection.execute(query.encode(), arguments).fetchall():
        connection.execute(statement.encode())
