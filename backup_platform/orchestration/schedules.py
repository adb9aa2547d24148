"""One job and one schedule for all sources that tick together: same cron, same time zone."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import dagster as dg

from backup_platform.orchestration.runs import Runs, WindowClaims
from backup_platform.orchestration.subjects import WatchedAsset
from backup_platform.orchestration.tick_names import tick_name
from backup_platform.orchestration.translator import BackupTranslator


@dataclass(frozen=True, slots=True)
class TickGroup:
    """The sources that one schedule launches."""

    name: str
    cron: str
    timezone: str
    sources: tuple[str, ...]


def tick_groups(translator: BackupTranslator) -> list[TickGroup]:
    """The groups of a plan, in the order of their first source."""
    groups: dict[str, TickGroup] = {}
    for source in translator.app.plan.sources:
        schedule = translator.app.windows.schedule(source)
        name = tick_name(schedule.tick_cron, schedule.timezone)
        group = groups.get(name) or TickGroup(name, schedule.tick_cron, schedule.timezone, ())
        groups[name] = replace(group, sources=(*group.sources, source))
    return list(groups.values())


@dataclass(frozen=True, slots=True)
class UpkeepGroup:
    """The repositories for which one schedule launches one kind of work; `cron` is in UTC."""

    name: str
    work: str
    cron: str
    subjects: tuple[WatchedAsset, ...]


def upkeep_groups(subjects: Sequence[WatchedAsset]) -> list[UpkeepGroup]:
    """The groups of a plan's upkeep, in the order of their first repository."""
    groups: dict[str, UpkeepGroup] = {}
    for subject in subjects:
        cron = subject.cron
        name = f"{subject.work}_{tick_name(cron, 'UTC')}"
        group = groups.get(name) or UpkeepGroup(name, subject.work, cron, ())
        groups[name] = replace(group, subjects=(*group.subjects, subject))
    return list(groups.values())


def launch_upkeep(
    subjects: Sequence[WatchedAsset],
) -> Callable[[dg.ScheduleEvaluationContext], Iterator[dg.RunRequest]]:
    """The evaluation of a group's schedule: one run per repository."""

    def evaluate(context: dg.ScheduleEvaluationContext) -> Iterator[dg.RunRequest]:
        for subject in subjects:
            yield run_request(subject, None, tick=context.scheduled_execution_time.isoformat())

    return evaluate


def launch_group(
    translator: BackupTranslator, subjects: Sequence[WatchedAsset], claims: WindowClaims, name: str
) -> Callable[[dg.ScheduleEvaluationContext], Iterator[dg.RunRequest | dg.SkipReason]]:
    """The evaluation of the group's schedule `name`: one run per source, for the window that contains the tick, unless
    the sensor of missed windows was faster."""
    runs = Runs(subjects)

    def evaluate(context: dg.ScheduleEvaluationContext) -> Iterator[dg.RunRequest | dg.SkipReason]:
        tick = context.scheduled_execution_time
        asked = set(runs.active(context.instance, translator.app.clock.now()))
        asked |= runs.asked_since(context.instance, tick)
        reasons = []
        for subject in subjects:
            window = translator.app.windows.schedule(subject.source).current(tick)
            if window is None:
                reasons.append(f"the first window of {subject.source} starts after {tick.isoformat()}")
            elif (subject.id, window.key) in asked or not claims.take(name, subject.id, window.key):
                reasons.append(f"window {window.key} of {subject.source} was launched already")
            else:
                yield run_request(subject, window.key)
        if len(reasons) == len(subjects):
            yield dg.SkipReason("; ".join(reasons))

    return evaluate


def run_request(
    subject: WatchedAsset, window: str | None, *, job: str | None = None, attempt: int = 1, tick: str = ""
) -> dg.RunRequest:
    """A run of one subject, for one window if it has windows. Dagster never launches a run key twice: attempts need
    numbers, the first of a window's is 1, and what has no windows needs the `tick` that it is launched for."""
    run_key = f"{subject.key.to_user_string()}|" + (f"{window}|{attempt}" if window else tick)
    return dg.RunRequest(
        run_key=run_key,
        job_name=job,
        partition_key=window,
        asset_selection=[subject.key],
        asset_check_keys=list(subject.checks),  # else Dagster adds all, and a backup would ask for its copies
        tags=dict(subject.tags),
    )
