"""What a server says of its tables: how many rows, and a hash of what is in them.

The server computes both with queries of its own, so that they do not depend on the path by which rows are read and
stored. The same queries on a restored server, of the same or a newer version, must give the same.

The hash of a table is the sum over its rows of a 64-bit hash of the whole row, so that the order of the rows does not
matter, and a lost, repeated or altered row does. A row is hashed as a whole, after its values were joined: a sum of
hashes per column would not see two rows that exchange a value. There are two algorithms, named in the recovery point:

- `record-send-1` hashes the binary form in which PostgreSQL sends the row. Values of types that are not built in
  (domains, enums, composites, extensions' types), hold oids or have no simple binary form go in as text.
- `record-hash-1`, for servers from 14 on, costs a third less: it joins hashes of the values, all 64 bits wide, and
  hashes what they join to. A value is hashed as it is where its type's hash function tells all of its values apart.
  That of eight-byte integers and times folds them to 32 bits, that of numeric ignores sign and scale, that of intervals
  takes a month for 30 days, that of floats 0 for -0: their binary form is hashed instead.

Both tell 1.0 from 1.00 and 0 from -0 as the text form does; all NaNs are one value, as they are in text. The hash
function works in machine words: servers of the other byte order give other hashes.

What they cost, in processor seconds of the server for 1 million purchases of the benchmark (460 MB with indexes,
PostgreSQL 15, cached): `counts` 0.2 s, `full` 1.5 s (2.2 s by `record-send-1`). Large values cost their detoasting.
`sampled` counts all rows and hashes those whose key has a hash divisible by 128. Without a primary key the first
fixed-width columns stand for it, and where there is none, every row is hashed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Final

from backup_platform.domain.tables import Table
from backup_platform.errors import SourceError
from backup_platform.sources.postgres.options import Facts
from backup_platform.sources.postgres.quoting import identifier

if TYPE_CHECKING:
    from backup_platform.sources.postgres.connect.connections import Connection

RECORD_SEND: Final = "record-send-1"
RECORD_HASH: Final = "record-hash-1"
_HASHES_RECORDS = 140_000  # the server that has a hash function of rows
SAMPLED_OF = 128
_CHOOSING_COLUMNS = 4
_CANCEL_S = 10.0
_AGAIN_S = 1.0

_FLOATS = {700: "float4", 701: "float8"}
_INTEGERS = {20, 21, 23}
_FIXED_WIDTH = {16, 18, *_INTEGERS, 790, 829, 774, 1082, 1083, 1114, 1184, 1186, 1266, 2950, 3220}
_VARIABLE = {17, 19, 25, 114, 650, 869, 1042, 1043, 1560, 1562, 1700}
_BINARY = _FIXED_WIDTH | _VARIABLE
_TOLD_APART = {16, 17, 21, 23, 1082, 2950}  # by their hash functions
_SENDS = {
    18: "charsend", 19: "namesend", 20: "int8send", 114: "json_send", 650: "cidr_send", 700: "float4send",
    701: "float8send", 774: "macaddr8_send", 790: "cash_send", 829: "macaddr_send", 869: "inet_send",
    1042: "bpcharsend", 1083: "time_send", 1114: "timestamp_send", 1184: "timestamptz_send", 1186: "interval_send",
    1266: "timetz_send", 1560: "bit_send", 1562: "varbit_send", 1700: "numeric_send", 3220: "pg_lsn_send",
}  # fmt: skip

# One row a column that is stored; the condition is an extension's, of its configuration table. A cast to text by a
# function may lose something (char(n) loses its blanks): the output function does not. Nor is it code of others: the
# owner of a type that is not built in (its oid is 16384 or more) may make a cast of it at any moment.
_COLUMNS = """
SELECT w.label, c.oid, a.attname, a.atttypid,
    t.typtype = 'd' OR a.atttypid >= 16384 OR EXISTS (SELECT FROM pg_catalog.pg_cast k
        WHERE k.castsource = a.atttypid AND k.casttarget = 25 AND k.castmethod = 'f') AS output,
    coalesce((SELECT e.extcondition[pg_catalog.array_position(e.extconfig, c.oid)]
        FROM pg_catalog.pg_extension e WHERE c.oid = ANY (e.extconfig) LIMIT 1), '') AS condition,
    pg_catalog.pg_table_size(c.oid) AS bytes
