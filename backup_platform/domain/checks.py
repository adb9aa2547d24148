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
    """The result of a check. `ran` is False if the check was not due by policy: then `passed` is False, too.
    `advice` says what to do about a failure."""

    name: str
    passed: bool
    severity: Severity
    summary: str
    metadata: Mapping[str, Json] = field(default_factory=dict)
    ran: bool = True
    advice: Hint = ""


@dataclass(frozen=True, slots=True)
class Check:
    """A check that sources have. `severity` is the highest one that its results have."""

    name: str
    severity: Severity
    description: str


@dataclass(frozen=True, slots=True)
class KindCheck(Check):
    """A check of some kinds only. `judge` gets all readable points of the source, and the point to judge."""

    judge: Callable[[Sequence[RecoveryPoint], RecoveryPoint], CheckResult]


STORED = Check(
    "stored",
    "error",
    "Every object that the recovery point needs is in the store, and has the right checksum.",
)
COMPLETE = Check(
    "complete",
    "error",
    "Nothing was skipped, unreadable or vanished, and the counts equal the facts of the snapshot.",
)
AUTHENTIC = Check("authentic", "error", "The manifest is authentic, and continues the chain of its source.")
PLAUSIBLE = Check(
    "plausible",
    "error",
    "The point holds what its source usually holds and what the plan expects. Warns if the source has grown much.",
)
DRILL = Check(
    "drill",
    "error",
    "The point was restored into a sandbox and compared with the source's facts. Skipped while no drill is due.",
)


def checks_with(own: Sequence[Check]) -> list[Check]:
    """The checks of a source in the order in which they run. `own` are those of its kind."""
    return [STORED, COMPLETE, AUTHENTIC, PLAUSIBLE, *own, DRILL]


def not_compared(name: str, metadata: Mapping[str, Json]) -> CheckResult:
    """The result of a check that compares with earlier points, if there are none."""
    return CheckResult(name, False, "warn", "there is no earlier point to compare with", metadata, ran=False)
