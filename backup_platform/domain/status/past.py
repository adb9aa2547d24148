"""Which windows of the past were judged, so that none is looked at twice. Standard library only.

A window is settled when it is over and cannot be captured late any more. Whether a settled window has a point only
changes when a point arrives or is lost. So what was judged is kept as runs of windows, and extended by what is new.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from datetime import datetime

from backup_platform.domain.model import Window
from backup_platform.domain.windows.health import MissedWindows, missed_windows
from backup_platform.domain.windows.runs import WindowRun, WindowRuns, joined, runs_of, within
from backup_platform.domain.windows.schedule import WindowSchedule


@dataclass(frozen=True, slots=True)
class JudgedPast:
    """The settled windows of `[start, end)`: all but those in `lacking` had a complete point, or were not due.

    Backups had `begun` by then. The history before `start` was too long to look at.
    """

    start: datetime
    end: datetime
    begun: datetime
    lacking: tuple[WindowRun, ...] = ()


def signature(schedule: WindowSchedule) -> str:
    """What says whether a schedule still gives the same windows, settled at the same time."""
    late = int(schedule.late_limit.total_seconds())
    return f"{schedule.cron_schedule}|{schedule.tick_cron}|{schedule.timezone}|{late}"


def settled_until(schedule: WindowSchedule, now: datetime) -> datetime:
    """Before this instant every window is over, and cannot be captured late any more."""
    last = max(now - schedule.late_limit, schedule.first.start)
    return schedule.window_of(last).start


def reaches(past: JudgedPast, schedule: WindowSchedule, begun: datetime) -> bool:
    """Whether a past says what was missed since backups had `begun`."""
    return past.begun <= max(begun, schedule.first.start)


def extended(
    past: JudgedPast | None,
    schedule: WindowSchedule,
    captured: AbstractSet[str],
    now: datetime,
    *,
    begun: datetime,
    forgotten: Callable[[], AbstractSet[str]] = frozenset,
) -> JudgedPast:
    """The past with the windows that are settled by now. Only these are looked at, unless backups had `begun` earlier
    than the past knows.

    `captured` are the keys of windows that have a complete point, `forgotten` gives those whose points were forgotten.
    """
    end, begun = settled_until(schedule, now), max(begun, schedule.first.start)
    if past is None or not reaches(past, schedule, begun):
        new = missed_windows(schedule, captured, now, begun=begun)
        start = (new.scanned_from or schedule.first).start
        past = JudgedPast(start, start, begun)
    else:
        past = _until(past, end, schedule)
        new = missed_windows(schedule, captured, now, begun=past.begun, judged=past.end)
    gone = forgotten() if new.missed else frozenset[str]()
    runs = runs_of(window for window in new.missed if window.key not in gone)
    return replace(past, end=max(end, past.end), lacking=tuple(joined([*past.lacking, *runs])))


def _until(past: JudgedPast, end: datetime, schedule: WindowSchedule) -> JudgedPast:
    """Without windows that are to come yet: the clock was ahead when they were judged."""
    if past.end <= end:
        return past
    over = [run for run in past.lacking if run.last.end <= end]
    crossing = (run for run in past.lacking if run.first.start < end < run.last.end)
    runs = [*over, *(part for run in crossing for part in _part(run, schedule, lambda w: w.end <= end))]
    return replace(past, end=max(end, past.start), lacking=tuple(runs))


def corrected(
    past: JudgedPast, schedule: WindowSchedule, arrived: Collection[datetime], lost: Collection[datetime]
) -> JudgedPast:
    """The past after points came that were not seen before, and others were lost without having been forgotten, by
    the starts of their windows."""
    runs = list(past.lacking)
    for start in arrived:
        runs = [
            part for run in runs for part in (_split(run, start, schedule) if _has(run, start) else [run])
        ]
    for start in lost:
        if max(past.start, schedule.first.start) <= start < past.end and not any(
            _has(run, start) for run in runs
        ):
            window = schedule.window_of(start)
            runs = joined(sorted([*runs, WindowRun(window, window, 1)], key=lambda run: run.first.start))
    return replace(past, lacking=tuple(runs))


def lacked_anew(past: JudgedPast, lost: Collection[datetime]) -> set[datetime]:
    """The starts of windows that the past takes for captured, of some whose points are lost."""
    judged = (start for start in lost if past.start <= start < past.end)
    return {start for start in judged if not any(_has(run, start) for run in past.lacking)}


def _has(run: WindowRun, start: datetime) -> bool:
    return run.first.start <= start <= run.last.start


def _split(run: WindowRun, start: datetime, schedule: WindowSchedule) -> list[WindowRun]:
    return _part(run, schedule, lambda window: window.start != start)


def _part(run: WindowRun, schedule: WindowSchedule, belongs: Callable[[Window], bool]) -> list[WindowRun]:
    return runs_of(window for window in within(run, schedule) if belongs(window))


def missed_by(
    past: JudgedPast, schedule: WindowSchedule, captured: AbstractSet[str], now: datetime, begun: datetime
) -> MissedWindows:
    """What lacks a point now, for who counts from `begun`; the past is that of `now`."""
    begun = max(begun, schedule.first.start)
    new = missed_windows(schedule, captured, now, begun=begun, judged=past.end)
    runs = [each for run in past.lacking for each in _since(run, schedule, begun)]
    partial = schedule.window_of(past.start) if past.start > begun else None
    return replace(new, missed=WindowRuns(runs, schedule), scanned_from=partial)


def _since(run: WindowRun, schedule: WindowSchedule, begun: datetime) -> list[WindowRun]:
    """The part of a run that was due after backups had begun."""
    if run.first.start >= begun or run.last.end <= begun:
        return [run] if run.first.start >= begun else []
    return runs_of(window for window in within(run, schedule, begun) if schedule.tick(window) >= begun)
