"""Runs that take longer than usual: one that hangs keeps the later windows of its source waiting, and says nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import dagster as dg

from backup_platform.domain.incidents.trouble import Trouble
from backup_platform.domain.words import how_many, span
from backup_platform.orchestration.runs import Runs
from backup_platform.orchestration.sensors.outbox import Desk
from backup_platform.orchestration.subjects import WatchedAsset
from backup_platform.orchestration.translator import MAX_RUNTIME_TAG, PARTITION_TAG

if TYPE_CHECKING:
    from backup_platform.app import App
    from backup_platform.plan.alerting import AlertingConfig

SHORTEST = timedelta(minutes=15)  # nobody is woken for a run that has just begun
TIMES_USUAL = 3
COMPARED = 10  # earlier runs
KIND = "long run"
STARTED = [dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING]


def tell_long_runs(
    instance: dg.DagsterInstance, desk: Desk, runs: Runs, subjects: Sequence[WatchedAsset], app: App
) -> None:
    """One incident for each subject with a run that takes longer than its earlier ones did."""
    now = app.clock.now()
    oldest = _at_work(instance, runs, now)
    for subject in subjects:
        record = oldest.get(subject.id)
        problem = _problem(instance, runs, subject, record, app) if record else None
        since = _begun(record) if record else None
        desk.observe(subject.id, KIND, problem, now, ("the long run has ended", ""), since=since)


def _at_work(instance: dg.DagsterInstance, runs: Runs, now: datetime) -> Mapping[str, dg.RunRecord]:
    """The oldest run of each subject that has been at work for long enough to be looked at."""
    records = instance.get_run_records(filters=dg.RunsFilter(statuses=STARTED))
    long = [record for record in records if now - _begun(record) >= SHORTEST]
    ordered = sorted(long, key=_begun, reverse=True)
    return {each.id: record for record in ordered for each in runs.materialized(record.dagster_run)}


def _problem(
    instance: dg.DagsterInstance, runs: Runs, subject: WatchedAsset, record: dg.RunRecord, app: App
) -> Trouble | None:
    earlier = _durations(instance, runs, subject)
    run, lasted = record.dagster_run, app.clock.now() - _begun(record)
    longest = timedelta(seconds=float(subject.tags[MAX_RUNTIME_TAG]))
    limit = max(TIMES_USUAL * max(earlier), SHORTEST) if earlier else longest / 2
    if lasted < limit:
        return None
    usual = f"The last {how_many(len(earlier), 'run')} took up to {span(max(earlier))}. " if earlier else ""
    return Trouble(
        subject.name,
        f"{subject.work} has been at work for longer than usual",
        f"{usual}Later runs may have to wait for it. It may work until `max_runtime` ({span(longest)}). Look at its "
        "log in the Dagster UI. If it hangs, terminate it there, and launch its window again.",
        where_of(run, app.plan.alerting),
    )


def where_of(run: dg.DagsterRun, alerting: AlertingConfig) -> str:
    """Which window and run, and where to look at it."""
    window, link = run.tags.get(PARTITION_TAG), alerting.run_link(run.run_id)
    return (f"Window {window}, run {run.run_id}." if window else f"Run {run.run_id}.") + (link and f" {link}")


def _durations(instance: dg.DagsterInstance, runs: Runs, subject: WatchedAsset) -> list[timedelta]:
    """How long the last runs took that worked."""
    filters = dg.RunsFilter(tags=dict(subject.mark), statuses=[dg.DagsterRunStatus.SUCCESS])
    records = instance.get_run_records(filters=filters, limit=COMPARED)
    return [
        timedelta(seconds=record.end_time - record.start_time)
        for record in records
        if record.start_time and record.end_time and subject in runs.materialized(record.dagster_run)
    ]


def _begun(record: dg.RunRecord) -> datetime:
    return datetime.fromtimestamp(record.start_time or record.create_timestamp.timestamp(), UTC)
