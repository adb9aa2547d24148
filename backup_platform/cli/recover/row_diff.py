"""`diff --table`: what differs in the rows of one table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from backup_platform.cli.context import CliSession
from backup_platform.cli.display.output import Output
from backup_platform.cli.recover.rows import row_limit, time_limit
from backup_platform.domain.model import Json
from backup_platform.domain.visible import visible
from backup_platform.domain.words import how_many

if TYPE_CHECKING:
    from backup_platform.actions.tables.diff import RowDifference, TableDifference

LISTED = 20
_LONGEST = 200
_MARKS = {"added": ("+", "good"), "removed": ("-", "bad"), "changed": ("M", "warn")}


def diff_rows(session: CliSession, a: str, b: str, table: str, limit: str | None, longest: str | None) -> int:
    within = time_limit(longest)
    before, after = session.app.points.find(a), session.app.points.find(b)
    first = row_limit(limit, LISTED)
    first = LISTED if first is None else first
    found = session.app.tables.diff(before.id, after.id, table, first=first, time_limit_s=within)
    session.out.document({"a": before.id, "b": after.id, **_shape(found)})
    for row in found.rows:
        mark, style = _MARKS[row.change]
        session.out.line(session.out.paint(f"{mark} {_line(found, row)}", style))
    _print_summary(session.out, found)
    return 0


def _line(found: TableDifference, row: RowDifference) -> str:
    values = row.after or row.before or {}
    if row.change != "changed":
        times = f"  ({row.count} times)" if row.count > 1 else ""
        return _values(values) + times
    before, after = row.before or {}, row.after or {}
    changes = (f"{name}: {_value(before[name])} -> {_value(after[name])}" for name in row.columns)
    return f"{_values({name: values[name] for name in found.key})}  {', '.join(changes)}"


def _values(values: Mapping[str, Json]) -> str:
    return "  ".join(f"{name}={_value(value)}" for name, value in values.items())


def _value(value: Json) -> str:
    """A text is in quotes, so that it is not taken for NULL or a number."""
    if value is None:
        return "NULL"
    text = visible(str(value))
    text = text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
    return f"'{text}'" if isinstance(value, str) else text


def _print_summary(out: Output, found: TableDifference) -> None:
    if found.equal:
        out.line("No differences.")
        return
    listed = sum(row.count for row in found.rows)
    if (more := found.added + found.removed + found.changed - listed) > 0:
        out.line(f"and {how_many(more, 'more row')}")
    counts = {"added": found.added, "removed": found.removed, "changed": found.changed}
    parts = [f"{amount:,} {word}" for word, amount in counts.items() if amount]
    if parts:
        out.line(", ".join(parts) + ("" if found.key else " (compared as whole rows: no primary key)"))
    if found.changed_columns:
        columns = (f"{name} {amount:,}" for name, amount in found.changed_columns.items())
        out.line(f"changed columns: {', '.join(columns)}")
    for words, names in (("added", found.columns_added), ("removed", found.columns_removed)):
        if names:
            out.line(f"columns {words}: {', '.join(names)}")


def _shape(found: TableDifference) -> dict[str, Json]:
    rows: list[Json] = [
        {
            "change": row.change,
            "count": row.count,
            "before": None if row.before is None else dict(row.before),
            "after": None if row.after is None else dict(row.after),
            "columns": list(row.columns),
        }
        for row in found.rows
    ]
    return {
        "table": found.table,
        "key": list(found.key),
        "added": found.added,
        "removed": found.removed,
        "changed": found.changed,
        "changed_columns": dict(found.changed_columns),
        "columns_added": list(found.columns_added),
        "columns_removed": list(found.columns_removed),
        "rows": rows,
    }
