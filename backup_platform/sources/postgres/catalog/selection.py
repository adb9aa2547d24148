"""Which relations a plan includes. Patterns name tables; what they leave out is listed in the recovery point."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property


@dataclass(frozen=True)
class Patterns:
    """`schema.table`, `schema.*` or `table`; `*` stands for any characters and `?` for one, in the case given.

    A pattern with a dot is compared with `schema.table`, one without with the table's name in any schema. Without
    `include` everything is included; `exclude` wins.
    """

    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()

    def reason_against(self, names: Sequence[tuple[str, str]]) -> str:
        """Why a relation is left out, "" when it is not. `names` are its own (schema, name), and those of the
        partitioned tables that it is a part of: their patterns are its patterns."""
        for pattern, compiled in self._exclude:
            if any(_matches(compiled, *name) for name in names):
                return f"excluded by {pattern!r}"
        if self.include and not any(_matches(c, *name) for _, c in self._include for name in names):
            return "not included by the plan"
        return ""

    @cached_property
    def _include(self) -> list[tuple[str, _CompiledPatterns]]:
        return [(pattern, _compile(pattern)) for pattern in self.include]

    @cached_property
    def _exclude(self) -> list[tuple[str, _CompiledPatterns]]:
        return [(pattern, _compile(pattern)) for pattern in self.exclude]


@dataclass(frozen=True, slots=True)
class _CompiledPatterns:
    expression: re.Pattern[str]
    qualified: bool


def _compile(pattern: str) -> _CompiledPatterns:
    parts = ({"*": ".*", "?": "."}.get(char) or re.escape(char) for char in pattern)
    return _CompiledPatterns(re.compile("".join(parts), re.DOTALL), "." in pattern)


def _matches(compiled: _CompiledPatterns, schema: str, name: str) -> bool:
    return compiled.expression.fullmatch(f"{schema}.{name}" if compiled.qualified else name) is not None
