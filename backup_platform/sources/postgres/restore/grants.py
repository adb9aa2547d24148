"""Statements that name roles: which failures a missing role explains, and what is done about them.

pg_restore sends all grants of an object at once: one missing role loses those of every other. They are run again
here, one by one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from backup_platform.sources.postgres.dump.pg_restore import Archive, ToolError, split_statements
from backup_platform.sources.postgres.dump.toc import TocEntry
from backup_platform.sources.postgres.quoting import identifier
from backup_platform.sources.postgres.restore.shortfall import Shortfall
from backup_platform.sources.postgres.target_failures import words

if TYPE_CHECKING:
    from psycopg import Connection
    from psycopg.rows import TupleRow

_NAMES_ROLES = re.compile(
    r"(?:ALTER .* OWNER TO |GRANT |REVOKE |ALTER DEFAULT PRIVILEGES |CREATE POLICY |SET SESSION AUTHORIZATION )",
    re.DOTALL,
)
_GRANTS = re.compile(r"(?:GRANT|REVOKE|ALTER DEFAULT PRIVILEGES|SET SESSION AUTHORIZATION) ")
_POLICY = re.compile(r"CREATE POLICY (.*? ON .*?) (?:AS|FOR|TO|USING|WITH) ", re.DOTALL)
_OF_DATABASE = re.compile(
    r"^(ALTER DATABASE |COMMENT ON DATABASE |(?:GRANT|REVOKE) [A-Z, ]+ ON DATABASE |SECURITY LABEL .*? ON DATABASE )",
    re.DOTALL,
)
_SUBJECT = re.compile(
    r"(?:GRANT|REVOKE) .*? ON .*? (?:TO|FROM) [^;]*|ALTER DATABASE .*? SET \S+|[A-Z ]+ (?:\"[^\"]*\"|\w+)",
    re.DOTALL,
)
_DATABASE_KINDS = ("DATABASE PROPERTIES", "ACL", "COMMENT", "SECURITY LABEL")


@dataclass(frozen=True, slots=True)
class Grants:
    """`missing` are roles that the dump names, but that the server lacks or to which this role can give nothing."""

    archive: Archive
    missing: Sequence[str]
    shortfall: Shortfall
    options: Sequence[str] = ()  # of pg_restore

    def explains(self, error: ToolError) -> bool:
        """Did the statement fail because of a missing role, and of nothing else?"""
        named = any(role in error.text for role in self.missing)
        return named and bool(_NAMES_ROLES.match(error.command))

    def repair(
        self, connection: Connection[TupleRow], errors: Sequence[ToolError], entries: Iterable[TocEntry]
    ) -> Iterator[str]:
        """Give the grants of `entries` that can be given, if some failed; what is left out, in sentences."""
        if any(_GRANTS.match(error.command) for error in errors):
            grants = [entry.id for entry in entries if entry.kind in ("ACL", "DEFAULT ACL")]
            for statement in split_statements(self.archive.statements(grants, *self.options)):
                if _GRANTS.match(statement) or statement.startswith("RESET SESSION"):
                    self.attempt(connection, statement)
        for error in errors:
            if policy := _POLICY.match(error.command):
                yield f"Not restored, because a role is missing: policy {policy[1]}."

    def of_database(
        self, connection: Connection[TupleRow], toc: Iterable[TocEntry], captured: str, name: str
    ) -> Iterator[str]:
        """Give the database what the captured one had: settings, grants, comment."""
        entries = [
            entry for entry in toc if entry.kind in _DATABASE_KINDS and _is_of_database(entry, captured)
        ]
        if not entries:
            return
        script = self.archive.statements([entry.id for entry in entries], "--create", *self.options)
        for statement in split_statements(script):
            renamed = _renamed(statement, captured, name)
            if renamed and not self.attempt(connection, renamed):
                yield f"Left out, because a role is missing: {statement.split(' ', 1)[0]} on the database."

    def attempt(self, connection: Connection[TupleRow], statement: str) -> bool:
        """Run a statement; False when it names a role that is missing. What the server refuses otherwise is noted."""
        import psycopg

        try:
            connection.execute(statement.encode())
        except psycopg.Error as error:
            if connection.closed:
                raise
            of_role = isinstance(error, psycopg.errors.UndefinedObject | psycopg.errors.InsufficientPrivilege)
            if of_role and any(role in str(error) for role in self.missing):
                return False
            self.shortfall.add(_subject(statement), words(error))
        return True


def _subject(statement: str) -> str:
    """What it is about, without what may be a secret in it."""
    found = _SUBJECT.match(statement)
    return " ".join((found[0] if found else statement.split(" ", 1)[0]).split())


def _is_of_database(entry: TocEntry, captured: str) -> bool:
    return entry.kind == "DATABASE PROPERTIES" or (not entry.schema and entry.tag.startswith("DATABASE "))


def _renamed(statement: str, captured: str, name: str) -> str | None:
    """The statement about another database; None for what is not about the database."""
    match = _OF_DATABASE.match(statement)
    if not match:
        return None
    rest = statement[match.end() :]
    for written in (identifier(captured), captured):
        if rest.startswith(written + " "):
            return match[1] + identifier(name) + rest[len(written) :]
    return None
