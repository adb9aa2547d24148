"""What stands against a restore, and what people should know of it before."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from backup_platform.advice import Hint, command
from backup_platform.domain.words import first_of
from backup_platform.sources.postgres.document import QualifiedName
from backup_platform.sources.postgres.dump.pg_restore import split_statements
from backup_platform.sources.postgres.dump.toc import TocEntry, listed
from backup_platform.sources.postgres.quoting import identifier
from backup_platform.sources.postgres.restore.out_of_reach import chosen
from backup_platform.sources.postgres.restore.target import DatabaseObject, ExistingDatabase

if TYPE_CHECKING:
    from psycopg import Connection
    from psycopg.rows import TupleRow

    from backup_platform.sources.postgres.restore.preparation import Preparation

_SHOWN = 5
_TRANSACTION_TIMEOUT_SINCE = 17
_RELATION = b"to_regclass(format('%%I.%%I', %s::text, %s::text))"
_COLUMNS = (
    b"SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute WHERE attnum > 0 AND NOT attisdropped "
    b"AND attgenerated = '' AND attrelid = " + _RELATION
)
_KIND = b"SELECT relkind::text FROM pg_class WHERE oid = " + _RELATION
_OWNED = b"SELECT pg_has_role(relowner, 'USAGE') FROM pg_class WHERE oid = " + _RELATION
_RELATIONS = ("TABLE", "VIEW", "MATERIALIZED VIEW", "FOREIGN TABLE", "SEQUENCE")
_KEPT = {
    "SCHEMA": "schema",
    "TYPE": "type",
    "DOMAIN": "type",
    "FUNCTION": "function",
    "PROCEDURE": "function",
    "AGGREGATE": "function",
}


def conflicts(prepared: Preparation) -> Iterator[str]:
    """Sentences; each stops the restore before anything is written."""
    yield from _version(prepared)
    found, target = prepared.standing.found, prepared.target
    if target.create:
        yield from _creation(prepared)
    elif found is None:
        yield f"The database {prepared.database.name!r} does not exist: create it first, or give --create."
    else:
        yield from _occupation(prepared, found)


def _version(prepared: Preparation) -> Iterator[str]:
    captured, major = prepared.contents.database.server_version // 10_000, prepared.standing.major
    if major < captured:
        yield (
            f"The recovery point is of PostgreSQL {captured} and the server is older, {major}: "
            "restore into the same or a newer version."
        )


def _creation(prepared: Preparation) -> Iterator[str]:
    found, name = prepared.standing.found, prepared.database.name
    if found is not None and found.unfinished:
        yield f"{_unfinished(name, found)} Drop it (DROP DATABASE) and run this again, or take another name."
    elif found is not None:
        yield f"The database {name!r} exists already: take another name, or leave out --create."
    if not prepared.standing.creates:
        yield f"The role {prepared.standing.user!r} may not create databases."


def _unfinished(name: str, found: ExistingDatabase) -> str:
    return f"The database {name!r} holds a restore that was not finished: {found.unfinished}."


def _occupation(prepared: Preparation, found: ExistingDatabase) -> Iterator[str]:
    target, name = prepared.target, prepared.database.name
    if target.data_only:
        yield from _existing_tables(prepared)
        return
    if not prepared.standing.privileges.makes:
        yield (
            f"The role {prepared.standing.user!r} may make nothing in the database {name!r}: "
            "connect as its owner, or have it grant CREATE."
        )
    if found.unfinished and not target.occupied:
        yield f"{_unfinished(name, found)} Drop it and run this again, or take another database."
    elif found.occupied and not target.occupied:
        yield f"The database {name!r} is not empty: it holds {_some(found.objects)}. --occupied allows that."
    if target.occupied:
        yield from _in_the_way(prepared, found)


def _some(objects: tuple[DatabaseObject, ...]) -> str:
    return first_of([item.label for item in objects], _SHOWN)


def _in_the_way(prepared: Preparation, found: ExistingDatabase) -> Iterator[str]:
    there = {(item.schema, listed(item.name)) for item in found.objects if item.kind == "relation"}
    entries = chosen(prepared)
    for entry in entries:
        if entry.kind in _RELATIONS and (entry.schema, entry.tag) in there:
            yield f"The {entry.label} exists already in {prepared.database.name!r}, and nothing is replaced."
    if prepared.scope.large_objects and any(item.kind == "large object" for item in found.objects):
        name = prepared.database.name
        yield f"The database {name!r} has large objects, which may have the same numbers as those to restore."


def kept(prepared: Preparation) -> tuple[TocEntry, ...]:
    """Schemas, types and functions that an occupied target has already: they stay as they are there."""
    found = prepared.standing.found
    if found is None or prepared.target.data_only:
        return ()
    there = {(item.kind, item.schema, listed(item.name)) for item in found.objects}
    entries = chosen(prepared)
    return tuple(e for e in entries if e.kind in _KEPT and _key(e) in there)


def _key(entry: TocEntry) -> tuple[str, str, str]:
    if entry.kind == "SCHEMA":
        return "schema", entry.tag, ""
    return _KEPT[entry.kind], entry.schema, entry.tag


def _existing_tables(prepared: Preparation) -> Iterator[str]:
    """For --data-only: every table must be there, with the stored columns, and empty."""
    tables = list(zip(prepared.scope.tables, prepared.scope.through, strict=True))
    if not tables:
        return
    with prepared.database.connection() as connection:
        for table, into in tables:
            columns = dict(connection.execute(_COLUMNS, (into.schema, into.name)).fetchall())
            missing = [column.name for column in table.columns if column.name not in columns]
            if missing or not _is_table(connection, into):
                lack = f"has no column {missing[0]!r} to load" if missing else "is not a table"
                yield f"The table {into.label} is missing, or {lack}."
            elif not prepared.target.occupied and _has_rows(connection, into):
                yield f"The table {into.label} is not empty. --occupied allows rows to be added."


def _is_table(connection: Connection[TupleRow], name: QualifiedName) -> bool:
    """Rows for a view or a foreign table would go elsewhere."""
    row = connection.execute(_KIND, (name.schema, name.name)).fetchone()
    return bool(row and row[0] in ("r", "p"))


def _loading(prepared: Preparation) -> Iterator[str]:
    """For --data-only: what may keep rows from being those that were captured."""
    silent = prepared.standing.privileges.silences
    if not silent:
        yield "Foreign keys are checked while data is loaded: only a superuser can load without this check."
    with prepared.database.connection() as connection:
        for table, into in zip(prepared.scope.tables, prepared.scope.through, strict=True):
            if not silent and not _value(connection, _OWNED, into):
                yield f"Triggers of {into.label} fire: the role does not own the table."
            there = dict(connection.execute(_COLUMNS, (into.schema, into.name)).fetchall())
            for column in table.columns:
                if there.get(column.name, column.type) != column.type:
                    yield (
                        f"The column {column.name!r} of {into.label} is of type {there[column.name]}, captured as "
                        f"{column.type}: values may be rounded or refused."
                    )


def _value(connection: Connection[TupleRow], query: bytes, name: QualifiedName) -> bool:
    row = connection.execute(query, (name.schema, name.name)).fetchone()
    return bool(row and row[0])


def _has_rows(connection: Connection[TupleRow], name: QualifiedName) -> bool:
    query = f"SELECT EXISTS (SELECT FROM {identifier(name.schema, name.name)})"  # noqa: S608
    row = connection.execute(query.encode()).fetchone()
    return bool(row and row[0])


def missing_roles(prepared: Preparation) -> tuple[str, ...]:
    return tuple(sorted(_named_roles(prepared) - prepared.standing.roles))


def foreign_roles(prepared: Preparation) -> tuple[str, ...]:
    """Roles that exist, but to which the role of the url can give nothing."""
    if prepared.standing.superuser or prepared.target.owner is False or prepared.target.data_only:
        return ()
    owners = {entry.owner for entry in chosen(prepared)} | _owner(prepared)
    named = {role for role in prepared.contents.database.roles if listed(role) in owners} | _owner(prepared)
    return tuple(sorted((named & prepared.standing.roles) - prepared.standing.privileges.members))


def _owner(prepared: Preparation) -> set[str]:
    create = prepared.target.create and prepared.target.owner is not False
    return {prepared.contents.database.owner} if create else set()


def _named_roles(prepared: Preparation) -> set[str]:
    """By what is to be restored."""
    roles, target = {*prepared.contents.database.roles}, prepared.target
    if (target.owner is not False and target.privileges is not False) or roles <= prepared.standing.roles:
        return roles | _owner(prepared)
    kinds = ("POLICY", *(() if target.privileges is False else ("ACL", "DEFAULT ACL")))
    naming = [entry.id for entry in chosen(prepared) if entry.kind in kinds]
    text = "\n".join(split_statements(prepared.archive.statements(naming))) if naming else ""
    owners = () if target.owner is False else {entry.owner for entry in chosen(prepared)}
    found = {role for role in roles if re.search(rf'(?<![\w"]){_as_written(role)}(?![\w"])', text)}
    return found | {role for role in roles if listed(role) in owners} | _owner(prepared)


def _as_written(role: str) -> str:
    return f"(?:{re.escape(role)}|{re.escape(identifier(role))})"


def missing_tablespaces(prepared: Preparation) -> tuple[str, ...]:
    """Tablespaces of the recovery point that do not exist, or that the role may not use."""
    usable = prepared.standing.tablespaces & prepared.standing.privileges.tablespaces
    return tuple(sorted(set(prepared.contents.database.tablespaces) - usable))


def too_new(prepared: Preparation) -> bool:
    """Does pg_restore set what the server does not know, and say so in every session?"""
    return prepared.archive.tools.major >= _TRANSACTION_TIMEOUT_SINCE > prepared.standing.major


def warnings(prepared: Preparation) -> Iterator[str]:
    """Sentences about what will be otherwise than it was captured."""
    if not prepared.target.data_only:
        yield from _cluster(prepared)
        yield from _definitions(prepared)
        if too_new(prepared) and prepared.target.jobs > 1:
            major = prepared.standing.major
            yield (
                f"There is no pg_restore of PostgreSQL {major}: a newer one makes indexes one after the other. "
                f"Install postgresql-client-{major} to have them made in parallel."
            )
    elif prepared.standing.found is not None:
        yield from _loading(prepared)
    yield from _encoding(prepared)
    found = prepared.standing.found
    if found is not None and not found.owned:
        yield "The role does not own the database, so a comment cannot mark an unfinished restore."
    if found is not None and found.unfinished and (prepared.target.occupied or prepared.target.data_only):
        yield _unfinished(prepared.database.name, found)
    if prepared.scope.entries is None:
        for item in prepared.contents.database.left_out:
            yield f"Not in the recovery point: {item.kind} {item.name} ({item.reason})."


def advice(prepared: Preparation) -> Iterator[Hint]:
    """What can be done before the restore, about what `warnings` tell of."""
    if missing_roles(prepared) and prepared.contents.has_globals:
        yield (
            "To have those roles, first run globals.sql of the recovery point on the server (",
            command("restore", prepared.point.id[:12], "globals.sql", "--to", "DIR"),
            ").",
        )


def _cluster(prepared: Preparation) -> Iterator[str]:
    roles, spaces = missing_roles(prepared), missing_tablespaces(prepared)
    if roles:
        yield (
            f"The server lacks the roles {', '.join(map(repr, roles))}: what they own will belong to "
            f"{prepared.standing.user!r}, and their grants and policies are left out."
        )
    if foreign := foreign_roles(prepared):
        yield (
            f"{prepared.standing.user!r} is not a member of the roles {', '.join(map(repr, foreign))}: what they own "
            f"will belong to {prepared.standing.user!r}. Give --no-owner if you want that."
        )
    for entry in chosen(prepared):
        extension = entry.tag.removeprefix("EXTENSION ")
        named = entry.kind == "COMMENT" and extension in prepared.standing.privileges.extensions
        if named and entry.id in prepared.beyond:
            yield f"The comment on the extension {extension} stays as it is there."
    if spaces:
        lacks = "lacks" if prepared.standing.superuser else "lacks, or does not let the role use,"
        yield f"The server {lacks} the tablespaces {', '.join(map(repr, spaces))}: everything goes to the default one."


def _definitions(prepared: Preparation) -> Iterator[str]:
    for label in prepared.scope.left_out:
        yield f"Left out, because it needs something that is not restored: {label}."
    for label in prepared.scope.empty_parents:
        yield f"The table {label} is restored without its rows, because a table inherits from it."
    for entry in kept(prepared):
        yield f"The {entry.label} is in the target already, and stays as it is there."
    if prepared.scope.entries is None:
        for name in prepared.contents.database.subscriptions:
            yield f"The subscription {name!r} is restored disabled."


def _encoding(prepared: Preparation) -> Iterator[str]:
    found, locale = prepared.standing.found, prepared.contents.database.locale
    if found is not None and found.encoding != locale.encoding:
        yield f"The database has the encoding {found.encoding}, the captured one {locale.encoding}."
