"""The checks of a repository's upkeep, made of what it did: each a verdict with numbers."""

from __future__ import annotations

from collections.abc import Sequence

from backup_platform.actions.forget.run import ForgetSummary
from backup_platform.actions.verify.run import VerifyResult
from backup_platform.domain.checks import CheckResult
from backup_platform.domain.model import Json

MOST_LISTED = 20


def repository_stored(result: VerifyResult) -> CheckResult:
    """Everything that the points of a repository need is there, and what was read is as it was written."""
    names = {point.id: f"{point.source}@{point.window.key}: " for point in result.points}
    texts = [f"{names.get(key, '')}{text}" for key, found in result.findings.items() for text in found]
    good = f"all that {len(result.points)} points need is there; {result.packs_read} packs were read"
    metadata: dict[str, Json] = {"points": len(result.points), "findings": len(texts)}
    return CheckResult(
        "stored", result.passed, "error", _first(texts) or good, {**metadata, **_listed(texts)}
    )


def nothing_refused(forgotten: ForgetSummary, refused: Sequence[str]) -> CheckResult:
    """Forgetting and freeing went as far as the plan wants. `refused`: why prune did less than that.

    What the store keeps because it is locked was to be expected, and is counted only.
    """
    texts = [f"{source}: {why}" for source, why in forgotten.blocked.items()]
    texts += [f"{point.source}@{point.window.key}: {why}" for point, why in forgotten.refused]
    texts += refused
    metadata: dict[str, Json] = {
        "blocked_sources": len(forgotten.blocked),
        "locked_points": len(forgotten.locked),
        **_listed(texts),
    }
    good = f"{len(forgotten.forgotten)} points forgotten"
    return CheckResult("nothing_refused", not texts, "error", _first(texts) or good, metadata)


def _listed(texts: Sequence[str]) -> dict[str, Json]:
    return {"listed": list[Json](texts[:MOST_LISTED])} if texts else {}


def _first(texts: Sequence[str]) -> str:
    more = f" (and {len(texts) - 1} more)" if len(texts) > 1 else ""
    return f"{texts[0]}{more}" if texts else ""
