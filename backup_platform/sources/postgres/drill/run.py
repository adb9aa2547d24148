"""The drill of a PostgreSQL recovery point: restored into a server, then compared in every way there is.

Stored and restored tables are compared value by value, read by the reader that captured them. That does not show what
this reader loses: so the restored server computes the facts that the source's server computed in the snapshot, and
pg_dump writes the schema of both. What the restored database itself says of its indexes, and the user's own
assertions, come last.
"""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from backup_platform.domain.model import Json, RecoveryPoint
from backup_platform.domain.ports import Clock, DrillReport, PointReader, Progress, Recorder, Sandbox
from backup_platform.domain.restoring import DatabaseRestoreSummary, DatabaseTarget, RestoreFailure
from backup_platform.domain.tables import Table
from backup_platform.domain.words import at_most
from backup_platform.errors import SourceError, TargetError
from backup_platform.sources.postgres.capture.tables import read_tables
from backup_platform.sources.postgres.catalog.relations import find, relations, select
from backup_platform.sources.postgres.connect.connections import adbc_uri, connect
from backup_platform.sources.postgres.connect.settings import pin_statement
from backup_platform.sources.postgres.contents import PointContents, read_contents
from backup_platform.sources.postgres.drill.checks import assertion_differences, damaged_indexes
from backup_platform.sources.postgres.drill.facts import fact_differences, unstored_tables
from backup_platform.sources.postgres.drill.schema import compare_schema
from backup_platform.sources.postgres.drill.scratch import Scratch, scratch
from backup_platform.sources.postgres.failures import postgres_errors
from backup_platform.sources.postgres.options import PostgresOptions
from backup_platform.sources.postgres.restore.run import plan_restore, run_restore
from backup_platform.sources.postgres.restore.two_roles.division import carry_out
from backup_platform.sources.postgres.restore.two_roles.roles import before_queries
from backup_platform.sources.postgres.server.isolation.openings import told
from backup_platform.sources.postgres.tools import release
from backup_platform.sources.tabular.comparing import TableComparison, TableGroup
from backup_platform.sources.tabular.stored import StoredTable

if TYPE_CHECKING:
    from adbc_driver_manager.dbapi import Connection as ArrowConnection

MAX_DIFFERENCES = 20
TABLE = "table"
_OTHER_SERVER = "Name a drill_server in the plan that has what the recovery point needs."
_NEWER = (
    "Update the programs that drills start, or name a drill_server in the plan that is as new as the source."
)


def drill(
    options: PostgresOptions,
    point: RecoveryPoint,
    reader: PointReader,
    sandbox: Sandbox,
    clock: Clock,
    progress: Progress,
) -> DrillReport:
    """Restore the point into a server that nobody uses, and compare.

    Raises `SourceError` where a drill cannot be made (no server, an extension that it lacks, no room), `DamageError`
    where the repository cannot deliver what is stored.
    """
    contents = read_contents(reader)
    with scratch(options, contents.database, sandbox.path, clock, sandbox.limit) as target:
        run = _Drill(options, point, reader, contents, target, sandbox.path, clock, progress)
        differences = list(run.differences())
    return DrillReport(run.compared, tuple(at_most(differences, MAX_DIFFERENCES, "differences")))


