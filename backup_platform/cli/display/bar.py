"""The live progress bar of a terminal. Imports rich: only for work that takes long enough to be shown."""

from __future__ import annotations

from typing import TextIO

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn
from rich.table import Column
from rich.text import Text

from backup_platform.cli.display import formats
from backup_platform.cli.display.progress import ProgressCounts, ProgressView
from backup_platform.cli.display.stderr_guard import bare
from backup_platform.domain import words
from backup_platform.domain.visible import visible

_FIELDS = ("done", "items", "rate", "left")


class BarDisplay:
    """`backup shop ━━━━━━ 12.3/45.0 GB 1,234/5,000 files 150.2 MB/s 1:20`; gone when the work is done."""

    def __init__(self, title: str, stream: TextIO) -> None:
        self._title = visible(title)
        self._console = Console(file=bare(stream), highlight=False)
        self._progress = Progress(
            TextColumn("{task.description}", table_column=Column(no_wrap=True), markup=False),
            BarColumn(bar_width=None, table_column=Column(ratio=1, min_width=6)),
            *(_text(field) for field in _FIELDS),
            console=self._console,
            auto_refresh=False,
            transient=True,
            expand=True,
        )
        self._task = self._progress.add_task(self._title, total=None, done="", items="", rate="", left="")
        self._progress.start()

    def draw(self, now: float, view: ProgressView, notes: list[str]) -> None:
        for note in notes:
            self._console.print(Text(f"{self._title}: {visible(note)}"))
        amounts = view.amounts
        done, total = _bar(amounts)
        self._progress.update(
            self._task,
            completed=done,
            total=total,
            done=_of(words.size(amounts.size), words.size(amounts.expected_size), amounts.expected_size),
            items=amounts.counted("/"),
            description=f"{self._title}: {visible(amounts.doing)}" if amounts.doing else self._title,
            rate=f"{words.size(view.bytes_per_s)}/s" if amounts.size else "",
            left="" if view.left_s is None else formats.clock(view.left_s),
            refresh=True,
        )

    def close(self) -> None:
        self._progress.stop()


def _text(field: str) -> TextColumn:
    column = Column(no_wrap=True, justify="right")
    return TextColumn(f"{{task.fields[{field}]}}", markup=False, table_column=column)


def _bar(amounts: ProgressCounts) -> tuple[float, float | None]:
    """Completed and total of the bar, in bytes where they are known, else in items; never overflows."""
    if amounts.expected_size:
        return min(amounts.size, amounts.expected_size), amounts.expected_size
    if amounts.expected_items:
        return min(amounts.items, amounts.expected_items), amounts.expected_items
    return 0, None


def _of(done: str, expected: str, known: int) -> str:
    if not known:
        return done
    value, _, unit = done.partition(" ")
    return f"{value}/{expected}" if expected.endswith(f" {unit}") else f"{done}/{expected}"
