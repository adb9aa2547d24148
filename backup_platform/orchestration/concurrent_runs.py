"""One run at a time: whether another run already does the work of this run.

This needs no setting of the instance. `tag_concurrency_limits` in dagster.yaml keep runs in the queue instead, which is
better, but setting them is optional.
"""

from __future__ import annotations

import time
from datetime import timedelta

import dagster as dg

from backup_platform.orchestration.runs import Runs

_AT_WORK = [dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING]


def run_before(instance: dg.DagsterInstance, own: str, runs: Runs, longest: timedelta) -> str | None:
    """The id of an earlier run of the same asset that is still at work, if there is one. A run that started longer
    ago than the maximum is dead, and does not count."""
    records = instance.get_run_records(filters=dg.RunsFilter(statuses=_AT_WORK))
    same = [record for record in records if runs.materialized(record.dagster_run)]
    mine = next((record.storage_id for record in same if record.dagster_run.run_id == own), None)
    since = time.time() - longest.total_seconds()
    earlier = [r for r in same if _started(r) > since and (mine is None or r.storage_id < mine)]
    first = min(earlier, key=lambda record: record.storage_id, default=None)
    return first.dagster_run.run_id if first else None


def _started(record: dg.RunRecord) -> float:
    return record.start_time or record.create_timestamp.timestamp()
