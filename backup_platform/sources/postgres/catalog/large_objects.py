"""Large objects: their owners, and their data as a Parquet stream in slices."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import TYPE_CHECKING

from backup_platform.sources.postgres.document import LargeObject, LeftOut

if TYPE_CHECKING:
    import pyarrow as pa

    from backup_platform.sources.postgres.connect.connections import Connection

SLICE = 1 << 20
ALL_LARGE_OBJECTS = "pg_largeobject"  # what they are called where things are listed by name
_GROUP = 16 << 20  # bytes of a row group, and about what is in memory
_AT_ONCE = 8  # slices of one fetch

# Of pg_largeobject_metadata m: whether this role may read it.
_READABLE = """(pg_has_role(m.lomowner, 'USAGE') OR EXISTS (SELECT FROM aclexplode(m.lomacl) x
    WHERE x.privilege_type = 'SELECT' AND (x.grantee = 0 OR pg_has_role(x.grantee, 'USAGE'))))"""
_OWNED = f"""
SELECT m.oid::int8, pg_get_userbyid(m.lomowner)::text, obj_description(m.oid, 'pg_largeobject'),
    CASE WHEN m.lomacl IS NOT NULL THEN ARRAY(
        SELECT json_build_array(CASE x.grantee WHEN 0 THEN '' ELSE pg_get_userbyid(x.grantee)::text END,
            string_agg(x.privilege_type, ', ' ORDER BY x.privilege_type), x.is_grantable)
        FROM aclexplode(m.lomacl) x GROUP BY x.grantee, x.is_grantable ORDER BY x.grantee, x.is_grantable) END
FROM pg_largeobject_metadata m WHERE {_READABLE} ORDER BY m.oid
"""  # noqa: S608
_DENIED = f"""
SELECT count(*), min(m.oid::int8), (SELECT count(*) FROM pg_largeobject_metadata) FROM pg_largeobject_metadata m
WHERE NOT {_READABLE}
"""  # noqa: S608
# Each object in slices, as far as slices are full. What the recursion keeps of a slice is its length and its hash, not
# its data; OFFSET 0 keeps the planner from reading a slice twice.
_HASHED = """
    SELECT {oid} AS oid, {at} AS at, length(x.data) AS length,
        hash_array_extended(ARRAY[record_send(ROW({oid}, {at}, x.data))], 0) AS hash
    FROM {slices}, LATERAL (SELECT lo_get({oid}, {at}, {most}) AS data OFFSET 0) x
"""
_ALL = f"(SELECT m.oid FROM pg_largeobject_metadata m WHERE {_READABLE}) m"  # noqa: S608
_HASH = f"""
WITH RECURSIVE slices AS (
    {_HASHED.format(oid="m.oid", at="0::int8", slices=_ALL, most=SLICE)}
    UNION ALL
    {_HASHED.format(oid="s.oid", at=f"(s.at + {SLICE})", slices="slices s", most=SLICE)} WHERE s.length = {SLICE}
)
SELECT count(*) FILTER (WHERE at = 0), coalesce(sum(hash), 0)::text FROM slices
"""  # noqa: S608
_FIRST = f"""
SELECT m.oid::int8, lo_get(m.oid, 0, {SLICE}) FROM pg_largeobject_metadata m WHERE {_READABLE} ORDER BY m.oid
"""  # noqa: S608
_Row = tuple[int, int, bytes]


def large_objects(connection: Connection) -> tuple[LargeObject, ...]:
    """The large objects that this role may read, by oid."""
    return tuple(
        LargeObject(oid, owner, None if acl is None else tuple(map(tuple, acl)), comment)
        for oid, owner, comment, acl in connection.execute(_OWNED.encode())
    )


def denied_large_objects(connection: Connection) -> tuple[LeftOut, ...]:
    """The large objects that this role may not read, as one line."""
    row = connection.execute(_DENIED.encode()).fetchone()
    if row is None or not row[0]:
        return ()
    reason = f"this role may not read {row[0]:,} of {row[2]:,}, the first is {row[1]}: they are not stored"
    return (LeftOut("large objects", ALL_LARGE_OBJECTS, reason),)


def excluded_large_objects(connection: Connection) -> tuple[LeftOut, ...]:
    """All of them, as one line."""
    row = connection.execute("SELECT count(*) FROM pg_largeobject_metadata").fetchone()
    if row is None or not row[0]:
        return ()
    reason = f"large_objects: false in the plan leaves {row[0]:,} out"
    return (LeftOut("large objects", ALL_LARGE_OBJECTS, reason),)


def large_object_facts(connection: Connection) -> tuple[int, str]:
    """How many there are that this role may read, and the server's own hash of all their data."""
    row = connection.execute(_HASH.encode()).fetchone()
    assert row is not None
    return row[0], row[1]


