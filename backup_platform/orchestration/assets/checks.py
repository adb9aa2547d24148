"""The asset checks of a source: what Dagster gets before and after they run.

A check that fails with severity ERROR is blocking: the run turns red, its exit code is not 0, and nothing downstream
uses the recovery point. Warnings leave the run green. A check that did not run (a drill that is not due in this window)
gets no evaluation: Dagster then shows it as skipped, neither passed nor failed.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, TypeAlias

import dagster as dg

from backup_platform.actions.checks.table import STORED
from backup_platform.domain.trust.latest import in_time
from backup_platform.domain.visible import inert
from backup_platform.orchestration.metadata.points import check_metadata, plain_metadata

if TYPE_CHECKING:
    from backup_platform.domain.checks import Check, CheckResult
    from backup_platform.domain.model import RecoveryPoint
    from backup_platform.orchestration.failures import Written
    from backup_platform.services.protocols import PointService

CheckContext: TypeAlias = dg.AssetExecutionContext | dg.AssetCheckExecutionContext
NEWEST = "the newest recovery point, because this run has no partition"
NOT_JUDGED = "not_judged"
HINT = "hint"  # in the metadata: what to do about what the check found


def check_spec(
    check: Check,
    asset: dg.AssetKey,
    partitions: dg.PartitionsDefinition[str] | None,
    remedy: str = "",
    after: Sequence[dg.AssetKey] = (),
) -> dg.AssetCheckSpec:
    """The spec of one check; `partitions` is that of the asset, or None for a check without partitions. `remedy` says
    what to do when it is red. In a run that makes other assets, too, it comes `after` these."""
    with warnings.catch_warnings():
        # `partitions_def` is a preview in 1.13, and pyproject.toml keeps Dagster below 1.14.
        warnings.simplefilter("ignore", dg.PreviewWarning)
        return dg.AssetCheckSpec(
            check.name,
            asset=asset,
            description=f"{check.description}\n\nIf it is red: {remedy}" if remedy else check.description,
            blocking=check.severity == "error" and check.blocking,
            partitions_def=partitions,
            additional_deps=after,
        )


def point_to_check(context: CheckContext, points: PointService, source: str) -> RecoveryPoint:
    """The point of the run's window. If the UI launches checks alone, there is no window: then the last stored point,
    complete or not. Raises NotFoundError."""
    if context.has_partition_key:
        return points.find(f"{source}@{context.partition_key}")
    counting = [point for point in points.all(source) if in_time(point)]
    newest = max(counting, key=lambda point: point.sequence, default=None)
    return newest or points.find(f"{source}@latest")


def evaluation(
    context: CheckContext,
    result: CheckResult,
    asset: dg.AssetKey,
    point: RecoveryPoint,
    written: Written,
) -> dg.AssetCheckResult | dg.AssetCheckEvaluation:
    """What a check that ran found, with its advice as `written`.

    Raises `ValueError` for one that did not: it has no verdict. Of a run without a partition it is recorded for the
    point's own window.
    """
    if not result.ran:
        raise ValueError(f"check {result.name} did not run: {result.summary}")
    chosen = "" if context.has_partition_key else NEWEST
    measured = {**result.metadata, **({HINT: written(result.advice, "")} if result.advice else {})}
    found = dg.AssetCheckResult(
        asset_key=asset,
        check_name=result.name,
        passed=result.passed,
        severity=_severity(result),
        description=inert(result.summary),
        metadata=check_metadata(measured, window=point.window.key, point=point.id, chosen=chosen),
    )
    return _of_window(context, found, asset, point.window.key) if chosen else found


def _of_window(
    context: CheckContext, found: dg.AssetCheckResult, asset: dg.AssetKey, window: str
) -> dg.AssetCheckEvaluation:
    """Dagster would look for the materialisation of the run's partition, and fail where a check has a node of its
    own, and would record the result for no partition."""
    key = dg.AssetCheckKey(asset, found.check_name or "")
    spec = context.op_execution_context.assets_def.get_spec_for_check_key(key)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", dg.PreviewWarning)
        partitioned = spec.partitions_def is not None
    return dg.AssetCheckEvaluation(
        asset_key=asset,
        check_name=key.name,
        passed=found.passed,
        metadata=found.metadata,
        severity=found.severity,
        description=found.description,
        blocking=spec.blocking,
        partition=window if partitioned else None,
    )


def not_judged(context: CheckContext, error: str, asset: dg.AssetKey) -> Iterator[dg.AssetCheckEvaluation]:
    """The evaluations for a window whose capture failed. Otherwise Dagster would show every check as failed, also
    `authentic`. The first one fails and says why. The others warn that they were not evaluated."""
    names = {key.name for key in context.selected_asset_check_keys if key.asset_key == asset}
    for name in sorted(names, key=lambda name: name != STORED.name):
        first = name == STORED.name
        text = inert(f"The capture failed: {error}") if first else "Not judged: the capture failed."
        found = dg.AssetCheckResult(
            asset_key=asset,
            check_name=name,
            passed=False,
            severity=dg.AssetCheckSeverity.ERROR if first else dg.AssetCheckSeverity.WARN,
            description=text,
            metadata={NOT_JUDGED: True, "window": context.partition_key},
        )
        yield _of_window(context, found, asset, context.partition_key)


def upkeep_evaluation(
    result: CheckResult, asset: dg.AssetKey, written: Written | None = None
) -> dg.AssetCheckResult:
    """What a check of a repository or of the plan found, with its advice as `written`."""
    hint = {HINT: written(result.advice, "")} if written and result.advice else {}
    return dg.AssetCheckResult(
        asset_key=asset,
        check_name=result.name,
        passed=result.passed,
        severity=_severity(result),
        description=inert(result.summary),
        metadata=plain_metadata({**result.metadata, **hint}),
    )


def _severity(result: CheckResult) -> dg.AssetCheckSeverity:
    return dg.AssetCheckSeverity.WARN if result.severity == "warn" else dg.AssetCheckSeverity.ERROR
