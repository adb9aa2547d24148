"""The figures of all rounds, as Markdown tables and as JSON."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median

from benchmarks.measure import Cost


def seconds(value: float) -> str:
    return f"{value:.2f} s"


def megabytes(value: float) -> str:
    return f"{value / 1e6:.1f} MB"


def number(value: float) -> str:
    return f"{value:,.0f}"


TIME, PROCESSOR, MEMORY, SIZE, REQUESTS = (
    "wall time",
    "processor time",
    "peak memory",
    "size",
    "requests",
)
UNITS: dict[str, Callable[[float], str]] = {
    TIME: seconds,
    PROCESSOR: seconds,
    MEMORY: megabytes,
    SIZE: megabytes,
    REQUESTS: number,
}


@dataclass
class Figures:
    """Section → row → program → one value a round. Rows keep the order in which they were first added."""

    sections: dict[str, dict[str, dict[str, list[float]]]] = field(default_factory=dict)

    def add(self, section: str, row: str, tool: str, value: float) -> None:
        rows = self.sections.setdefault(section, {})
        rows.setdefault(row, {}).setdefault(tool, []).append(value)

    def cost(self, row: str, tool: str, cost: Cost) -> None:
        self.add(TIME, row, tool, cost.wall_s)
        self.add(PROCESSOR, row, tool, cost.cpu_s)
        self.add(MEMORY, row, tool, cost.peak)


def tables(figures: Figures, tools: Sequence[str]) -> str:
    """One table a section, one row a figure: medians, then the first program divided by each other."""
    return "\n\n".join(_table(section, figures.sections[section], tools) for section in figures.sections)


def _table(section: str, rows: Mapping[str, Mapping[str, Sequence[float]]], tools: Sequence[str]) -> str:
    first, *others = tools
    lines = [
        [section, *tools, *(f"{first} / {other}" for other in others)],
        ["---"] + ["---:"] * (len(tools) + len(others)),
    ]
    for row, values in rows.items():
        middle = {tool: median(values[tool]) for tool in tools if tool in values}
        ratios = [_ratio(middle.get(first), middle.get(other)) for other in others]
        unit = UNITS.get(section, seconds)
        lines.append([row, *(unit(middle[tool]) if tool in middle else "" for tool in tools), *ratios])
    return "\n".join(_aligned(lines))


def _ratio(mine: float | None, theirs: float | None) -> str:
    return f"{mine / theirs:.2f}" if mine is not None and theirs else ""


def _aligned(lines: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    aligned = []
    for line in lines:
        cells = [
            cell.ljust(width) if column == 0 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ]
        aligned.append(f"| {' | '.join(cells)} |")
    return aligned


def caption(facts: Mapping[str, str]) -> str:
    return "\n".join(f"- {name}: {text}" for name, text in facts.items())
