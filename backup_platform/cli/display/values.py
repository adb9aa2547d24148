"""Values of any shape, as recorded in facts and proofs, printed for people."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping

from backup_platform.domain.model import Json


def value_lines(values: Mapping[str, Json], indent: str) -> Iterator[str]:
    """A line for each value; what is inside of a value follows, indented further."""
    for name, value in values.items():
        inner = value if isinstance(value, dict | list) else None
        if not inner:
            yield f"{indent}{name}: {_scalar(value)}"
            continue
        yield f"{indent}{name}:"
        if isinstance(inner, dict):
            yield from value_lines(inner, indent + "  ")
        else:
            yield from (f"{indent}  {_scalar(item)}" for item in inner)


def _scalar(value: Json) -> str:
    if value is None or value in ("", [], {}):
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
