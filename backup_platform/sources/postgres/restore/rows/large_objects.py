"""Large objects into a server: their data, owners, grants and comments."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from backup_platform.errors import DamageError
from backup_platform.sources.postgres.contents import PointContents
from backup_platform.sources.postgres.document import LargeObject
from backup_platform.sources.postgres.quoting import identifier, literal
from backup_platform.sources.postgres.target_failures import words

if TYPE_CHECKING:
    from psycopg import Connection
    from psycopg.rows import TupleRow

_COLUMNS = ["oid", "offset", "data"]
_SLICES = 8  # of a mebibyte at most


def restore_large_objects(
    connection: Connection[TupleRow],
    contents: PointContents,
    roles: frozenset[str],
    *,
    owners: frozenset[str],
    privileges: bool,
    there: frozenset[int] = frozenset(),
) -> Iterator[tuple[str, str]]:
    """Make and fill them, all or none, but those that are `there`; yields what could not be done and what the server
    says of it.

    Owners that are not among `owners` and grantees that are not among `roles` are left out, without `privileges` all
    grants. Lets psycopg's errors pass when the connection is lost.
    """
    import psycopg

    objects = tuple(item for item in contents.database.large_objects if item.oid not in there)
    if not objects:
        return
    try:
        with connection.transaction():
            _create(connection, objects)
            for path in contents.large_object_parts():
                _fill(connection, contents, path, there)
    except (psycopg.Error, DamageError) as error:
        if connection.closed:
            raise
        yield f"all {len(objects):,} large objects", words(error)
        return
    described = [replace(item, acl=item.acl if privileges else None) for item in objects]
    yield from describe_large_objects(connection, described, roles, owners)


def describe_large_objects(
    connection: Connection[TupleRow],
    objects: Sequence[LargeObject],
    roles: frozenset[str],
    owners: frozenset[str],
) -> Iterator[tuple[str, str]]:
    """Give those that are there owners, grants and comments; yields as `restore_large_objects`."""
    with connection.transaction():
        for item in objects:
            yield from _describe(connection, item.oid, _statements(item, roles, owners))


def _describe(
    connection: Connection[TupleRow], oid: int, statements: Iterator[str]
) -> Iterator[tuple[str, str]]:
    import psycopg

    for statement in statements:
        try:
            with connection.transaction():
                connection.execute(statement.encode())
        except psycopg.Error as error:
            if connection.closed:
                raise
            yield f"owner, grants or comment of large object {oid}", words(error)


def _create(connection: Connection[TupleRow], objects: tuple[LargeObject, ...]) -> None:
    numbers = [item.oid for item in objects]
    for first in range(0, len(numbers), 10_000):
        some = numbers[first : first + 10_000]
        connection.execute(
            "SELECT pg_catalog.count(pg_catalog.lo_create(oid)) FROM unnest(%s::oid[]) oid", (some,)
        )


def _fill(
    connection: Connection[TupleRow], contents: PointContents, path: str, there: frozenset[int]
) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    with contents.open(path) as file:
        try:
            parquet = pq.ParquetFile(file, pre_buffer=False, buffer_size=1 << 20)
            if parquet.schema_arrow.names != _COLUMNS:
                raise DamageError(f"The stream {path!r} holds no large objects.", subject=path)
            for batch in parquet.iter_batches(_SLICES, use_threads=False):
                slices = zip(*(column.to_pylist() for column in batch), strict=True)
                _write(connection, [each for each in slices if each[0] not in there])
        except pa.ArrowInvalid as error:
            raise DamageError(f"The stream {path!r} cannot be read: {error}.", subject=path) from error


def _write(connection: Connection[TupleRow], slices: list[tuple[int, int, bytes]]) -> None:
    with connection.cursor() as cursor:
        cursor.executemany("SELECT pg_catalog.lo_put(%s::oid, %s, %b)", slices)


def _statements(item: LargeObject, roles: frozenset[str], owners: frozenset[str]) -> Iterator[str]:
    """As pg_dump writes them: the owner first, then grants in place of the default ones."""
    name = f"LARGE OBJECT {item.oid}"
    if item.comment is not None:
        yield f"COMMENT ON {name} IS {literal(item.comment)}"
    if item.owner in owners:
        yield f"ALTER {name} OWNER TO {identifier(item.owner)}"
    if item.acl is None:
        return
    yield f"REVOKE ALL ON {name} FROM PUBLIC"
    if item.owner in owners:
        yield f"REVOKE ALL ON {name} FROM {identifier(item.owner)}"
    for grantee, privileges, grantable in item.acl:
        if not grantee or grantee in roles:
            option = " WITH GRANT OPTION" if grantable else ""
            yield f"GRANT {privileges} ON {name} TO {identifier(grantee) if grantee else 'PUBLIC'}{option}"
