"""Jobs, schedules and sensors of one plan."""

from __future__ import annotations

import dagster as dg

from backup_platform.orchestration.alerts import alerts
from backup_platform.orchestration.missed import missed_windows
from backup_platform.orchestration.schedules import launch_group, tick_groups
from backup_platform.orchestration.translator import BackupTranslator

MISSED_INTERVAL_S = 60
ALERTS_INTERVAL_S = 30


def automation(translator: BackupTranslator, *, running: bool) -> dg.Definitions:
    """One job and one schedule per tick group, and two sensors for all sources: cost grows with each of them.

    `running` is their status until a person switches them in the UI. Runs have one step each: a process of
    its own for it would only cost time, so that jobs execute in process.
    """
    groups = tick_groups(translator)
    job_of = {source: translator.name(f"backup_{group.name}") for group in groups for source in group.sources}
    jobs = [
        dg.define_asset_job(
            translator.name(f"backup_{group.name}"),
            selection=[translator.asset_key(source) for source in group.sources],
            description=f"Sources whose schedule is `{group.cron}` ({group.timezone}).",
            executor_def=dg.in_process_executor,
        )
        for group in groups
    ]
    schedules = [
        dg.ScheduleDefinition(
            name=translator.name(f"backup_{group.name}_schedule"),
            job=job,
            cron_schedule=group.cron,
            execution_timezone=group.timezone,
            execution_fn=launch_group(translator, group),
            default_status=dg.DefaultScheduleStatus.RUNNING if running else dg.DefaultScheduleStatus.STOPPED,
            description="Launches a run per source for the window that contains the tick.",
        )
        for group, job in zip(groups, jobs, strict=True)
    ]
    status = dg.DefaultSensorStatus.RUNNING if running else dg.DefaultSensorStatus.STOPPED
    sensors = [
        dg.SensorDefinition(
            name=translator.name("missed_windows"),
            jobs=jobs,
            evaluation_fn=missed_windows(translator, job_of),
            minimum_interval_seconds=MISSED_INTERVAL_S,
            default_status=status,
            description="Launches what is due and has no recovery point; records as missed what is over.",
        ),
        dg.SensorDefinition(
            name=translator.name("alerts"),
            evaluation_fn=alerts(translator, job_of),
            minimum_interval_seconds=ALERTS_INTERVAL_S,
            default_status=status,
            description="Sends one message per incident: failed runs and failed checks.",
        ),
    ]
    return dg.Definitions(jobs=jobs, schedules=schedules, sensors=sensors)
