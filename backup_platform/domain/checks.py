"""What a check of a recovery point says, and which checks there are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from backup_platform.domain.model import Json

Severity = Literal["error", "warn"]


@dataclass(frozen=True, slots=True)
class CheckResult:
    """A verdict. `ran` is False where policy says that it was not due: then it is never `passed`."""

    name: str
    passed: bool
    severity: Severity
    summary: str
    metadata: Mapping[str, Json] = field(default_factory=dict)
    ran: bool = True


def check_names(kind: str) -> list[str]:
    """The checks of a kind of source, in the order they are made."""
    schema = [] if kind == "files" else ["schema_unchanged"]
    return ["stored", "complete", "authentic", "plausible", *schema, "drill"]
