"""One capture: the snapshot, the schema, the facts and the tables, into a recorder."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import IO

from backup_platform.domain.model import Capture, Json, Problem, Status, StreamRef
from backup_platform.domain.ports import Clock, Progress, Recorder
from backup_platform.domain.tables import CATALOGUE_PATH, Catalogue, Table, bounded_document
from backup_platform.domain.words import first_of
from backup_platform.errors import (
    SourceBusyError,
    SourceConnectionsError,
    SourceEncodingError,
    SourceError,
    SourceLocksError,
    SourceUnreadableError,
    bounded,
)
from backup_platform.sources.postgres.capture.sessions import too_few_connections
from backup_platform.sources.postgres.capture.snapshot import (
    ATTEMPTS,
    OvertakenError,
    Snapshot,
    take_snapshot,
)
from backup_platform.sources.postgres.capture.table_facts import TableFact, best_algorithm, shared_table_facts
from backup_platform.sources.postgres.capture.tables import read_tables
from backup_platform.sources.postgres.catalog.database import database_document
from backup_platform.sources.postgres.catalog.large_objects import (
    ALL_LARGE_OBJECTS,
    large_object_blocks,
    large_object_facts,
)
from backup_platform.sources.postgres.catalog.partitioned import partitioned_tables
from backup_platform.sources.postgres.catalog.relations import relations
from backup_platform.sources.postgres.catalog.server import (
    clock_skew,
    collation_facts,
    reads_passwords,
    server_facts,
)
from backup_platform.sources.postgres.connect.connections import describe
from backup_platform.sources.postgres.document import (
    DATABASE_PATH,
    GLOBALS_PATH,
    LARGE_OBJECTS,
    SCHEMA_PATH,
    CapturedDatabase,
    LeftOut,
    encode,
)
from backup_platform.sources.postgres.dump.pg_dump import dump_globals, dump_schema, schema_facts
from backup_platform.sources.postgres.failures import postgres_errors
from backup_platform.sources.postgres.options import PostgresOptions
from backup_platform.sources.postgres.tools import Tools, find_tools
from backup_platform.sources.recording import record_streams

ENGINE = "postgresql"
_ALLOW = (
    "GRANT SELECT on it (or pg_read_all_data, and BYPASSRLS) to the role of the plan's url, "
    "or exclude it in the plan."
)
_ALLOW_LARGE_OBJECTS = (
    "GRANT SELECT ON LARGE OBJECT to the role of the plan's url, or membership in their owner; "
    "or leave them out with large_objects: false in the plan."
)
_DETAIL = (
    1_000  # characters of a problem: every listing of recovery points reads the manifests that hold them
)
DUMP_S = 5.0  # how long pg_dump waits for its locks, which this capture holds already
_BLOCK = 1 << 20
_MISCOUNTED = 5  # in messages


def capture(options: PostgresOptions, clock: Clock, recorder: Recorder, progress: Progress) -> Capture:
    """Raises `SourceError`, and then nothing was recorded; lets `RepositoryError` pass through.

    A migration that is stopped by the locks of the snapshot stops pg_dump in turn: then it goes first.
    """
    for _ in range(ATTEMPTS - 1):
        with suppress(OvertakenError):
            return _captured(options, clock, recorder, progress)
    try:
        return _captured(options, clock, recorder, progress)
    except OvertakenError as overtaken:
        raise overtaken.reason from overtaken


def _captured(options: PostgresOptions, clock: Clock, recorder: Recorder, progress: Progress) -> Capture:
    with take_snapshot(options.url, options, clock) as snapshot:
        major = snapshot.connection.info.server_version // 10000
        tools = find_tools(major, prefer=major, bin_dir=options.bin_dir)
        work = _Capture(options, snapshot, tools, recorder, progress)
        work.run()
    record_streams(recorder, work.streams, snapshot.captured_at)
    versions = {"postgresql": str(work.facts["server_version"]), "pg_dump": _number(tools.version)}
    problems = tuple(work.problems)
    return Capture(
        snapshot.captured_at, work.facts, problems=problems, incomplete=bool(problems), versions=versions
    )


@dataclass
class _Capture:
    options: PostgresOptions
    snapshot: Snapshot
    tools: Tools
    recorder: Recorder
    progress: Progress
    facts: dict[str, Json] = field(default_factory=dict)
    streams: dict[bytes, StreamRef] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)

    def run(self) -> None:
        """The schema first: pg_dump reads some of it as it is now, so close to the snapshot."""
        self._store_schema()
        self._store_globals()
        document = database_document(
            self.snapshot.connection,
            self.snapshot.selection,
            dump_version=self.tools.version,
            with_large_objects=self.options.large_objects,
        )
        self._report(self.snapshot.selection.denied, _ALLOW)
        document = self._store_large_objects(document)
        tables, unreadable = self._store_tables()
        document = replace(document, left_out=(*document.left_out, *unreadable))
        self._store(DATABASE_PATH, [_bounded_document(encode(document))])
        self._describe(document)
        self._compare(tables, self._table_facts(tables))
        self.snapshot.require_unchanged()

    def _store(self, path: bytes, blocks: Iterable[bytes]) -> None:
        self.streams[path] = self.recorder.stream(blocks)

    def _store_schema(self) -> None:
        self.progress.note("schema")
        with tempfile.TemporaryFile(prefix="backup-pg-") as file:
            self._dump(file)
            self.snapshot.lock_tables()
            self.facts |= schema_facts(self.tools, file)
            self._store(SCHEMA_PATH, _blocks(file))

    def _dump(self, file: IO[bytes]) -> None:
        """As UTF-8, or as the bytes of a database in SQL_ASCII whose definitions are none."""
        try:
            self._dump_as(file, "UTF8")
        except SourceEncodingError:
            if self.snapshot.connection.info.parameter_status("server_encoding") != "SQL_ASCII":
                raise
            file.seek(0)
            file.truncate()
            self._dump_as(file, "SQL_ASCII")
            self.warnings.append("Definitions hold bytes that are not UTF-8: they are stored as they are.")

    def _dump_as(self, file: IO[bytes], encoding: str) -> None:
        snapshot = self.snapshot
        try:
            self.warnings += dump_schema(
                self.tools,
                self.options.url,
                file,
                snapshot=snapshot.name,
                lock_timeout=self.options.lock_timeout if snapshot.crowded else DUMP_S,
                without=snapshot.selection.unreadable,
                encoding=encoding,
            )
        except SourceBusyError as error:
            raise snapshot.blocked() if snapshot.crowded else OvertakenError(error) from error
        except SourceConnectionsError as error:
            raise too_few_connections(error, max(1, self.options.jobs)) from error
        except SourceLocksError as error:
            raise snapshot.no_room() from error

    def _store_globals(self) -> None:
        passwords = reads_passwords(self.snapshot.connection)
        with tempfile.TemporaryFile(prefix="backup-pg-") as file:
            missing = dump_globals(self.tools, self.options.url, file, passwords=passwords)
            self.warnings += [missing] if missing else []
            if file.seek(0, 2):
                self._store(GLOBALS_PATH, _blocks(file))

    def _report(self, lost: Sequence[LeftOut], advice: str) -> None:
        """What the plan wants and the point does not hold."""
        for out in lost:
            detail = bounded(f"{out.kind}: {out.reason}. {advice}", _DETAIL)
            self.problems.append(Problem(out.name, Status.UNREADABLE, detail))

    def _store_large_objects(self, document: CapturedDatabase) -> CapturedDatabase:
        """The document without them where they cannot be read."""
        denied = [out for out in document.left_out if out.name == ALL_LARGE_OBJECTS]
        if self.options.large_objects:
            self._report(denied, _ALLOW_LARGE_OBJECTS)
        self.facts["large_objects"] = len(document.large_objects)
        if not document.large_objects:
            return document
        self.progress.note(f"{len(document.large_objects)} large objects")
        connection = self.snapshot.connection
        try:
            with postgres_errors("The server, asked for large objects,"), connection.transaction():
                self._store(LARGE_OBJECTS + b"/00000.parquet", large_object_blocks(connection))
                if self.options.facts == "full":
                    _, self.facts["large_objects_hash"] = large_object_facts(connection)
        except SourceUnreadableError as error:
            self.streams.pop(LARGE_OBJECTS + b"/00000.parquet", None)
            self.facts["large_objects"] = 0
            lost = LeftOut("large objects", ALL_LARGE_OBJECTS, error.message)
            self._report([lost], "To leave them out: large_objects: false in the plan.")
            return replace(document, large_objects=(), left_out=(*document.left_out, lost))
        return document

    def _store_tables(self) -> tuple[list[Table], list[LeftOut]]:
        """Those that are stored, and those whose rows cannot be read."""
        wanted = relations(self.snapshot.connection, self.snapshot.selection)
        unreadable: dict[str, SourceUnreadableError] = {}
        with self._behind_others():
            stored = read_tables(
                wanted,
                self.snapshot.open_arrow,
                self.recorder,
                self.progress,
                self.options.jobs,
                release=self.snapshot.release,
                unreadable=unreadable,
            )
        for _, streams in stored:
            self.streams |= {path.encode(): stream for path, stream in streams}
        tables = sorted((table for table, _ in stored), key=lambda table: (table.schema, table.name))
        partitioned = partitioned_tables(self.snapshot.connection, self.snapshot.selection, tables)
        catalogue = Catalogue(ENGINE, tuple(tables), partitioned)
        document = json.dumps(catalogue.to_json(), ensure_ascii=False, indent=1)
        self._store(CATALOGUE_PATH, [_bounded_document(document.encode())])
        lost = [LeftOut("table", label, error.message) for label, error in sorted(unreadable.items())]
        self._report(lost, "Its rows are not stored. To leave it out, exclude it in the plan.")
        return tables, lost

    @contextmanager
    def _behind_others(self) -> Iterator[None]:
        """Who takes locks for one table at a time may queue behind a migration that waits for this capture."""
        try:
            with postgres_errors(describe(self.options.url)):
                yield
        except SourceBusyError as error:
            if not self.snapshot.crowded:
                raise
            raise OvertakenError(error) from error

    def _table_facts(self, tables: Sequence[Table]) -> Mapping[str, TableFact]:
        self.progress.note(f"facts of {len(tables)} tables ({self.options.facts})")
        connections = [self.snapshot.connection, *self.snapshot.others]
        algorithm = best_algorithm(connections[0])
        with self._behind_others():
            found = shared_table_facts(connections, tables, self.options.facts, algorithm)
        self.facts |= {
            "tables": len(found),
            "rows": sum(fact.rows for fact in found.values()),
            "row_counts": {label: found[label].rows for label in sorted(found)},
            "row_hashes": {label: found[label].hash for label in sorted(found) if found[label].hash},
            "hash_mode": self.options.facts,
            "hash_algorithm": algorithm,
        }
        return found

    def _compare(self, tables: Sequence[Table], found: Mapping[str, TableFact]) -> None:
        """What was read must be as much as the server counted with a query of its own."""
        wrong = [
            f"{table.label}: {table.rows} of {found[table.label].rows}"
            for table in tables
            if table.rows != found[table.label].rows
        ]
        if wrong:
            raise SourceError(
                f"Fewer or more rows were read than the server counted: {first_of(wrong, _MISCOUNTED, '; ')}.",
                hint="Nothing was stored. Please report this with the server's version and the table's definition.",
            )

    def _describe(self, document: CapturedDatabase) -> None:
        snapshot = self.snapshot
        self.facts |= server_facts(snapshot.connection)
        collations, changed = collation_facts(snapshot.connection)
        skew, wrong = clock_skew(snapshot.captured_at, snapshot.server_clock)
        self.warnings += [*changed, *wrong, *snapshot.selection.warnings]
        self.facts |= {
            "collation_versions": collations,
            "clock_skew_s": skew,
            "extensions": dict(document.extensions),
            "sequences": {v.sequence.label: [v.last_value, v.is_called] for v in document.sequences},
            "left_out": [f"{out.kind} {out.name}: {out.reason}" for out in document.left_out],
            "unlogged": list[Json](snapshot.selection.unlogged),
            "warnings": list[Json](self.warnings),
        }


def _blocks(file: IO[bytes]) -> Iterator[bytes]:
    file.seek(0)
    while block := file.read(_BLOCK):
        yield block


def _number(version: int) -> str:
    return f"{version // 10000}.{version % 10000}"


def _bounded_document(text: bytes) -> bytes:
    """Raises SourceError for one that nobody would read."""
    try:
        return bounded_document([text])
    except ValueError as error:
        raise SourceError(
            f"The document that describes the tables is too large: {error}.",
            hint="Exclude tables in the plan, or leave large objects out with large_objects: false.",
        ) from error
