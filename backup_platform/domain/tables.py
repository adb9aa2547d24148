"""What a recovery point of a database says of its tables: where each is stored, and how each column is.

It is the stream `catalogue.json` of the recovery point, whatever the engine. Whoever queries, exports or compares
tables needs this and the Parquet streams, and no server.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum

from backup_platform.domain.model import Json

CATALOGUE_PATH = b"catalogue.json"
CATALOGUE_VERSION = 1


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
    the inventory; joined in order they are the table's rows. All parts have the same columns.
    """

    schema: str
    name: str
    columns: tuple[Column, ...]
    key: tuple[str, ...]
    rows: int
    parts: tuple[str, ...]

    @property
    def label(self) -> str:
        """For people, and the key of facts."""
        return label_of(self.schema, self.name)


@dataclass(frozen=True, slots=True)
class Catalogue:
    """The tables of one recovery point, sorted by schema and name."""

    engine: str
    tables: tuple[Table, ...]

    def find(self, name: str) -> Iterator[Table]:
        """Tables that `name` means: `schema.name`, or a bare name in any schema."""
        return (table for table in self.tables if name in (table.label, table.name))

    def to_json(self) -> dict[str, Json]:
        tables: list[Json] = [_plain(table) for table in self.tables]
        return {"version": CATALOGUE_VERSION, "engine": self.engine, "tables": tables}

    @classmethod
    def from_json(cls, document: Mapping[str, Json]) -> Catalogue:
        """Raises ValueError for what is no catalogue of this version."""
        if document.get("version") != CATALOGUE_VERSION:
            raise ValueError(f"catalogue version {document.get('version')!r} is not known")
        try:
            return cls(str(document["engine"]), tuple(map(_table, _list(document["tables"]))))
        except (KeyError, TypeError) as error:
            raise ValueError(f"not a catalogue: {error}") from error


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
