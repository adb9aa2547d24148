"""What a check of a recovery point says, and which checks every source has."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from backup_platform.advice import Hint
from backup_platform.domain.model import Json, RecoveryPoint

Severity = Literal["error", "warn"]


@dataclass(frozen=True, slots=True)
class CheckResult:
    """A verdict. `ran` is False where policy says that it was not due: then it is never `passed`.
    `advice` is what to do about what it found."""

    name: str
    passed: bool
    severity: Severity
    summary: str
    metadata: Mapping[str, Json] = field(default_factory=dict)
    ran: bool = True
    advice: Hint = ""


@dataclass(frozen=True, slots=True)
class Check:
    """A check that sources have. `severity` is the worst that it finds."""

    name: str
    severity: Severity
    description: str


@dataclass(frozen=True, slots=True)
class KindCheck(Check):
    """A check that only some kinds have: it judges a point beside all readable points of its source."""

    judge: Callable[[Sequence[RecoveryPoint], RecoveryPoint], CheckResult]


STORED = Check(
    "stored",
    "error",
    "Every object that the recovery point needs is in the store, and its stored checksum holds.",
)
COMPLETE = Check(
    "complete",
    "error",
    "Nothing was skipped, unreadable or vanished; counts equal the facts of the snapshot.",
)
AUTHENTIC = Check("authentic", "error", "The manifest is authentic and continues the chain of its source.")
PLAUSIBLE = Check(
    "plausible",
    "error",
    "It holds what this source usually does and the plan expects. Warns of one that has grown much.",
)
DRILL = Check(
    "drill",
    "error",
    "Restored into a sandbox and compared with the source's facts. Skipped while no drill is due.",
)


def checks_with(own: Sequence[Check]) -> list[Check]:
    """The checks of a source in the order they are made, where `own` are those of its kind."""
    return [STORED, COMPLETE, AUTHENTIC, PLAUSIBLE, *own, DRILL]


def not_compared(name: str, metadata: Mapping[str, Json]) -> CheckResult:
    """The verdict of a check that compares a point with earlier ones, of which there is none."""
    return CheckResult(name, False, "warn", "there is no earlier point to compare with", metadata, ran=False)
