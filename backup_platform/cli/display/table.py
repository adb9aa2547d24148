"""Plain aligned tables. Not rich's: importing it costs a third of the time that a listing may take."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from backup_platform.cli.display.output import Output
from backup_platform.domain.visible import visible

_GAP = "  "
_UNLIMITED = 1 << 30


class Cell(NamedTuple):
    """`short` replaces `text` where the terminal is too narrow."""

    text: str
    style: str = ""
    short: str = ""

    def shown(self) -> Cell:
        """As it takes its place: `Output` replaces what does not print, and widths are measured before."""
        return Cell(visible(self.text), self.style, visible(self.short))


@dataclass(frozen=True, slots=True)
class TableColumn:
    """`drop` orders which columns a narrow terminal loses: highest first, never those with 0."""

    title: str
    right: bool = False
    drop: int = 0


def width_of(text: str) -> int:
    """The columns that a text takes on a terminal."""
    if text.isascii():
        return len(text)
    import unicodedata

    return sum(
        0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text
    )


def print_table(
    out: Output,
    columns: Sequence[TableColumn],
    rows: Sequence[Sequence[Cell]],
    below: Sequence[Sequence[str]] = (),
) -> None:
    """Print a heading and the rows, fitted to the terminal; in full where output is not a terminal. The lines `below`
    each row are printed as they are."""
    columns = [replace(column, title=visible(column.title)) for column in columns]
    shown = [[cell.shown() for cell in row] for row in rows]
    available = shutil.get_terminal_size().columns if out.terminal else _UNLIMITED
    kept, shown = _fit(columns, shown, available)
    widths = [_width(column, [row[i] for row in shown]) for i, column in enumerate(kept)]
    heading = [Cell(column.title, "bold") for column in kept]
    lines = [[], *below] if below else [[] for _ in range(len(shown) + 1)]
    for row, more in zip([heading, *shown], lines, strict=True):
        cells = zip(row, kept, widths, strict=True)
        out.line(_GAP.join(_cell(out, cell, column, width) for cell, column, width in cells).rstrip())
        for line in more:
            out.line(line)


def _fit(
    columns: list[TableColumn], rows: list[list[Cell]], available: int
) -> tuple[list[TableColumn], list[list[Cell]]]:
    """Shorten cells, then drop columns, until the table fits or nothing more can go."""
    if _total(columns, rows) > available:
        rows = [[Cell(cell.short or cell.text, cell.style) for cell in row] for row in rows]
    while _total(columns, rows) > available and any(column.drop for column in columns):
        gone = max(range(len(columns)), key=lambda i: columns[i].drop)
        columns = columns[:gone] + columns[gone + 1 :]
        rows = [row[:gone] + row[gone + 1 :] for row in rows]
    return columns, rows


def _total(columns: Sequence[TableColumn], rows: Sequence[Sequence[Cell]]) -> int:
    widths = (_width(column, [row[i] for row in rows]) for i, column in enumerate(columns))
    return sum(widths) + len(_GAP) * (len(columns) - 1)


def _width(column: TableColumn, cells: Sequence[Cell]) -> int:
    return max([width_of(column.title), *(width_of(cell.text) for cell in cells)])


def _cell(out: Output, cell: Cell, column: TableColumn, width: int) -> str:
    padding = " " * (width - width_of(cell.text))
    painted = out.paint(cell.text, cell.style)
    return padding + painted if column.right else painted + padding
