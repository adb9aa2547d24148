"""One job and one schedule for all sources that tick together: same cron, same time zone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import dagster as dg

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
        schedule = translator.app.schedule(source)
        name = tick_name(schedule.tick_cron, schedule.timezone)
        group = groups.get(name) or TickGroup(name, schedule.tick_cron, schedule.timezone, ())
        groups[name] = replace(group, sources=(*group.sources, source))
    return list(groups.values())


def launch_group(
    translator: BackupTranslator, group: TickGroup
) -> Callable[[dg.ScheduleEvaluationContext], Iterator[dg.RunRequest | dg.SkipReason]]:
    """The evaluation of a group's schedule: one run per source, for the window that contains the tick."""

    def evaluate(context: dg.ScheduleEvaluationContext) -> Iterator[dg.RunRequest | dg.SkipReason]:
        tick = context.scheduled_execution_time
        windows = {source: translator.app.schedule(source).current(tick) for source in group.sources}
        for source, window in windows.items():
            if window:
                yield run_request(translator, source, window.key)
        if not any(windows.values()):
            yield dg.SkipReason(f"the first windows of {', '.join(windows)} start after {tick.isoformat()}")

    return evaluate


def run_request(
    translator: BackupTranslator, source: str, window: str, *, job: str | None = None, attempt: int = 0
) -> dg.RunRequest:
    """A run of one source for one window. Dagster never launches a run key twice: attempts need numbers."""
    key = translator.asset_key(source)
    run_key = f"{key.to_user_string()}|{window}" + (f"|{attempt}" if attempt else "")
    return dg.RunRequest(
        run_key=run_key,
        job_name=job,
        partition_key=window,
        asset_selection=[key],
        tags=translator.run_tags(source),
    )
