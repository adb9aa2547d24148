"""The result of one comparison of a drill."""

from __future__ import annotations

from dataclasses import dataclass, field

from backup_platform.domain.model import Json


@dataclass(frozen=True, slots=True)
class Findings:
    """`compared` is what was looked at; `differences` are sentences."""

    differences: list[str]
    compared: dict[str, Json] = field(default_factory=dict)
