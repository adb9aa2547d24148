"""Windows that failed and are over: they are shown as missed, not as failed.

Dagster shows a partition and its checks as failed while its newest run failed. A window that is over cannot be run
again, so such windows would hide what is broken now. Therefore a new run is created and cancelled: then the window
is missing, and its checks have no result.
"""

from __future__ import annotations

from collections.abc import Sequence

import dagster as dg
from dagster._core.storage.partition_status_cache import AssetPartitionStatus

from backup_platform.domain.model import Window
from backup_platform.orchestration.subjects import WatchedAsset
from backup_platform.orchestration.translator import MISSED_TAG, PARTITION_TAG, BackupTranslator

MOST = 20  # in one evaluation; each takes some 50 ms


def settle_failed(
    context: dg.SensorEvaluationContext,
    translator: BackupTranslator,
    subject: WatchedAsset,
    missed: Sequence[Window],
) -> int:
    """The newest of the windows that Dagster shows as failed; how many there were."""
    failed = _failed(context.instance, translator, subject, [window.key for window in missed])[-MOST:]
    for window in failed:
        _take_the_place(context, translator, subject, window)
    if failed:
        # What was failed once stays so in this cache until it is materialised.
        context.instance.wipe_asset_cached_status([subject.key])
    return len(failed)


def _failed(
    instance: dg.DagsterInstance, translator: BackupTranslator, subject: WatchedAsset, windows: list[str]
) -> list[str]:
    if not windows:
        return []
    partitions = translator.partitions(subject.source)
    states = instance.get_status_by_partition(subject.key, windows, partitions) or {}
    return [window for window in windows if states.get(window) == AssetPartitionStatus.FAILED]


def _take_the_place(
    context: dg.SensorEvaluationContext, translator: BackupTranslator, subject: WatchedAsset, window: str
) -> None:
    checks = frozenset(subject.checks) if translator.checks_have_windows(subject.source) else frozenset()
    repository = context.repository_def
    assert repository is not None
    job = repository.get_job(subject.job)
    run = context.instance.create_run_for_job(
        job.get_subset(asset_selection={subject.key}, asset_check_selection=set(checks)),
        tags={PARTITION_TAG: window, MISSED_TAG: window},
        asset_selection=frozenset({subject.key}),
    )
    context.instance.report_run_canceled(
        run, f"Window {window} is over and was missed. This run stands for it, and did nothing."
    )
