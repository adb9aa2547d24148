"""The tables of a database's recovery point: where each table is stored, and how each column is stored.

It is the stream `catalogue.json` of the recovery point, for every engine. With it and the Parquet streams, tables
can be queried, exported and compared without a server.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum

from backup_platform.domain.bounded_json import Block, joined, loads, require_bounded
from backup_platform.domain.limits import MAX_TABLES_DOCUMENT, MAX_TABLES_VALUES
from backup_platform.domain.model import Json

CATALOGUE_PATH = b"catalogue.json"
CATALOGUE_VERSION = 1


def counted(facts: Mapping[str, Json]) -> tuple[int, int] | None:
    """How many tables and rows a database reported. None if the source has no tables or does not count them."""
    tables, rows = facts.get("tables"), facts.get("rows")
    return (tables, rows) if isinstance(tables, int) and isinstance(rows, int) else None


def label_of(schema: str, name: str) -> str:
    """`schema.name`, for people and as a key. A name that holds a dot or a quote is quoted as in SQL, so that two
    tables never have one label."""
    return f"{_quoted(schema)}.{_quoted(name)}"


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"' if "." in name or '"' in name else name


class Storage(StrEnum):
    """How a column's values are stored."""

    NATIVE = "native"  # as an Arrow type that holds every value of it exactly
    TEXT = "text"  # as the engine's own text form, which the engine reads back exactly
    BYTES = "bytes"  # as the bytes of that text form, which are no text in UTF-8


@dataclass(frozen=True, slots=True)
class Column:
    """`type` is what the engine calls it, as in `numeric(10,2)` or `integer[]`."""

    name: str
    type: str
    storage: Storage
    nullable: bool = True


@dataclass(frozen=True, slots=True)
class Table:
    """One stored table. `columns` are the stored ones in order: what the engine generates is not stored.

    `key` names the columns of its primary key, () without one. `parts` are the paths of its Parquet streams in
    the inventory; joined in order they are the table's rows. All parts have the same columns; those of a partitioned
    table, whose rows are in so many `partitions`, may have them in another order, or store them otherwise.
    """

    schema: str
    name: str
    columns: tuple[Column, ...]
    key: tuple[str, ...]
    rows: int
    parts: tuple[str, ...]
    partitions: int | None = None

    @property
    def label(self) -> str:
        """For people, and the key of facts."""
        return label_of(self.schema, self.name)


@dataclass(frozen=True, slots=True)
class Partitioned:
    """A table without rows of its own: its partitions, and theirs, have the rows. `leaves` are the labels of the stored
    ones, and `missing` of those that are not stored. A column is stored as text if it is text in one of them."""

    schema: str
    name: str
    columns: tuple[Column, ...]
    key: tuple[str, ...]
    leaves: tuple[str, ...]
    missing: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        return label_of(self.schema, self.name)