FROM unnest(%s::text[], %s::text[], %s::text[]) w(label, schema, name)
JOIN pg_catalog.pg_namespace n ON n.nspname::text = w.schema
JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid AND c.relname::text = w.name AND c.relkind = 'r'
LEFT JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
LEFT JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
ORDER BY w.label, a.attnum
"""


@dataclass(frozen=True, slots=True)
class TableFact:
    """`hash` is a number in decimal, "" when only rows were counted."""

    rows: int
    hash: str


@dataclass(slots=True)
class _Target:
    """A table as this server has it."""

    bytes: int
    condition: str
    columns: dict[str, tuple[int, bool]]  # name: type's oid, whether it needs the output function


def best_algorithm(connection: Connection) -> str:
    """The cheapest that this server and all newer ones can compute."""
    return RECORD_HASH if connection.info.server_version >= _HASHES_RECORDS else RECORD_SEND


def table_facts(
    connection: Connection, tables: Sequence[Table], mode: Facts, algorithm: str = RECORD_HASH
) -> dict[str, TableFact]:
    """Facts by label. The connection has the pinned settings. A table or column that this server lacks is left
    out: then there is no fact, or a different hash. Raises the driver's errors, and `SourceError` for an unknown
    algorithm."""
    return shared_table_facts([connection], tables, mode, algorithm)


def shared_table_facts(
    connections: Sequence[Connection], tables: Sequence[Table], mode: Facts, algorithm: str = RECORD_HASH
) -> dict[str, TableFact]:
    """Like `table_facts`, over several connections with the same snapshot, the largest table first."""
    if algorithm not in (RECORD_SEND, RECORD_HASH):
        raise SourceError(
            f"The recovery point's rows were hashed by {algorithm!r}, which this version does not know.",
            hint="Use the version of backup_platform that wrote the recovery point, or a newer one.",
        )
    work: SimpleQueue[tuple[str, str]] = SimpleQueue()
    for item in _queries(connections[0], tables, mode, algorithm):
        work.put(item)
    facts: dict[str, TableFact] = {}
    if len(connections) == 1:
        _work_off(connections[0], work, facts)
        return facts
    with ThreadPoolExecutor(len(connections), thread_name_prefix="facts") as executor:
        futures = [executor.submit(_work_off, each, work, facts) for each in connections]
        try:
            for future in wait(futures, return_when=FIRST_EXCEPTION).done:
                future.result()
        except BaseException:
            _cancel(connections)
            while wait(futures, timeout=_AGAIN_S).not_done:  # a query may begin just after it was cancelled
                _cancel(connections)
            raise
    return facts


def _cancel(connections: Sequence[Connection]) -> None:
    """A query over a large table may go on for hours, and its answer is not needed any more."""
    import psycopg

    for connection in connections:
        with suppress(psycopg.Error):  # those that are lost need no cancelling
            connection.cancel_safe(timeout=_CANCEL_S)


def _work_off(
    connection: Connection, work: SimpleQueue[tuple[str, str]], facts: dict[str, TableFact]
) -> None:
    while True:
        try:
            label, query = work.get_nowait()
        except Empty:
            return
        try:
            # Rolled back: the locks of a table and its indexes are released with it.
            with connection.transaction(force_rollback=True):
                if connection.info.parameter_status("server_encoding") == "SQL_ASCII":
                    # The bytes as they are: as UTF-8 the server checks them, and refuses others.
                    connection.execute("SET LOCAL client_encoding = 'SQL_ASCII'")
                row = connection.execute(query.encode()).fetchone()
        except BaseException:
            _drain(work)
            raise
        assert row is not None
        facts[label] = TableFact(row[0], row[1].decode() if isinstance(row[1], bytes) else row[1])


def _drain(work: SimpleQueue[tuple[str, str]]) -> None:
    """What remains is of no use to anybody once one table has failed."""
    try:
        while True:
            work.get_nowait()
    except Empty:
        return


def _queries(
    connection: Connection, tables: Sequence[Table], mode: Facts, algorithm: str
) -> list[tuple[str, str]]:
    utf8 = connection.info.parameter_status("server_encoding") == "UTF8"
    hashing = _Hashing(by_value=algorithm == RECORD_HASH, utf8=utf8)
    targets = _targets(connection, tables)
    present = [table for table in tables if table.label in targets]
    present.sort(key=lambda table: -targets[table.label].bytes)
    return [(table.label, _query(table, targets[table.label], mode, hashing)) for table in present]


def _targets(connection: Connection, tables: Sequence[Table]) -> dict[str, _Target]:
    names = [(table.label, table.schema, table.name) for table in tables]
    parameters = [list(column) for column in zip(*names, strict=True)] or [[], [], []]
    targets: dict[str, _Target] = {}
    for label, _, column, kind, output, condition, size in connection.execute(_COLUMNS, parameters):
        target = targets.setdefault(label, _Target(size, condition, {}))
        if column is not None:
            target.columns[column] = kind, bool(output)
    return targets


@dataclass(frozen=True, slots=True)
class _Hashing:
    """How a row is hashed. `utf8`: the server keeps texts in the encoding in which it sends them."""

    by_value: bool
    utf8: bool

    def row(self, columns: Mapping[str, tuple[int, bool]]) -> str:
        if not self.by_value:
            return _hash([_value(name, *column) for name, column in columns.items()], 0)
        values = ", ".join(self._part(name, *column) for name, column in columns.items())
        # Sums of joined hashes alone would not see two rows that exchange a value. With the hash as its seed this
        # function mixes all of its 64 bits; that of an eight-byte integer would fold them to 32.
        return f"hashint4extended(0, hash_record_extended(ROW({values}), 1))"

    def _part(self, name: str, kind: int, output: bool) -> str:
        value = _value(name, kind, output)
        if kind in _TOLD_APART:
            return value
        if kind in _SENDS:
            return f"{_SENDS[kind]}({value})"
        # Bytes and not a collation's idea of them; the same bytes whatever the encoding of the server.
        return f'({value}) COLLATE "C"' if self.utf8 else f"textsend({value})"


def _query(table: Table, target: _Target, mode: Facts, hashing: _Hashing) -> str:
    where = f" {target.condition}" if target.condition else ""
    columns = {c.name: target.columns[c.name] for c in table.columns if c.name in target.columns}
    hashes = f"sum({hashing.row(columns)})"
    total = {"counts": "''", "full": hashes, "sampled": hashes + _choice(table, target)}[mode]
    if mode != "counts":
        total = f"coalesce({total}, 0)::text"
    # ONLY: the rows of children and partitions are their own.
    return f"SELECT count(*), {total} FROM ONLY {identifier(table.schema, table.name)}{where}"  # noqa: S608


def _hash(values: Sequence[str], seed: int) -> str:
    return f"hash_array_extended(ARRAY[record_send(ROW({', '.join(values)}))], {seed})"


def _value(name: str, kind: int, output: bool) -> str:
    column = identifier(name)
    if kind in _FLOATS:
        return f"CASE WHEN {column} = 'NaN' THEN 'NaN'::{_FLOATS[kind]} ELSE {column} END"
    if kind in _BINARY:
        return column
    if output:
        return f"CASE WHEN {column} IS DISTINCT FROM NULL THEN format('%s', {column}) END"
    return f"{column}::text"


def _choice(table: Table, target: _Target) -> str:
    """The filter that both servers apply to the same rows."""
    chosen = [name for name in table.key if name in target.columns]
    if not chosen:
        fixed = [c.name for c in table.columns if target.columns.get(c.name, (0, False))[0] in _FIXED_WIDTH]
        chosen = fixed[:_CHOOSING_COLUMNS]
    if not chosen:
        return ""
    if len(chosen) == 1 and target.columns[chosen[0]][0] in _INTEGERS:
        number = f"hash_array_extended(ARRAY[{identifier(chosen[0])}], 1)"
    else:
        number = _hash([_value(name, *target.columns[name]) for name in chosen], 1)
    return f" FILTER (WHERE {number} % {SAMPLED_OF} = 0)"
