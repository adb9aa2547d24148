"""What the catalogue of the server says of the relations to read."""

from __future__ import annotations

from dataclasses import dataclass

from backup_platform.domain.tables import label_of


@dataclass(frozen=True, slots=True)
class RelationColumn:
    """`type` is what `format_type(type_oid, type_mod)` says, as in `numeric(10,2)` or `integer[]`."""

    name: str
    type: str
    type_oid: int
    type_mod: int
    not_null: bool


@dataclass(frozen=True, slots=True)
class Relation:
    """One relation whose rows are stored.

    `columns` are the stored ones in the order of their attnum: neither dropped nor generated. `key` names the columns
    of the primary key, () without one. `pages` and `rows_estimate` are pg_class.relpages and reltuples (-1: never
    analysed), `bytes` is pg_table_size. `correlation` is pg_stats' of the first key column, None where there is
    none. `condition` is the SQL filter, without WHERE, that an extension gives for its configuration table; "" for
    all rows. `only` reads a parent of inheritance without its children. `raw`: texts are bytes of no known encoding.
    """

    oid: int
    schema: str
    name: str
    columns: tuple[RelationColumn, ...]
    key: tuple[str, ...]
    pages: int
    rows_estimate: float
    bytes: int
    correlation: float | None
    condition: str = ""
    only: bool = False
    raw: bool = False

    @property
    def label(self) -> str:
        """For people, as in errors: `schema.name`."""
        return label_of(self.schema, self.name)
