"""The check of what is in no source."""

from __future__ import annotations

from backup_platform.actions.checks.table import EVERYTHING_IN_A_SOURCE
from backup_platform.advice import command
from backup_platform.domain.checks import CheckResult
from backup_platform.domain.coverage import Coverage, CoverageGap
from backup_platform.domain.model import Json
from backup_platform.domain.words import first_of, how_many

_NAMED = 3


def everything_in_a_source(found: Coverage) -> CheckResult:
    """A warning where only exceptions are to be taken out of the plan."""
    shown = found.gaps or found.findings
    summary = first_of([each.message for each in shown], _NAMED, "; ")
    good = f"everything in {how_many(len(found.places), 'place')} is in a source or left out on purpose"
    return EVERYTHING_IN_A_SOURCE.result(
        not found.findings,
        summary or good,
        _numbers(found),
        severity="error" if found.gaps else "warn",
        advice=(command("coverage"), " shows the lines of the plan that end it.") if shown else "",
    )


def _numbers(found: Coverage) -> dict[str, Json]:
    return {
        "unprotected": sum(each.gap is CoverageGap.UNPROTECTED for each in found.findings),
        "needless_exceptions": sum(each.gap is CoverageGap.NEEDLESS for each in found.findings),
        "places_not_looked_at": sum(each.gap is CoverageGap.NOT_LOOKED for each in found.findings),
    }