def large_object_blocks(connection: Connection) -> Iterator[bytes]:
    """A Parquet file of columns oid, offset and data, in this order, as blocks. Memory does not grow with the size of
    an object or their number. The connection is in the snapshot."""
    import pyarrow.parquet as pq

    sink = _Blocks()
    with pq.ParquetWriter(sink, _schema(), compression="zstd", use_dictionary=False) as writer:
        for rows in _groups(_rows(connection)):
            writer.write_batch(_batch(rows))
            yield from sink.taken()
    yield from sink.taken()


class _Blocks:
    """A file that keeps what was written until it is taken."""

    closed = False

    def __init__(self) -> None:
        self._blocks: list[bytes] = []

    def write(self, data: memoryview) -> int:
        block = bytes(data)
        self._blocks.append(block)
        return len(block)

    def flush(self) -> None:
        """Nothing is held back."""

    def taken(self) -> Iterator[bytes]:
        blocks, self._blocks = self._blocks, []
        yield from blocks


def _rows(connection: Connection) -> Iterator[_Row]:
    with connection.cursor("large_objects", binary=True) as cursor:
        cursor.itersize = _AT_ONCE
        for oid, data in cursor.execute(_FIRST.encode()):
            offset = 0
            while data:
                yield oid, offset, data
                offset += len(data)
                data = _slice(connection, oid, offset) if len(data) == SLICE else b""


def _slice(connection: Connection, oid: int, offset: int) -> bytes:
    query = "SELECT lo_get(%s::oid, %s, %s)"
    row = connection.execute(query, [oid, offset, SLICE], binary=True).fetchone()
    data: bytes = row[0] if row else b""
    return data


def _groups(rows: Iterator[_Row]) -> Iterator[list[_Row]]:
    group: list[_Row] = []
    size = 0
    for row in rows:
        group.append(row)
        size += len(row[2]) + 64
        if size >= _GROUP:
            yield group
            group, size = [], 0
    if group:
        yield group


def _schema() -> pa.Schema:
    import pyarrow as pa

    number = pa.int64()
    return pa.schema(
        [
            pa.field("oid", number, nullable=False),
            pa.field("offset", number, nullable=False),
            pa.field("data", pa.binary(), nullable=False),
        ]
    )


def _batch(rows: Sequence[_Row]) -> pa.RecordBatch:
    """From buffers: pyarrow's conversion of Python objects imports pandas, which takes seconds."""
    import pyarrow as pa

    oids, offsets, data = zip(*rows, strict=True)
    ends = array("i", accumulate(map(len, data), initial=0))
    columns = [
        *(
            pa.Array.from_buffers(pa.int64(), len(rows), [None, pa.py_buffer(array("q", c))])
            for c in (oids, offsets)
        ),
        pa.Array.from_buffers(
            pa.binary(), len(rows), [None, pa.py_buffer(ends), pa.py_buffer(b"".join(data))]
        ),
    ]
    return pa.RecordBatch.from_arrays(columns, schema=_schema())
