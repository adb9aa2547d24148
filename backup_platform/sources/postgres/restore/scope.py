"""Which part of a recovery point a restore covers."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from backup_platform.advice import command
from backup_platform.domain.restoring import DatabaseTarget
from backup_platform.domain.tables import Table
from backup_platform.errors import NotFoundError
from backup_platform.sources.postgres.contents import PointContents
from backup_platform.sources.postgres.document import QualifiedName, SequenceValue
from backup_platform.sources.postgres.dump.toc import TocEntry, listed
from backup_platform.sources.postgres.restore.selection import (
    RELATIONS,
    EntrySelection,
    select,
    wanted_tables,
)


@dataclass(frozen=True, slots=True)
class Scope:
    """`entries` of the archive, None for all. `through` names per table the relation that takes its rows."""

    data: bool
    entries: tuple[TocEntry, ...] | None
    tables: tuple[Table, ...]
    through: tuple[QualifiedName, ...]
    sequences: tuple[SequenceValue, ...]
    refresh: tuple[QualifiedName, ...]
    large_objects: bool
    left_out: tuple[str, ...] = ()
    empty_parents: tuple[str, ...] = ()


def scope_of(contents: PointContents, toc: Sequence[TocEntry], target: DatabaseTarget) -> Scope:
    """Raises NotFoundError for a schema or table that the point does not hold."""
    data = not target.schema_only
    if not target.schemas and not target.tables:
        return _whole(contents, data)
    if target.schemas:
        _check_schemas(contents, toc, target.schemas)
        selection = select(toc, target.schemas, ())
        tables = [table for table in contents.catalogue.tables if table.schema in target.schemas]
    else:
        roots = [root for name in target.tables for root in _named(toc, name)]
        wanted = wanted_tables(toc, roots)
        selection = select(toc, (), wanted)
        tables = [t for t in contents.catalogue.tables if (listed(t.schema), listed(t.name)) in wanted]
    return _narrowed(contents, selection, tables, data)


def _whole(contents: PointContents, data: bool) -> Scope:
    document, tables = contents.database, contents.catalogue.tables
    return Scope(
        data=data,
        entries=None,
        tables=tables,
        through=_through(contents, tables, None),
        sequences=document.sequences if data else (),
        refresh=document.refresh if data else (),
        large_objects=data and bool(document.large_objects),
    )


def _narrowed(
    contents: PointContents, selection: EntrySelection, tables: Sequence[Table], data: bool
) -> Scope:
    document = contents.database
    chosen = {(e.kind, e.schema, e.tag) for e in selection.entries}
    sequences = [v for v in document.sequences if ("SEQUENCE", *_listed(v.sequence)) in chosen]
    views = [name for name in document.refresh if ("MATERIALIZED VIEW", *_listed(name)) in chosen]
    return Scope(
        data=data,
        entries=selection.entries,
        tables=tuple(tables),
        through=_through(
            contents, tables, {(schema, tag) for kind, schema, tag in chosen if kind == "TABLE"}
        ),
        sequences=tuple(sequences) if data else (),
        refresh=tuple(views) if data else (),
        large_objects=False,
        left_out=selection.left_out,
        empty_parents=selection.empty_parents,
    )


def _through(
    contents: PointContents, tables: Sequence[Table], chosen: Collection[tuple[str, str]] | None
) -> tuple[QualifiedName, ...]:
    """A partition whose ancestor is not restored takes its rows itself."""
    routes = dict(contents.database.load_through)
    own = ((table, QualifiedName(table.schema, table.name)) for table in tables)
    routed = [(name, routes.get(table.label, name)) for table, name in own]
    return tuple(to if chosen is None or _listed(to) in chosen else name for name, to in routed)


def _listed(name: QualifiedName) -> tuple[str, str]:
    return listed(name.schema), listed(name.name)


def _named(toc: Sequence[TocEntry], name: str) -> list[tuple[str, str]]:
    """Tables that `name` means: `schema.name`, or a bare name in any schema."""
    wanted = listed(name)
    found = [e for e in toc if e.kind in RELATIONS and wanted in (e.tag, f"{e.schema}.{e.tag}")]
    if not found:
        raise NotFoundError(
            f"The recovery point has no table {name!r}.",
            subject=name,
            hint=(command("tables", "POINT"), " lists its tables."),
        )
    for entry in found:
        if entry.kind != "TABLE":
            raise NotFoundError(
                f"{name!r} is a {entry.kind.lower()}: --table restores only tables.", subject=name
            )
    return [(entry.schema, entry.tag) for entry in found]


def _check_schemas(contents: PointContents, toc: Sequence[TocEntry], schemas: Sequence[str]) -> None:
    known = {entry.schema for entry in toc} | {entry.tag for entry in toc if entry.kind == "SCHEMA"}
    for schema in schemas:
        if listed(schema) not in known:
            raise NotFoundError(f"The recovery point has no schema {schema!r}.", subject=schema)
