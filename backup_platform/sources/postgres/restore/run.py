"""Restore of a recovery point into a server: pg_restore for definitions, COPY over several connections for rows.

From before the first change until after the last one, a comment on the database says that the restore is not finished.
So everybody can see that a database was left by a killed restore. Objects that the server refuses are recorded, and all
others are restored. Only a server that is lost or full ends a restore.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from backup_platform.domain.model import RecoveryPoint
from backup_platform.domain.ports import Clock, PointReader, Progress
from backup_platform.domain.restoring import DatabaseRestorePlan, DatabaseRestoreSummary, DatabaseTarget
from backup_platform.domain.words import point_in_full, with_others
from backup_platform.errors import BackupError, TargetError
from backup_platform.sources.postgres.dump.pg_restore import ToolError
from backup_platform.sources.postgres.dump.toc import TocEntry
from backup_platform.sources.postgres.quoting import identifier
from backup_platform.sources.postgres.restore import subscriptions
from backup_platform.sources.postgres.restore.creation import create_statement
from backup_platform.sources.postgres.restore.grants import Grants
from backup_platform.sources.postgres.restore.obstacles import (
    foreign_roles,
    kept,
    missing_roles,
    missing_tablespaces,
    too_new,
)
from backup_platform.sources.postgres.restore.out_of_reach import chosen
from backup_platform.sources.postgres.restore.plan import plan_of, prepare
from backup_platform.sources.postgres.restore.preparation import Preparation
from backup_platform.sources.postgres.restore.rows.analyze import analyze
from backup_platform.sources.postgres.restore.rows.fill import Rows
from backup_platform.sources.postgres.restore.rows.large_objects import describe_large_objects
from backup_platform.sources.postgres.restore.shortfall import Shortfall, advice
from backup_platform.sources.postgres.restore.target import marker, split_marker
from backup_platform.sources.postgres.restore.two_roles.division import Division, Pair

if TYPE_CHECKING:
    from psycopg import Connection
    from psycopg.rows import TupleRow

_NAMED = 3
_OTHER_LOCALE = (
    "Make the database yourself, with a locale that this server has, and restore into it without --create."
)
_ID = 12


def plan_restore(
    point: RecoveryPoint,
    reader: PointReader,
    target: DatabaseTarget,
    *,
    bin_dir: str | None = None,
    pair: Pair | None = None,
) -> DatabaseRestorePlan:
    """What a restore will do; writes nothing. `bin_dir` is where pg_restore is, found when None. `pair` are the roles
    of a private server: the target's url is the runner's.

    Raises UsageError, TargetError, NotFoundError for a table or schema that is not in the point, DamageError.
    """
    with prepare(point, reader, target, bin_dir, pair) as prepared:
        return plan_of(prepared)


def run_restore(
    plan: DatabaseRestorePlan,
    reader: PointReader,
    progress: Progress,
    clock: Clock,
    *,
    bin_dir: str | None = None,
    pair: Pair | None = None,
) -> DatabaseRestoreSummary:
    """Carry out a plan, after looking again at the target: conflicts raise TargetError before anything is written.

    A later error says what was loaded and how to go on.
    """
    started = clock.monotonic()
    with prepare(plan.point, reader, plan.target, bin_dir, pair) as prepared:
        now = plan_of(prepared)
        if now.conflicts:
            raise TargetError(
                f"Nothing was written. {with_others(now.conflicts)}",
                hint="Restore into another database (--create makes it), and copy what you need from there.",
            )
        progress.expect(items=len(now.tables) if prepared.scope.data else 0, size=now.bytes)
        restoration = _Restoration(prepared, progress)
        restoration.run()
        failures = restoration.shortfall.told()
        rows, pg_restore = restoration.rows, prepared.archive.tools.path("pg_restore")
    return DatabaseRestoreSummary(
        tables=len(now.tables) - len(rows.lacking),
        rows=now.rows if not rows.lacking else sum(rows.copied.values()),
        bytes=now.bytes,
        duration_s=clock.monotonic() - started,
        warnings=(*now.warnings, *restoration.warnings),
        left_out=now.left_out,
        failures=failures,
        advice=(*now.advice, *advice(plan.point.id[:_ID], failures, rows.lacking, pg_restore)),
    )


@dataclass
class _Restoration:
    prepared: Preparation
    progress: Progress
    warnings: list[str] = field(default_factory=list)
    comment: str | None = None

    def __post_init__(self) -> None:
        target = self.prepared.target
        self.shortfall = Shortfall(
            self.prepared.toc, stop=target.exit_on_error, absent=set(self.prepared.beyond)
        )
        self.rows = Rows(self.prepared, self.progress, self.shortfall)

    def run(self) -> None:
        prepared, scope = self.prepared, self.prepared.scope
        if prepared.target.create:
            self._create()
        with self._telling_how_to_go_on():
            self._mark()
            if not prepared.target.data_only:
                self._section("pre-data", 1)
            if scope.data:
                self.rows.load()
            if not prepared.target.data_only:
                self._section("post-data", prepared.target.jobs)
            if scope.data:
                self.rows.refresh()
                self.progress.note("gathering statistics")
                relations = (*scope.through, *scope.refresh)
                self.warnings += analyze(prepared.database, relations, prepared.target.jobs)
            self._finish()

    @contextmanager
    def _telling_how_to_go_on(self) -> Iterator[None]:
        try:
            yield
        except BackupError as error:
            error.advise(self._standing())
            raise

    def _standing(self) -> str:
        """What is there now, and what to do about it."""
        name, done = self.prepared.database.name, len(self.rows.whole)
        if self.prepared.target.data_only or self.prepared.target.occupied:
            return (
                f"{self._tables_done(done)} What was restored into {name!r} stays there: remove it, "
                "then run this again."
            )
        return f"{self._tables_done(done)} Drop the database {name!r}, then run this again: it starts again."

    def _tables_done(self, done: int) -> str:
        total = len(self.prepared.tables)
        named = f" ({', '.join(sorted(self.rows.whole))})" if 0 < done <= _NAMED else ""
        return f"{done} of {total} tables were loaded{named}."

    def _create(self) -> None:
        prepared, document = self.prepared, self.prepared.contents.database
        given = prepared.target.owner is not False and document.owner in prepared.standing.privileges.members
        owner = document.owner if given else None
        self.progress.note(f"creating the database {prepared.database.name}")
        statement = create_statement(prepared.database.name, document.locale, owner, prepared.standing.major)
        try:
            with prepared.database.maintenance() as connection:
                connection.execute(statement.encode())
        except TargetError as error:
            error.advice = error.advice or (_OTHER_LOCALE,)
            raise

    def _mark(self) -> None:
        """Of a database that is not the role's own, the comment cannot be changed: the plan says so."""
        found, point = self.prepared.standing.found, self.prepared.point
        self.comment = found.comment if found else None
        if found is None or found.owned:
            what = point_in_full(point)
            self._set_comment(marker(what, self.comment))

    def _set_comment(self, text: str | None) -> None:
        database = self.prepared.database
        with database.connection() as connection:
            database.comment(connection, text)

    def _section(self, section: str, jobs: int) -> None:
        prepared = self.prepared
        self.progress.note(f"restoring definitions: {section}")
        options = [*self._unwanted(), *(["--no-tablespaces"] if missing_tablespaces(prepared) else [])]
        if too_new(prepared):
            jobs = 1  # every process would report an error, and their reports may run into each other
        division = self._division()
        if division is not None:
            outcome = division.before_data() if section == "pre-data" else division.after_data(jobs)
        else:
            outcome = prepared.archive.restore(
                prepared.database.url,
                prepared.database.name,
                section,
                entries=self._entries(),
                jobs=jobs,
                options=options,
            )
        for about, said in outcome.ungranted:
            self.shortfall.add(f"grants of {about}", said)
        self.shortfall.definitions(self._unexpected(outcome.errors))

    def _division(self) -> Division | None:
        """How two roles share the work on a private server."""
        prepared = self.prepared
        if prepared.pair is None:
            return None
        options = ["--no-tablespaces"] if missing_tablespaces(prepared) else []
        return Division(prepared.archive, self._chosen(), prepared.pair, prepared.database.name, options)

    def _unwanted(self) -> list[str]:
        target = self.prepared.target
        owner = ["--no-owner"] if target.owner is False else []
        return [*owner, *(["--no-privileges"] if target.privileges is False else [])]

    def _entries(self) -> list[int] | None:
        """For pg_restore's list; None for everything."""
        whole = self.prepared.scope.entries is None and not kept(self.prepared) and not self.prepared.beyond
        return None if whole else [entry.id for entry in self._chosen()]

    def _chosen(self) -> list[TocEntry]:
        without = {entry.id for entry in kept(self.prepared)} | self.prepared.beyond.keys()
        return [entry for entry in chosen(self.prepared) if entry.id not in without]

    def _unexpected(self, errors: Sequence[ToolError]) -> list[ToolError]:
        """What only lacks a role is told as a warning; grants to roles that exist are given after all. So are
        subscriptions whose parameters this server does not know, without them."""
        grants = self._grants()
        expected = [error for error in errors if grants.explains(error)]
        with self.prepared.database.connection() as connection:
            self.warnings += grants.repair(connection, expected, self._chosen())
            refused = subscriptions.refused(errors)
            if refused:
                for statement in subscriptions.reduced(self.prepared.archive, self._chosen()):
                    grants.attempt(connection, statement)
        return [error for error in errors if error not in (*expected, *refused)]

    def _finish(self) -> None:
        prepared = self.prepared
        if division := self._division():
            with division.connection() as connection:
                self._belongings(connection, division.pair)
            self.shortfall.definitions(division.at_last())
        with prepared.database.connection() as connection:
            if prepared.target.create:
                captured = prepared.contents.database.name
                self.warnings += self._grants().of_database(
                    connection, prepared.toc, captured, prepared.database.name
                )
            self._unmark(connection)

    def _belongings(self, connection: Connection[TupleRow], pair: Pair) -> None:
        """Of large objects and of the database itself: owners, grants, settings."""
        document, name = self.prepared.contents.database, self.prepared.database.name
        everybody = self.prepared.standing.roles
        for what, said in describe_large_objects(connection, document.large_objects, everybody, everybody):
            self.shortfall.add(what, said)
        grants = Grants(self.prepared.archive, (), self.shortfall)
        self.warnings += grants.of_database(connection, self.prepared.toc, document.name, name)
        connection.execute(
            f"ALTER DATABASE {identifier(name)} OWNER TO {identifier(document.owner)}".encode()
        )
        connection.execute(
            f"GRANT CONNECT ON DATABASE {identifier(name)} TO {identifier(pair.user)}".encode()
        )

    def _grants(self) -> Grants:
        roles = (*missing_roles(self.prepared), *foreign_roles(self.prepared))
        return Grants(self.prepared.archive, roles, self.shortfall, self._unwanted())

    def _unmark(self, connection: Connection[TupleRow]) -> None:
        """A comment that the restore itself set, from the recovery point, stays."""
        query = "SELECT pg_catalog.shobj_description(oid, 'pg_database') FROM pg_catalog.pg_database WHERE datname = %s"
        row = connection.execute(query, (self.prepared.database.name,)).fetchone()
        if row and split_marker(row[0])[0]:
            self.prepared.database.comment(connection, self.comment)