@dataclass(frozen=True, slots=True)
class Catalogue:
    """The tables of one recovery point, sorted by schema and name. `partitioned` is empty in older points."""

    engine: str
    tables: tuple[Table, ...]
    partitioned: tuple[Partitioned, ...] = ()

    @property
    def readable(self) -> tuple[Table, ...]:
        """All tables that can be read by a name: the stored ones, and the partitioned ones without missing
        partitions."""
        stored = {table.label: table for table in self.tables} if self.partitioned else {}
        whole = [_whole(each, stored) for each in self.partitioned if not each.missing]
        return tuple(sorted([*self.tables, *whole], key=lambda table: (table.schema, table.name)))

    def leaves(self, label: str) -> list[Table]:
        """The stored partitions of a partitioned table."""
        named = {name for each in self.partitioned if each.label == label for name in each.leaves}
        return [table for table in self.tables if table.label in named]

    def find(self, name: str) -> Iterator[Table]:
        """Tables that `name` means: `schema.name`, or a bare name in any schema."""
        return (table for table in self.readable if name in (table.label, table.name))

    def to_json(self) -> dict[str, Json]:
        tables: list[Json] = [_plain(table) for table in self.tables]
        partitioned: list[Json] = [_plain_partitioned(table) for table in self.partitioned]
        return {
            "version": CATALOGUE_VERSION,
            "engine": self.engine,
            "tables": tables,
            "partitioned": partitioned,
        }

    @classmethod
    def read(cls, blocks: Iterable[Block]) -> Catalogue:
        """A catalogue from its stream. Raises ValueError, also if it is larger than the limit."""
        document = loads(bounded_document(blocks))
        if not isinstance(document, dict):
            raise ValueError("it is not a catalogue")  # noqa: TRY004
        return cls.from_json(document)

    @classmethod
    def from_json(cls, document: Mapping[str, Json]) -> Catalogue:
        """A catalogue from its JSON. Raises ValueError for anything that is not a catalogue of this version."""
        if document.get("version") != CATALOGUE_VERSION:
            raise ValueError(f"catalogue version {document.get('version')!r} is not known")
        try:
            return cls(
                str(document["engine"]),
                tuple(map(_table, _list(document["tables"]))),
                tuple(map(_partitioned, _list(document.get("partitioned", [])))),
            )
        except (KeyError, TypeError) as error:
            raise ValueError(f"not a catalogue: {error}") from error


def bounded_document(blocks: Iterable[Block]) -> bytes:
    """A document that describes tables, from its stream. Raises ValueError if it is larger than the limit."""
    text = joined(blocks, MAX_TABLES_DOCUMENT)
    require_bounded(text, MAX_TABLES_DOCUMENT, MAX_TABLES_VALUES)
    return text


def _whole(table: Partitioned, stored: Mapping[str, Table]) -> Table:
    leaves = [stored[label] for label in table.leaves]
    return Table(
        schema=table.schema,
        name=table.name,
        columns=table.columns,
        key=table.key,
        rows=sum(leaf.rows for leaf in leaves),
        parts=tuple(part for leaf in leaves for part in leaf.parts),
        partitions=len(leaves),
    )


def _plain(table: Table) -> dict[str, Json]:
    columns: list[Json] = [asdict(column) for column in table.columns]
    return {
        "schema": table.schema,
        "name": table.name,
        "columns": columns,
        "key": list(table.key),
        "rows": table.rows,
        "parts": list(table.parts),
    }


def _table(value: Json) -> Table:
    document = _mapping(value)
    rows = document["rows"]
    if not isinstance(rows, int):
        raise TypeError("rows is not a number")
    return Table(
        schema=str(document["schema"]),
        name=str(document["name"]),
        columns=tuple(map(_column, _list(document["columns"]))),
        key=tuple(str(name) for name in _list(document["key"])),
        rows=rows,
        parts=tuple(str(path) for path in _list(document["parts"])),
    )


def _plain_partitioned(table: Partitioned) -> dict[str, Json]:
    columns: list[Json] = [asdict(column) for column in table.columns]
    return {
        "schema": table.schema,
        "name": table.name,
        "columns": columns,
        "key": list(table.key),
        "leaves": list(table.leaves),
        "missing": list(table.missing),
    }


def _partitioned(value: Json) -> Partitioned:
    document = _mapping(value)
    return Partitioned(
        schema=str(document["schema"]),
        name=str(document["name"]),
        columns=tuple(map(_column, _list(document["columns"]))),
        key=tuple(str(name) for name in _list(document["key"])),
        leaves=tuple(str(label) for label in _list(document["leaves"])),
        missing=tuple(str(label) for label in _list(document["missing"])),
    )


def _column(value: Json) -> Column:
    document = _mapping(value)
    return Column(
        name=str(document["name"]),
        type=str(document["type"]),
        storage=Storage(str(document["storage"])),
        nullable=bool(document["nullable"]),
    )


def _list(value: Json) -> list[Json]:
    if not isinstance(value, list):
        raise TypeError("a list was expected")
    return value


def _mapping(value: Json) -> dict[str, Json]:
    if not isinstance(value, dict):
        raise TypeError("an object was expected")
    return value
