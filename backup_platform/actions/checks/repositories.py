"""The checks of a repository's upkeep, made of what it did: each a verdict with numbers."""

from __future__ import annotations

from collections.abc import Sequence

from backup_platform.actions.forget.run import ForgetSummary
from backup_platform.actions.verify.run import VerifyResult
from backup_platform.domain.checks import CheckResult
from backup_platform.domain.model import Json
from backup_platform.domain.words import how_many, point_label, with_others

MOST_LISTED = 20


def repository_stored(result: VerifyResult) -> CheckResult:
    """Everything that the points of a repository need is there, and what was read is as it was written."""
    names = {point.id: f"{point_label(point)}: " for point in result.points}
    texts = [f"{names.get(key, '')}{text}" for key, found in result.findings.items() for text in found]
    good = f"all that {how_many(len(result.points), 'point')} need is there; {how_many(result.packs_read, 'pack')} read"
    metadata: dict[str, Json] = {"points": len(result.points), "findings": len(texts)}
    return CheckResult(
        "stored", result.passed, "error", with_others(texts) or good, {**metadata, **_listed(texts)}
    )


def nothing_refused(forgotten: ForgetSummary, refused: Sequence[str]) -> CheckResult:
    """Forgetting and freeing went as far as the plan wants. `refused`: why prune did less than that.

    What the store keeps because it is locked was to be expected, and is counted only.
    """
    texts = [f"{source}: {why}" for source, why in forgotten.blocked.items()]
    texts += [f"{point_label(point)}: {why}" for point, why in forgotten.refused]
    texts += refused
    metadata: dict[str, Json] = {
        "blocked_sources": len(forgotten.blocked),
        "locked_points": len(forgotten.locked),
        **_listed(texts),
    }
    good = f"{how_many(len(forgotten.forgotten), 'point')} forgotten"
    return CheckResult("nothing_refused", not texts, "error", with_others(texts) or good, metadata)


def _listed(texts: Sequence[str]) -> dict[str, Json]:
    return {"listed": list[Json](texts[:MOST_LISTED])} if texts else {}
