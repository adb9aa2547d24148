"""Jobs, schedules and sensors of one plan: few of each, because cost grows with each of them.

Runs have one step each: a process of its own for it would only cost time, so that jobs execute in process.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import dagster as dg

from backup_platform.orchestration import subjects
from backup_platform.orchestration.runs import WindowClaims
from backup_platform.orchestration.schedules import (
    launch_group,
    launch_upkeep,
    tick_groups,
    upkeep_groups,
)
from backup_platform.orchestration.sensors.alerts import alerts
from backup_platform.orchestration.sensors.elsewhere import elsewhere
from backup_platform.orchestration.sensors.lacking_copies import lacking_copies
from backup_platform.orchestration.sensors.missed_windows import missed_windows
from backup_platform.orchestration.subjects import WatchedAsset
from backup_platform.orchestration.translator import BackupTranslator

MISSED_INTERVAL_S = 60
COPIES_INTERVAL_S = 60
ALERTS_INTERVAL_S = 30
SYNC_INTERVAL_S = 60
MISSED, ALERTS, COPIES, SYNC = "missed_windows", "alerts", "copies", "sync"


def automation(translator: BackupTranslator, *, running: bool) -> dg.Definitions:
    """`running` is the status of schedules and sensors until a person switches them in the UI."""
    maker = _Maker(translator, running, WindowClaims(translator.app.clock))
    backups, backup_jobs, backup_schedules = maker.backups()
    copies, copy_jobs = maker.copies()
    upkeep, upkeep_jobs, upkeep_schedules = maker.upkeep()
    watch = [schedule.name for schedule in (*backup_schedules, *upkeep_schedules)]
    watch += [translator.name(name) for name in (MISSED, SYNC, *([COPIES] if copies else []))]
    sensors = [
        maker.sensor(
            MISSED,
            missed_windows(translator, backups, maker.claims, [translator.name(ALERTS)], running=running),
            MISSED_INTERVAL_S,
            "Launches due windows without a recovery point, and records windows that are over as missed.",
            jobs=backup_jobs,
        ),
        maker.sensor(
            ALERTS,
            alerts(translator, [*backups, *copies, *upkeep], watch, running=running),
            ALERTS_INTERVAL_S,
            "Sends one message for each incident: failed runs and checks, and failing schedules and sensors.",
        ),
        maker.sensor(SYNC, elsewhere(translator, [*backups, *copies]), SYNC_INTERVAL_S, SYNC_TEXT),
    ]
    if copies:
        launch = lacking_copies(translator, copies)
        sensors.append(maker.sensor(COPIES, launch, COPIES_INTERVAL_S, COPIES_TEXT, jobs=copy_jobs))
    return dg.Definitions(
        jobs=[*backup_jobs, *copy_jobs, *upkeep_jobs],
        schedules=[*backup_schedules, *upkeep_schedules],
        sensors=sensors,
    )


SYNC_TEXT = (
    "Reports what the repositories hold and Dagster does not show: points and checks of the command line, of another "
    "instance, or from before this instance was lost."
)
COPIES_TEXT = (
    "Compares the repositories, launches the copies that are missing, and alerts when copies are late."
)
_Jobs = list[Any]  # what `define_asset_job` makes has no public name


@dataclass(frozen=True)
class _Maker:
    translator: BackupTranslator
    running: bool
    claims: WindowClaims

    def backups(self) -> tuple[list[WatchedAsset], _Jobs, list[dg.ScheduleDefinition]]:
        """One job and one schedule per tick group."""
        made: list[WatchedAsset] = []
        jobs, schedules = [], []
        for group in tick_groups(self.translator):
            name = f"backup_{group.name}"
            members = subjects.backups(self.translator, group.sources, self.translator.name(name))
            when = f"whose schedule is `{group.cron}` ({group.timezone})."
            jobs.append(self._job(name, members, f"Sources {when}"))
            launch = launch_group(self.translator, members, self.claims, name)
            text = "Launches a run per source for the window that contains the tick."
            schedules.append(self._schedule(name, jobs[-1], group.cron, group.timezone, launch, text))
            made += members
        return made, jobs, schedules

    def copies(self) -> tuple[list[WatchedAsset], _Jobs]:
        """One job per tick group with copies, as a job's assets have windows alike. A sensor launches them."""
        made: list[WatchedAsset] = []
        jobs = []
        for group in tick_groups(self.translator):
            name = f"copy_{group.name}"
            members = subjects.copies(self.translator, group.sources, self.translator.name(name))
            if members:
                jobs.append(self._job(name, members, "Copies of recovery points in other repositories."))
            made += members
        return made, jobs

    def upkeep(self) -> tuple[list[WatchedAsset], _Jobs, list[dg.ScheduleDefinition]]:
        """One job for each kind of work that the plan requires, and one schedule for each time of the day or
        week. Coverage is one of them."""
        made = [*subjects.upkeep(self.translator), *subjects.coverage(self.translator)]
        jobs = {
            work: self._job(work, [each for each in made if each.work == work], text)
            for work, text in UPKEEP_JOBS.items()
            if any(each.work == work for each in made)
        }
        schedules = [
            self._schedule(
                group.name,
                jobs[group.work],
                group.cron,
                "UTC",
                launch_upkeep(group.subjects),
                LAUNCHES_COVERAGE if group.work == "coverage" else LAUNCHES_UPKEEP,
            )
            for group in upkeep_groups(made)
        ]
        return made, list(jobs.values()), schedules

    def sensor(
        self, name: str, evaluate: Callable[..., Any], interval_s: int, text: str, jobs: _Jobs | None = None
    ) -> dg.SensorDefinition:
        return dg.SensorDefinition(
            name=self.translator.name(name),
            jobs=jobs,
            evaluation_fn=evaluate,
            minimum_interval_seconds=interval_s,
            default_status=dg.DefaultSensorStatus.RUNNING if self.running else dg.DefaultSensorStatus.STOPPED,
            description=text,
        )

    def _job(self, name: str, members: Sequence[WatchedAsset], text: str) -> Any:
        """A job of the members, with the checks that their own runs evaluate."""
        assets = dg.AssetSelection.assets(*(member.key for member in members)).without_checks()
        checks = dg.AssetSelection.checks(*(check for member in members for check in member.checks))
        return dg.define_asset_job(
            self.translator.name(name),
            selection=assets | checks,
            description=text,
            executor_def=dg.in_process_executor,
        )

    def _schedule(
        self, name: str, job: Any, cron: str, timezone: str, launch: Callable[..., Any], text: str
    ) -> dg.ScheduleDefinition:
        running = dg.DefaultScheduleStatus.RUNNING if self.running else dg.DefaultScheduleStatus.STOPPED
        return dg.ScheduleDefinition(
            name=self.translator.name(f"{name}_schedule"),
            job=job,
            cron_schedule=cron,
            execution_timezone=timezone,
            execution_fn=launch,
            default_status=running,
            description=text,
        )


UPKEEP_JOBS = {
    "prune": "Forgets points that the plan does not keep, and frees their space, in one or several repositories.",
    "verify": "Reads a part of each repository again.",
    "coverage": "Looks for what is in no source.",
}
LAUNCHES_UPKEEP = "Launches a run per repository."
LAUNCHES_COVERAGE = "Launches the run that looks."
