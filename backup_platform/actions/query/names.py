"""The names of tables in SQL. Names in DuckDB are not case-sensitive, and those in PostgreSQL are."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from backup_platform.domain.tables import Table
from backup_platform.errors import UsageError

# Schemas and databases of DuckDB itself
RESERVED = frozenset({"information_schema", "pg_catalog", "memory", "system", "temp"})


@dataclass(frozen=True, slots=True)
class SqlName:
    """`bare` says whether the name without its schema is unique."""

    schema: str
    name: str
    bare: bool

    @property
    def plain(self) -> str:
        """For people: quoted where SQL needs it."""
        return f"{_quote_if_needed(self.schema)}.{_quote_if_needed(self.name)}"

    @property
    def quoted(self) -> str:
        return f"{quote(self.schema)}.{quote(self.name)}"

    def is_of(self, table: Table) -> bool:
        return (self.schema, self.name) == (table.schema, table.name)


_QUOTED_TABLE = re.compile(
    r"""\b(?:from|join)\s+(?:\w+\.|"(?:[^"]|"")+"\.)?"((?:[^"]|"")+)\"""", re.IGNORECASE
)
_QUERY_NAME = re.compile(
    r'"((?:[^"]|"")+)"\s*(?:\([^)]*\))?\s*as\s+(?:not\s+)?(?:materialized\s+)?\(', re.IGNORECASE
)
_TEXT = re.compile("'(?:[^']|'')*'")


def refuse_other_case(sql: str, tables: Sequence[Table]) -> None:
    """Raises UsageError for a table that only exists with its name in another case. For the database `"T1"` and `t1`
    are different tables, but not for DuckDB."""
    named = [(name.name, table.name) for table, name in zip(tables, sql_names(tables), strict=True)]
    plain = _TEXT.sub("''", sql)
    own = {found[1] for found in _QUERY_NAME.finditer(plain)}
    for found in _QUOTED_TABLE.finditer(plain):
        name = found[1].replace('""', '"')
        if found[1] in own:
            continue
        others = [sql for sql, own in named if own == name] or [
            s for s, _ in named if s.lower() == name.lower()
        ]
        if others and name not in others:
            raise UsageError(
                f"No table has the name {quote(name)} in queries: names in quotes are case-sensitive.",
                hint=f"Here it is {', '.join(map(quote, dict.fromkeys(others)))}.",
            )


def quote(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _quote_if_needed(name: str) -> str:
    return name if re.fullmatch("[A-Za-z_][A-Za-z0-9_]*", name) else quote(name)


def unique(names: Sequence[str], taken: Iterable[str] = ()) -> list[str]:
    """The names. A number is appended to a name that differs only in case from an earlier one, or from a lower-case
    one."""
    seen, result = set(taken), list(names)
    for place in sorted(range(len(names)), key=lambda i: names[i] != names[i].lower()):
        number = 0
        while result[place].lower() in seen:
            number += 1
            result[place] = f"{names[place]}_{number}"
        seen.add(result[place].lower())
    return result


def sql_names(tables: Sequence[Table]) -> list[SqlName]:
    """The SQL name of each table. It is the table's own name, unless DuckDB would take it for another table's."""
    schemas = list(dict.fromkeys(table.schema for table in tables))
    renamed = dict(zip(schemas, unique(schemas, RESERVED), strict=True))
    pairs: dict[Table, tuple[str, str]] = {}
    for schema in schemas:
        of_schema = [table for table in tables if table.schema == schema]
        for table, name in zip(of_schema, unique([table.name for table in of_schema]), strict=True):
            pairs[table] = renamed[schema], name
    amounts = Counter(name.lower() for _, name in pairs.values())
    return [SqlName(*pairs[table], bare=amounts[pairs[table][1].lower()] == 1) for table in tables]
