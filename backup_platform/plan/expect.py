"""The part of a plan that says what a source must hold, and how much it may lose before a person has to look."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    Field,
    PlainSerializer,
    WithJsonSchema,
    model_validator,
)

from backup_platform.kinds import registry
from backup_platform.kinds.config import STRICT
from backup_platform.kinds.kind import AnyKind
from backup_platform.plan.values import Count, Pattern, parse_pattern

_SIZE = re.compile(r"(\d+(?:\.\d+)?) ?([kMGT]?)B")
_SCALE = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}


def parse_size(value: object) -> int:
    """`1.5GB`, or a number of bytes; `kB`, `MB`, `GB` and `TB` are powers of ten."""
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    if isinstance(value, str) and (found := _SIZE.fullmatch(value)):
        return round(float(found[1]) * _SCALE[found[2]])
    raise ValueError(f'"{value}" is not a size; write one like "500MB" or "1GB"')


def _inside(value: str) -> str:
    """A path in the source: that of an entry, which nothing else than its name leads to."""
    parts = value.strip("/").split("/")
    if value.startswith("/") or not value.strip() or any(part in ("", ".", "..") for part in parts):
        raise ValueError(
            f'"{value}" is not a path inside the source; write one like ".mounted" or "data/users.db"'
        )
    return value


def _allow_empty(value: object) -> object:
    if isinstance(value, bool):
        return value
    if isinstance(value, list) and value and all(isinstance(each, str) for each in value):
        return [parse_pattern(each) for each in value]
    raise ValueError("says which may be empty: true, or a list of tables like [staging.*, jobs]")


Size = Annotated[
    int,
    BeforeValidator(parse_size),
    PlainSerializer(lambda size: f"{size}B"),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "pattern": f"^{_SIZE.pattern}$"},
                {"type": "integer", "minimum": 0},
            ],
            "examples": ["1GB"],
        }
    ),
]
AllowEmpty = Annotated[
    bool | list[str],
    BeforeValidator(_allow_empty),
    WithJsonSchema({"anyOf": [{"type": "boolean"}, {"type": "array", "items": {"type": "string"}}]}),
]


class ExpectConfig(BaseModel):
    """What must be there: at least so many `files` and `bytes`, these `paths`; of a database these `tables`, and at
    least so many `rows` in tables."""

    model_config = STRICT
    files: Count = 0
    bytes: Size = 0
    paths: list[Annotated[str, AfterValidator(_inside)]] = []
    tables: list[Pattern] = []
    rows: dict[Pattern, Annotated[int, Field(strict=True, ge=1)]] = {}

    @model_validator(mode="after")
    def _expects_something(self) -> Self:
        if self.model_fields_set and not any(getattr(self, name) for name in self.model_fields_set):
            raise ValueError("expects nothing: give at least one of " + ", ".join(type(self).model_fields))
        return self


# What a kind must be able to do for a key to mean something.
_NEEDED = {"files": "tree", "paths": "tree", "tables": "rows", "rows": "rows"}


def expect_conflicts(source: Mapping[str, object], kind: AnyKind) -> Iterator[tuple[str, str]]:
    """What does not fit the kind of a source, as (key, message)."""
    expect = source.get("expect")
    wanted = expect.model_dump(exclude_unset=True) if isinstance(expect, ExpectConfig) else expect
    for key in wanted if isinstance(wanted, Mapping) else ():
        needed = _NEEDED.get(key)
        if needed and not getattr(kind, needed):
            yield "expect", f"`expect`: `{key}` belongs to {_with(needed)}, not with `{kind.name}`"
    if isinstance(source.get("allow_empty"), list) and not kind.rows:
        yield (
            "allow_empty",
            f"a list of tables belongs to {_with('rows')}; with `{kind.name}` write `allow_empty: true`",
        )


def _with(ability: str) -> str:
    kinds = [f"`{kind.name}`" for kind in registry.every().values() if getattr(kind, ability)]
    return f"sources with {' or '.join(kinds)}"
