"""What a check is, and what it says. `actions.checks.table` says which checks there are."""

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
    """A check. `severity` is the highest one that its results have. `blocking`: nothing builds on what fails it with
    an error. `remedy` says what to do about a failure."""

    name: str
    severity: Severity
    description: str
    blocking: bool = field(default=True, kw_only=True)
    remedy: Hint = field(default="", kw_only=True)

    def result(
        self,
        passed: bool,
        summary: str,
        metadata: Mapping[str, Json] | None = None,
        *,
        severity: Severity | None = None,
        ran: bool = True,
        advice: Hint = "",
    ) -> CheckResult:
        """A result of this check; `severity` where it is less than the highest."""
        return CheckResult(
            self.name, passed, severity or self.severity, summary, metadata or {}, ran=ran, advice=advice
        )


@dataclass(frozen=True, slots=True)
class KindCheck(Check):
    """A check of some kinds only. `judge` gets all readable points of the source, and the point to judge."""

    judge: Callable[[Sequence[RecoveryPoint], RecoveryPoint], CheckResult]


def not_compared(name: str, metadata: Mapping[str, Json]) -> CheckResult:
    """The result of a check that compares with earlier points, if there are none."""
    return CheckResult(name, False, "warn", "there is no earlier point to compare with", metadata, ran=False)
