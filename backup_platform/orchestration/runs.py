"""What Dagster knows of the runs of sources, however they were launched."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta

import dagster as dg

from backup_platform.orchestration.translator import PARTITION_TAG, SOURCE_TAG, BackupTranslator

FIRST_PAUSE = timedelta(minutes=5)
LONGEST_PAUSE = timedelta(hours=3)

_ACTIVE = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]


class SourceRuns:
    """Finds the sources of a run by its asset selection, or by its job when it runs all of it."""

    def __init__(self, translator: BackupTranslator, job_of: Mapping[str, str]) -> None:
        self._keys = {translator.asset_key(source): source for source in job_of}
        self._jobs: dict[str, list[str]] = {}
        for source, job in job_of.items():
            self._jobs.setdefault(job, []).append(source)

    def captured(self, run: dg.DagsterRun) -> list[str]:
        """The sources that a run backs up; none for a run of something else, or of checks alone."""
        if run.asset_selection is None:
            return [] if run.asset_check_selection else self._jobs.get(run.job_name, [])
        return [self._keys[key] for key in run.asset_selection if key in self._keys]

    def concerns(self, run: dg.DagsterRun) -> bool:
        """Whether a run backs up a source or may have run checks of one."""
        checks = {check.asset_key for check in run.asset_check_selection or ()}
        alone = run.asset_selection is not None and not run.asset_selection
        return bool(self.captured(run)) or alone or not checks.isdisjoint(self._keys)

    def source_of(self, key: dg.AssetKey) -> str | None:
        """The source that an asset is the backup of."""
        return self._keys.get(key)

    def active(self, instance: dg.DagsterInstance) -> set[tuple[str, str]]:
        """(source, window) of every backup that is queued or running."""
        runs = instance.get_runs(filters=dg.RunsFilter(statuses=_ACTIVE))
        return {(source, run.tags.get(PARTITION_TAG, "")) for run in runs for source in self.captured(run)}

    def attempts(self, instance: dg.DagsterInstance, source: str, window: str) -> list[dg.RunRecord]:
        """Every run of a source for a window, the newest first."""
        tags = {SOURCE_TAG: source, PARTITION_TAG: window}
        records = instance.get_run_records(filters=dg.RunsFilter(tags=tags))
        return [record for record in records if source in self.captured(record.dagster_run)]


def why_wait(attempts: Iterable[dg.RunRecord], now: datetime) -> str:
    """Why a window with these attempts, newest first, is not to be launched now; "" when it is.

    The pause doubles with each attempt. What a person cancelled stays cancelled: Dagster calls a run
    cancelled only when its end was asked for, and failed when it was interrupted.
    """
    records = list(attempts)
    if not records:
        return ""
    if records[0].dagster_run.status == dg.DagsterRunStatus.CANCELED:
        return "its last run was cancelled"
    pause = min(FIRST_PAUSE * 2 ** min(len(records) - 1, 10), LONGEST_PAUSE)
    ended = records[0].end_time or records[0].create_timestamp.timestamp()
    wait = ended + pause.total_seconds() - now.timestamp()
    return f"{len(records)} attempts; next try in {wait:.0f} s" if wait > 0 else ""
