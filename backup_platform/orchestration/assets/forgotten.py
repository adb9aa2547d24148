"""Windows whose recovery points were forgotten: observations, so that the UI shows that they are gone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import TYPE_CHECKING

import dagster as dg

from backup_platform.domain.visible import inert
from backup_platform.orchestration import shown
from backup_platform.orchestration.translator import BackupTranslator

if TYPE_CHECKING:
    from backup_platform.repository.records.forgotten import ForgottenPoint

MOST = 500  # in one run; Dagster writes each into its database, some 10 ms apiece
FORGOTTEN = "forgotten_point"


def gone_windows(
    translator: BackupTranslator,
    repository: str,
    instance: dg.DagsterInstance,
    forgotten: Iterable[ForgottenPoint],
) -> Iterator[dg.AssetObservation]:
    """One observation for each window that has no point left in the repository and was not reported before; of
    many, the newest."""
    kept = {(point.source, point.window.key) for point in translator.app.at(repository).points.all()}
    known = sorted(
        (each for each in forgotten if (each.source, each.window.key) not in kept),
        key=lambda each: (each.source, each.window.start),
    )
    found: list[dg.AssetObservation] = []
    for source, points in groupby(known, key=lambda each: each.source):
        key = _asset_of(translator, repository, source)
        if key is not None:
            found += _untold(instance, key, list(points))
    yield from found[-MOST:]


def _asset_of(translator: BackupTranslator, repository: str, source: str) -> dg.AssetKey | None:
    """None for a source that left the plan, or this repository."""
    plan = translator.app.plan
    if source not in plan.sources:
        return None
    if repository == next(iter(plan.repositories)):
        return translator.asset_key(source)
    return translator.copy_key(repository, source) if repository in plan.copies_of(source) else None


def _untold(
    instance: dg.DagsterInstance, key: dg.AssetKey, points: list[ForgottenPoint]
) -> Iterator[dg.AssetObservation]:
    """The windows that an interrupted run did not report yet."""
    windows = [point.window.key for point in points]
    earlier = instance.fetch_observations(
        dg.AssetRecordsFilter(asset_key=key, asset_partitions=windows), limit=10 * len(windows)
    )
    told = {
        record.asset_observation.metadata[FORGOTTEN].value
        for record in earlier.records
        if record.asset_observation and FORGOTTEN in record.asset_observation.metadata
    }
    return (forgotten_observation(key, point) for point in points if point.point not in told)


def forgotten_observation(key: dg.AssetKey, point: ForgottenPoint) -> dg.AssetObservation:
    """The observation of a window that has no point any more."""
    return dg.AssetObservation(
        asset_key=key,
        partition=point.window.key,
        description=inert(f"Forgotten: {point.reason}. This window has no recovery point any more."),
        metadata={
            FORGOTTEN: point.point,
            "window": point.window.key,
            "captured_at": dg.MetadataValue.timestamp(point.captured_at),
            "forgotten_at": dg.MetadataValue.timestamp(point.forgotten_at),
            "reason": shown.text(point.reason),
        },
    )
