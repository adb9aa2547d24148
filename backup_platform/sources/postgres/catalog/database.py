"""The database as a whole: owner, locale, roles, extensions, and the order to refresh materialised views in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from graphlib import CycleError, TopologicalSorter
from typing import TYPE_CHECKING, Any

from backup_platform.sources.postgres.catalog.large_objects import (
    denied_large_objects,
    excluded_large_objects,
    large_objects,
)
from backup_platform.sources.postgres.catalog.relations import Found, RelationSelection
from backup_platform.sources.postgres.catalog.sequences import sequence_values
from backup_platform.sources.postgres.document import (
    DOCUMENT_VERSION,
    CapturedDatabase,
    Locale,
    QualifiedName,
)

if TYPE_CHECKING:
    from backup_platform.sources.postgres.connect.connections import Connection

# As JSON: the columns of the locale have other names in other versions.
_DATABASE = """
SELECT datname::text, pg_get_userbyid(datdba)::text, pg_encoding_to_char(encoding)::text, to_jsonb(d) - 'datacl'
FROM pg_database d WHERE datname = current_database()
"""
# pg_shdepend has every owner, grantee and role of a policy, except the role that the cluster was created with.
_ROLES = """
SELECT r.rolname::text FROM pg_shdepend d JOIN pg_roles r ON r.oid = d.refobjid
WHERE d.refclassid = 'pg_authid'::regclass
    AND (d.dbid = (SELECT oid FROM pg_database WHERE datname = current_database())
        OR d.classid = 'pg_database'::regclass
            AND d.objid = (SELECT oid FROM pg_database WHERE datname = current_database()))
UNION
SELECT r.rolname::text FROM pg_roles r WHERE r.oid = 10 AND (
    EXISTS (SELECT FROM pg_class c WHERE c.relowner = 10 AND c.oid >= 16384 AND c.relpersistence <> 't')
    OR EXISTS (SELECT FROM pg_proc p WHERE p.proowner = 10 AND p.oid >= 16384)
    OR EXISTS (SELECT FROM pg_type t WHERE t.typowner = 10 AND t.oid >= 16384)
    OR EXISTS (SELECT FROM pg_largeobject_metadata l WHERE l.lomowner = 10)
    OR EXISTS (SELECT FROM pg_namespace n WHERE n.nspowner = 10 AND n.oid >= 16384 AND n.nspname !~ '^pg_'))
ORDER BY 1
"""
_TABLESPACES = """
SELECT t.spcname::text FROM pg_tablespace t WHERE t.spcname NOT IN ('pg_default', 'pg_global') AND (
    EXISTS (SELECT FROM pg_class c WHERE c.reltablespace = t.oid)
    OR t.oid = (SELECT dattablespace FROM pg_database WHERE datname = current_database()))
ORDER BY 1
"""
_EXTENSIONS = "SELECT extname::text, extversion FROM pg_extension ORDER BY 1"
_SUBSCRIPTIONS = """
SELECT subname::text FROM pg_subscription
WHERE subdbid = (SELECT oid FROM pg_database WHERE datname = current_database()) ORDER BY 1
"""
# Which relation's rule reads which view. Functions hide what they read, from pg_dump too.
_READS = """
SELECT DISTINCT w.ev_class::int8, d.refobjid::int8
FROM pg_depend d
JOIN pg_rewrite w ON d.classid = 'pg_rewrite'::regclass AND d.objid = w.oid
JOIN pg_class c ON c.oid = d.refobjid AND c.relkind IN ('v', 'm')
WHERE d.refclassid = 'pg_class'::regclass AND d.refobjid <> w.ev_class AND w.ev_class >= 16384
"""


def database_document(
    connection: Connection,
    selection: RelationSelection,
    *,
    dump_version: int,
    with_large_objects: bool = True,
) -> CapturedDatabase:
    """What the snapshot shows; `dump_version` is pg_dump's."""
    absent = denied_large_objects if with_large_objects else excluded_large_objects
    row = connection.execute(_DATABASE).fetchone()
    assert row is not None
    name, owner, encoding, columns = row
    return CapturedDatabase(
        version=DOCUMENT_VERSION,
        name=name,
        owner=owner,
        server_version=connection.info.server_version,
        dump_version=dump_version,
        locale=_locale(encoding, columns),
        roles=_names(connection, _ROLES),
        tablespaces=_names(connection, _TABLESPACES),
        extensions=tuple((str(name), str(version)) for name, version in connection.execute(_EXTENSIONS)),
        sequences=tuple(sequence_values(connection, selection.sequences)),
        refresh=_refresh(connection, selection.views),
        load_through=selection.load_through(),
        subscriptions=_names(connection, _SUBSCRIPTIONS),
        large_objects=large_objects(connection) if with_large_objects else (),
        left_out=(*selection.left_out, *absent(connection)),
    )


def _locale(encoding: str, columns: Mapping[str, Any]) -> Locale:
    return Locale(
        encoding=encoding,
        collate=columns["datcollate"],
        ctype=columns["datctype"],
        provider=columns.get("datlocprovider") or "c",
        locale=columns.get("datlocale") or columns.get("daticulocale"),
        icu_rules=columns.get("daticurules"),
        collation_version=columns.get("datcollversion"),
    )


def _names(connection: Connection, query: str) -> tuple[str, ...]:
    return tuple(str(row[0]) for row in connection.execute(query.encode()))


def _refresh(connection: Connection, views: Sequence[Found]) -> tuple[QualifiedName, ...]:
    if not views:
        return ()
    graph: dict[int, set[int]] = {view.oid: set() for view in views}
    for reader, read in connection.execute(_READS):
        graph.setdefault(reader, set()).add(read)
    by_oid = {view.oid: view for view in views}
    try:
        order = list(TopologicalSorter(graph).static_order())
    except CycleError:  # recursive views over rules; none of them is materialised
        order = [view.oid for view in views]
    return tuple(QualifiedName(by_oid[oid].schema, by_oid[oid].name) for oid in order if oid in by_oid)
