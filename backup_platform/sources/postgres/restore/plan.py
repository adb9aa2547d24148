"""What a restore into a server would do: reads the recovery point and the target, and writes nothing."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from backup_platform.domain.model import RecoveryPoint
from backup_platform.domain.ports import PointReader
from backup_platform.domain.restoring import DatabaseRestorePlan, DatabaseTarget
from backup_platform.domain.words import how_many
from backup_platform.errors import SourceError, TargetError, UsageError
from backup_platform.sources.postgres.contents import PointContents, read_contents
from backup_platform.sources.postgres.dump.pg_restore import Archive
from backup_platform.sources.postgres.dump.toc import TocEntry, parse_toc
from backup_platform.sources.postgres.restore.obstacles import advice, conflicts, warnings
from backup_platform.sources.postgres.restore.out_of_reach import left_out, out_of_reach
from backup_platform.sources.postgres.restore.preparation import Preparation
from backup_platform.sources.postgres.restore.scope import Scope, scope_of
from backup_platform.sources.postgres.restore.target import TargetDatabase
from backup_platform.sources.postgres.restore.two_roles.division import Pair
from backup_platform.sources.postgres.tools import find_tools
from backup_platform.temporary import PrivateDirectory


@contextmanager
def prepare(
    point: RecoveryPoint,
    reader: PointReader,
    target: DatabaseTarget,
    bin_dir: str | None,
    pair: Pair | None = None,
) -> Iterator[Preparation]:
    """Raises UsageError, NotFoundError for a table or schema that is not in the point, TargetError, DamageError."""
    _check(target)
    contents = read_contents(reader)
    document = contents.database
    database = TargetDatabase.of(target.url, document.name if target.create else None)
    standing = database.standing()
    with PrivateDirectory("restore") as directory:
        archive = _archive(contents, os.path.join(directory, "schema.dump"), standing.major, bin_dir)
        toc = toc_of(contents, archive)
        scope = scope_of(contents, toc, target)
        prepared = Preparation(point, target, database, standing, contents, archive, toc, scope, pair=pair)
        there = _large_objects_there(prepared)
        yield replace(prepared, beyond=out_of_reach(prepared), large_objects_there=there)


def plan_of(prepared: Preparation) -> DatabaseRestorePlan:
    """What people are shown of it."""
    tables, contents = prepared.tables, prepared.contents
    missing = tuple(left_out(prepared))
    stop = missing if prepared.target.exit_on_error else ()
    return DatabaseRestorePlan(
        point=prepared.point,
        target=prepared.target,
        server=f"PostgreSQL {prepared.standing.major} {prepared.standing.server}",
        database=prepared.database.name,
        tables=tuple(table.label for table in tables),
        rows=sum(table.rows for table in tables) if prepared.scope.data else 0,
        bytes=sum(map(contents.stored_bytes, tables)) if prepared.scope.data else 0,
        steps=tuple(_steps(prepared)),
        warnings=tuple(warnings(prepared)),
        advice=tuple(advice(prepared)),
        conflicts=(*conflicts(prepared), *stop),
        left_out=missing,
    )


def _large_objects_there(prepared: Preparation) -> frozenset[int]:
    """Elsewhere large objects in the target are a conflict."""
    if not prepared.target.data_only or not prepared.scope.large_objects or prepared.standing.found is None:
        return frozenset()
    return prepared.database.large_objects([item.oid for item in prepared.contents.database.large_objects])


def _check(target: DatabaseTarget) -> None:
    if target.data_only and target.schema_only:
        raise UsageError("--data-only and --schema-only together leave nothing to restore.")
    if target.data_only and target.create:
        raise UsageError("--data-only needs tables that exist: it cannot go with --create.")
    if target.schemas and target.tables:
        raise UsageError(
            "Give schemas or tables, not both.", hint="A table's name may have its schema: app.orders."
        )
    if target.jobs < 1:
        raise UsageError(f"A restore needs at least one connection, not {target.jobs}.")


def _archive(contents: PointContents, path: str, major: int, bin_dir: str | None) -> Archive:
    contents.save_schema(path)
    minimum = contents.database.dump_version // 10_000
    try:
        return Archive(
            find_tools(minimum, prefer=major, bin_dir=bin_dir, needs=("pg_dump", "pg_restore")), path
        )
    except SourceError as error:
        raise TargetError(error.message, hint=error.advice) from error


def toc_of(contents: PointContents, archive: Archive) -> tuple[TocEntry, ...]:
    """Parsed twice: the first pass finds the schemas without tables, whose names may have spaces in them."""
    schemas = {table.schema for table in contents.catalogue.tables} | {"public"}
    roles, listing = {*contents.database.roles, contents.database.owner}, archive.listing()
    named = {entry.tag for entry in parse_toc(listing, schemas, roles) if entry.kind == "SCHEMA"}
    return tuple(parse_toc(listing, schemas | named, roles))


def _steps(prepared: Preparation) -> Iterator[str]:
    target, scope, document = prepared.target, prepared.scope, prepared.contents.database
    database = f"database {prepared.database.name!r}"
    if target.create:
        yield f"create the {database} ({document.locale.encoding}, {document.locale.collate})"
    if not target.data_only:
        yield f"create {_counted(scope)} by pg_restore {prepared.archive.tools.major}"
    if scope.data:
        rows = sum(table.rows for table in scope.tables)
        tables = how_many(len(scope.tables), "table")
        yield f"load {tables} with {how_many(rows, 'row')} over {how_many(target.jobs, 'connection')}"
    large = len(document.large_objects) - len(prepared.large_objects_there) if scope.large_objects else 0
    if large:
        yield f"restore {how_many(large, 'large object')}"
    if scope.sequences:
        yield f"set {how_many(len(scope.sequences), 'sequence')}"
    if not target.data_only:
        yield "create indexes, constraints, triggers and everything else that comes after the data"
    if scope.refresh:
        yield f"refresh {how_many(len(scope.refresh), 'materialised view')}"
    if scope.data:
        yield "gather statistics (ANALYZE)"


def _counted(scope: Scope) -> str:
    if scope.entries is None:
        return "the schema"
    tables = sum(entry.kind == "TABLE" for entry in scope.entries)
    return f"the definitions of {how_many(tables, 'table')} and what they need"
