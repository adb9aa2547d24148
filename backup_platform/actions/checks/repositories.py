"""The checks of a repository's upkeep, from its results: each is a verdict with numbers."""

from __future__ import annotations

from collections.abc import Sequence

from backup_platform.actions.checks.table import NOTHING_REFUSED, READ_RECENTLY, STORED
from backup_platform.actions.forget.run import ForgetSummary
from backup_platform.actions.verify.read_cycle import ReadStatus
from backup_platform.actions.verify.run import VerifyResult
from backup_platform.domain.checks import CheckResult, Severity
from backup_platform.domain.model import Json
from backup_platform.domain.words import DAY_S, days, how_many, point_label, with_others

MOST_LISTED = 20


def repository_stored(result: VerifyResult) -> CheckResult:
    """Everything that the points of a repository need exists, and what was read was sound."""
    names = {point.id: f"{point_label(point)}: " for point in result.points}
    texts = [f"{names.get(key, '')}{text}" for key, found in result.findings.items() for text in found]
    good = f"all objects of {how_many(len(result.points), 'point')} exist; {how_many(result.packs_read, 'pack')} read"
    metadata: dict[str, Json] = {"points": len(result.points), "findings": len(texts)}
    return STORED.result(result.passed, with_others(texts) or good, {**metadata, **_listed(texts)})


def read_recently(status: ReadStatus) -> CheckResult:
    """Every byte of a repository was read within its cycle. That damage was found is an error, to be late a warning."""
    metadata: dict[str, Json] = {
        "bytes": status.size,
        "bytes_read_in_cycle": status.size_read,
        "bytes_due": status.size_due,
        "oldest_unverified_s": status.oldest_s,
        "cycle_s": status.cycle_s,
        "damaged_packs": len(status.damaged),
    }
    age = f"the oldest unread byte is {days(status.oldest_s / DAY_S)} old; the cycle is {days(status.cycle_s / DAY_S)}"
    damaged = (
        f"{how_many(len(status.damaged), 'pack')} damaged, the first is {status.damaged[0]}; "
        if status.damaged
        else ""
    )
    severity: Severity = "error" if damaged else "warn"
    passed = not damaged and not status.overdue
    return READ_RECENTLY.result(passed, damaged + age, metadata, severity=severity)


def nothing_refused(forgotten: ForgetSummary, refused: Sequence[str]) -> CheckResult:
    """Everything that the plan does not keep was forgotten and freed. `refused` says why prune did less. Objects that
    the store retains because of a lock are expected, and only counted."""
    texts = [f"{source}: {why}" for source, why in forgotten.blocked.items()]
    texts += [f"{point_label(point)}: {why}" for point, why in forgotten.refused]
    texts += refused
    metadata: dict[str, Json] = {
        "blocked_sources": len(forgotten.blocked),
        "locked_points": len(forgotten.locked),
        **_listed(texts),
    }
    good = f"{how_many(len(forgotten.forgotten), 'point')} forgotten"
    return NOTHING_REFUSED.result(not texts, with_others(texts) or good, metadata)


def _listed(texts: Sequence[str]) -> dict[str, Json]:
    return {"listed": list[Json](texts[:MOST_LISTED])} if texts else {}
