"""Runs that stand for verdicts that changed outside of Dagster.

Dagster 1.13 takes one evaluation of a check and window without a run. What changed after it is therefore recorded in a
run that did nothing else. `backup_alerts` reads it as any other run.
"""

from __future__ import annotations

from uuid import uuid4

import dagster as dg

from backup_platform.orchestration.subjects import WatchedAsset
from backup_platform.orchestration.view.records import DagsterRecords

REPORTED_TAG = "backup/reported"  # on these runs


class StandIns:
    """At most one run for each asset."""

    def __init__(self, records: DagsterRecords) -> None:
        self._records = records
        self._runs: dict[str, dg.DagsterRun] = {}

    def run_for(self, subject: WatchedAsset) -> str:
        """The id of the run."""
        if subject.id not in self._runs:
            self._runs[subject.id] = self._records.begin_run(_run(subject))
        return self._runs[subject.id].run_id

    def end(self) -> None:
        """The runs did what they were for."""
        for run in self._runs.values():
            self._records.end_run(run)
        self._runs.clear()


def _run(subject: WatchedAsset) -> dg.DagsterRun:
    return dg.DagsterRun(
        job_name=subject.job,
        run_id=str(uuid4()),
        status=dg.DagsterRunStatus.STARTED,
        tags={REPORTED_TAG: subject.id},
        asset_selection=frozenset(),
        asset_check_selection=frozenset(subject.checks),
    )
