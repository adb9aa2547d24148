"""Windows that follow each other, kept by their first and last one. Standard library only."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import overload

from backup_platform.domain.model import Window
from backup_platform.domain.windows.schedule import WindowSchedule


@dataclass(frozen=True, slots=True)
class WindowRun:
    """`count` windows of a schedule without a gap, `first` and `last` among them."""

    first: Window
    last: Window
    count: int


class WindowRuns(Sequence[Window]):
    """The windows of some runs, oldest first. Only who asks for those in the middle of a run pays for them."""

    def __init__(self, runs: Iterable[WindowRun], schedule: WindowSchedule) -> None:
        self.runs = tuple(runs)
        self._schedule = schedule

    def __len__(self) -> int:
        return sum(run.count for run in self.runs)

    def __iter__(self) -> Iterator[Window]:
        for run in self.runs:
            yield from within(run, self._schedule)

    @overload
    def __getitem__(self, index: int) -> Window: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[Window]: ...

    def __getitem__(self, index: int | slice) -> Window | Sequence[Window]:
        if self.runs and index == 0:
            return self.runs[0].first
        if self.runs and index == -1:
            return self.runs[-1].last
        return tuple(self)[index]

    def ending_after(self, instant: datetime) -> WindowRuns:
        late = (run for run in self.runs if run.last.end > instant)
        return WindowRuns((part for run in late for part in self._after(run, instant)), self._schedule)

    def _after(self, run: WindowRun, instant: datetime) -> list[WindowRun]:
        whole = run.first.end > instant
        return [run] if whole else runs_of(within(run, self._schedule, instant))


def ending_after(windows: Sequence[Window], instant: datetime) -> Sequence[Window]:
    """Those that end after an instant, oldest first. Of runs only that is looked at which the instant is in."""
    if isinstance(windows, WindowRuns):
        return windows.ending_after(instant)
    return [window for window in windows if window.end > instant]


def within(run: WindowRun, schedule: WindowSchedule, after: datetime | None = None) -> Iterator[Window]:
    """The windows of a run; of those that end `after` an instant."""
    start = max(run.first.start, after) if after else run.first.start
    if run.count == 1 or start >= run.last.start:
        yield from [run.last] if start < run.last.end else []
        return
    yield from schedule.windows(start, run.last.end)


def runs_of(windows: Iterable[Window]) -> list[WindowRun]:
    """Windows of one schedule, oldest first, as runs."""
    found: list[WindowRun] = []
    for window in windows:
        if found and found[-1].last.end == window.start:
            found[-1] = WindowRun(found[-1].first, window, found[-1].count + 1)
        else:
            found.append(WindowRun(window, window, 1))
    return found


def joined(runs: Iterable[WindowRun]) -> list[WindowRun]:
    """Runs, oldest first; those that meet become one."""
    found: list[WindowRun] = []
    for run in runs:
        if found and found[-1].last.end == run.first.start:
            found[-1] = WindowRun(found[-1].first, run.last, found[-1].count + run.count)
        else:
            found.append(run)
    return found