@dataclass
class _Drill:
    options: PostgresOptions
    point: RecoveryPoint
    reader: PointReader
    contents: PointContents
    target: Scratch
    directory: str
    clock: Clock
    progress: Progress
    compared: dict[str, Json] = field(default_factory=dict)
    failures: tuple[RestoreFailure, ...] = ()

    def differences(self) -> Iterator[str]:
        self.compared |= {"server": self.target.server, "server_version": self.target.version}
        self.compared |= told(self.target.isolation)
        if self._older():
            self.compared["older_server"] = self._older()
        if self.target.lacking:
            self.compared["lacking"] = list[Json](self.target.lacking)
        try:
            self._restore()
        except TargetError as error:
            yield self._as_difference(error)
            return
        failed = [f"{failure.what}: {failure.said}" for failure in self.failures]
        if failed and self._older():
            raise _cannot(f"{self._older()}, and the restore failed there. {failed[0]}.", hint=_NEWER)
        if failed:
            yield from (f"The recovery point cannot be restored: {failure}." for failure in failed)
            return
        found = False
        for difference in self._compared():
            found = True
            yield difference
        if found and self._older():
            yield f"{self._older()}: drill the point on a server as new as the source before you treat it as damaged."

    def _compared(self) -> Iterator[str]:
        yield from self._compare_schema()
        yield from self._compare_tables()
        yield from self._compare_facts()
        yield from self._check()

    def _older(self) -> str:
        """That the server is of an older release than the source, minor releases counted; "" when it is not."""
        source = self.contents.database.server_version
        if self.target.version >= source:
            return ""
        return f"The drill server runs PostgreSQL {release(self.target.version)}, the source ran {release(source)}"

    def _restore(self) -> None:
        """Raises `SourceError` when the plan has conflicts, `TargetError` when the restore failed."""
        pair = self.target.pair
        own = None if pair is None else False  # owners and grants come last, and from the superuser
        target = DatabaseTarget(self.target.url, jobs=self.options.jobs, owner=own, privileges=own)
        bin_dir = self.options.bin_dir
        try:
            plan = plan_restore(self.point, self.reader, target, bin_dir=bin_dir, pair=pair)
        except TargetError as error:
            raise _cannot(error.message, error) from error
        if refused := (*plan.conflicts, *plan.left_out):
            raise _cannot(refused[0])
        self.progress.begin("restoring", TABLE)
        summary = run_restore(plan, self.reader, self.progress, self.clock, bin_dir=bin_dir, pair=pair)
        self._restored(summary)

    def _restored(self, summary: DatabaseRestoreSummary) -> None:
        self.failures = summary.failures
        self.compared |= {
            "tables": summary.tables,
            "rows": summary.rows,
            "bytes": summary.bytes,
            "restore_s": round(summary.duration_s, 3),
        }
        if summary.warnings:
            self.compared["restore_warnings"] = list[Json](summary.warnings[:MAX_DIFFERENCES])

    def _as_difference(self, error: TargetError) -> str:
        """A point that cannot be restored is what drills are for. A full disk, a lost server or one that is older than
        the source says nothing of the point."""
        if error.retryable or error.full:
            raise _cannot(error.message, error) from error
        if older := self._older():
            raise _cannot(f"{older}, and the restore failed there. {error.message}", hint=_NEWER) from error
        return f"The recovery point cannot be restored: {error.message}"

    def _compare_schema(self) -> Iterator[str]:
        self.progress.begin("comparing the schema", TABLE)
        found = compare_schema(self.contents, self.target, self.options.bin_dir, self.directory, self.clock)
        self.compared |= found.compared
        yield from found.differences
        if self.target.pair:
            with connect(self.target.definitions) as connection, postgres_errors(self.target.server):
                for query in before_queries(self.target.version):
                    carry_out(connection, query, runner=self.target.pair.user)

    def _compare_tables(self) -> Iterator[str]:
        with connect(self.target.url) as connection, postgres_errors(self.target.server):
            chosen = select(find(connection), PostgresOptions(self.target.url), standby=False)
            there = relations(connection, chosen)
            yield from unstored_tables(connection, self.contents)
        jobs = self.options.jobs

        def read(labels: AbstractSet[str], recorder: Recorder) -> list[StoredTable]:
            wanted = [relation for relation in there if relation.label in labels]
            return read_tables(wanted, self._connect, recorder, self.progress, jobs)

        tables = _together(self.contents)
        comparison = TableComparison(tables, self.contents.open, read, self.directory, self.progress, jobs)
        yield from comparison.differences()

    def _connect(self) -> ArrowConnection:
        import adbc_driver_postgresql.dbapi

        uri = adbc_uri(self.target.url)
        connection: ArrowConnection = adbc_driver_postgresql.dbapi.connect(uri, autocommit=True)
        with connection.cursor() as cursor:
            cursor.execute(pin_statement())
        return connection

    def _compare_facts(self) -> Iterator[str]:
        self.progress.begin("comparing the server's facts", TABLE)
        found = fact_differences(self.target, self.point.facts, self.contents, self.options.jobs)
        self.compared |= found.compared
        yield from found.differences

    def _check(self) -> Iterator[str]:
        self.progress.begin("checking indexes and assertions", TABLE)
        yield from assertion_differences(self.target, self.options.assertions)
        self.compared["assertions"] = len(self.options.assertions)
        verdict, damages = damaged_indexes(self.target, self.options.jobs)
        self.compared["amcheck"] = verdict
        yield from damages


def _together(contents: PointContents) -> list[TableGroup]:
    """The leaves below a table that routed their rows are one group."""
    through = {label: name.label for label, name in contents.database.load_through}
    found: dict[str, list[Table]] = {}
    for table in contents.catalogue.tables:
        found.setdefault(through.get(table.label, table.label), []).append(table)
    return [TableGroup(label, tuple(tables)) for label, tables in found.items()]


def _cannot(reason: str, error: TargetError | None = None, hint: str = "") -> SourceError:
    return SourceError(
        f"The drill cannot be made: {reason}",
        hint=hint or (error.advice if error else _OTHER_SERVER),
        retryable=error is not None and error.retryable,
    )
