"""Compare with restic and borg on one file tree: time, size, memory. See benchmarks/README.md.

    make bench ARGS="--restic PATH"

Every program does each step on the same data, one after the other, in an order that moves by one each round.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks import report, tools, workload
from benchmarks.measure import BenchmarkError, Command, Cost, in_scratch, machine, measure, own_peak
from benchmarks.tools import Borg, Encrypted, Ours, Restic, Tool

STARTS = 5
SETTLE_S = 2.0  # so that a change is older than the clock tick of the file system when it is backed up


@dataclass
class Bench:
    """All rounds over one scratch directory."""

    tools: Sequence[Tool]
    original: Path
    scratch: Path
    big_size: int
    figures: report.Figures = field(default_factory=report.Figures)

    @property
    def tree(self) -> Path:
        return self.scratch / "tree"

    @property
    def big(self) -> Path:
        return self.scratch / "big"

    def prepare(self) -> workload.Census:
        workload.copy_tree(self.original, self.tree)
        workload.read_all(self.tree)
        return workload.census(self.tree)

    def round(self, number: int) -> None:
        turn = number % len(self.tools)
        order = [*self.tools[turn:], *self.tools[:turn]]
        for tool in order:
            tool.renew()
        self.first_and_unchanged(order)
        self.restores(order, number)
        self.starts(order)
        self.changed(order, number)
        self.scattered(order, number)

    def first_and_unchanged(self, order: Sequence[Tool]) -> None:
        for tool in order:
            self.timed("first backup", tool, tool.backup(self.tree))
            self.sized("repository", tool, tool.size())
        for tool in order:
            self.timed("unchanged", tool, tool.backup(self.tree))

    def restores(self, order: Sequence[Tool], seed: int) -> None:
        """All of the tree, then its file in the middle, each checked for what it brought back."""
        expected = workload.census(self.tree)
        names = workload.regular_files(self.tree)
        for tool in order:
            target = self.emptied("restored")
            self.timed("full restore", tool, tool.restore(self.tree, target))
            if (found := workload.census(tool.restored(self.tree, target))) != expected:
                raise BenchmarkError(f"{tool.name} restored {found} instead of {expected}")
        one = names[len(names) // 2 + seed]
        for tool in order:
            target = self.emptied("restored")
            self.timed("one file's restore", tool, tool.restore(self.tree, target, one))
            restored = tool.restored(self.tree, target) / one
            if restored.read_bytes() != (self.tree / one).read_bytes():
                raise BenchmarkError(f"{tool.name} did not restore {one} as it was")
        self.emptied("restored")

    def starts(self, order: Sequence[Tool]) -> None:
        for _ in range(STARTS):
            for tool in order:
                self.timed("version", tool, tool.version())
                self.timed("list the points", tool, tool.points())

    def changed(self, order: Sequence[Tool], number: int) -> None:
        workload.change_some(self.tree, number)
        time.sleep(SETTLE_S)
        for tool in order:
            before = tool.size()
            self.timed("1 % of files changed", tool, tool.backup(self.tree))
            self.sized("bytes added by 1 % changed", tool, tool.size() - before)

    def scattered(self, order: Sequence[Tool], number: int) -> None:
        """A big file, backed up, edited in a hundred places, backed up again."""
        workload.make_big_file(self.big / "file", self.big_size, number)
        time.sleep(SETTLE_S)
        for tool in order:
            self.timed("big file", tool, tool.backup(self.big))
        workload.edit_big_file(self.big / "file", number + 1)
        time.sleep(SETTLE_S)
        for tool in order:
            before = tool.size()
            self.timed("big file, 100 scattered edits", tool, tool.backup(self.big))
            self.sized("bytes added by 100 scattered edits", tool, tool.size() - before)

    def emptied(self, name: str) -> Path:
        """A path in the scratch directory where nothing is."""
        target = self.scratch / name
        shutil.rmtree(target, ignore_errors=True)
        return target

    def timed(self, row: str, tool: Tool, command: Command) -> None:
        cost = measure(command, self.scratch / "output")
        self.figures.cost(row, tool.name, cost)
        say(row, tool, cost)

    def sized(self, row: str, tool: Tool, size: int) -> None:
        self.figures.add(report.SIZE, row, tool.name, size)


def say(row: str, tool: Tool, cost: Cost) -> None:
    figures = f"{cost.wall_s:7.2f} s {cost.cpu_s:7.2f} s processor {cost.peak / 1e6:7.1f} MB"
    print(f"{row:32} {tool.name:16} {figures}", file=sys.stderr, flush=True)


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benchmarks.files", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "--tree", type=Path, default=Path("/usr/share"), help="copied, never changed (%(default)s)"
    )
    parser.add_argument(
        "--rounds", type=int, default=3, help="each figure is the median of these (%(default)s)"
    )
    parser.add_argument(
        "--big-size", type=int, default=256, metavar="MIB", help="size of the big file (%(default)s)"
    )
    parser.add_argument(
        "--tools", default="ours,restic,borg", help="the first is compared with the rest (%(default)s)"
    )
    parser.add_argument(
        "--encrypted", action="store_true", help="put `encrypted` first: ours, encrypted, beside ours without"
    )
    parser.add_argument("--restic", default="restic", metavar="PATH", help="a current restic (from PATH)")
    parser.add_argument(
        "--borg", metavar="PATH", help=f"a borg 1.4 (else {tools.BORG} is built from PyPI, once)"
    )
    parser.add_argument(
        "--scratch", type=Path, help="where data and repositories go, for the run (system's choice)"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every single value")
    return parser.parse_args(arguments)


def chosen(options: argparse.Namespace, scratch: Path) -> list[Tool]:
    """Raises `BenchmarkError` for a program that is unknown or cannot be had."""
    known: dict[str, Callable[[], Tool]] = {
        "ours": lambda: Ours(tools.ours(), scratch / "ours"),
        "encrypted": lambda: Encrypted(tools.ours(), scratch / "encrypted"),
        "restic": lambda: Restic(tools.restic(options.restic), scratch / "restic"),
        "borg": lambda: Borg(tools.borg(options.borg), scratch / "borg"),
    }
    names = [*["encrypted"] * options.encrypted, *options.tools.split(",")]
    if unknown := set(names) - set(known):
        raise BenchmarkError(f"unknown: {', '.join(sorted(unknown))}; known are {', '.join(known)}")
    return [known[name]() for name in names]


def run(options: argparse.Namespace, scratch: Path) -> None:
    compared = chosen(options, scratch)
    facts = machine(scratch)
    bench = Bench(compared, options.tree, scratch, options.big_size * workload.BLOCK)
    facts["tree"] = f"{options.tree}: {bench.prepare()}"
    facts["big file"] = f"{options.big_size} MiB; edits of {workload.EDIT_BYTES} bytes"
    for tool in compared:
        version = tools.quietly(tool.version()).splitlines()[0]
        facts[tool.name] = f"{version}; encrypts: {tool.encrypts}"
    for number in range(options.rounds):
        print(f"round {number + 1} of {options.rounds}", file=sys.stderr, flush=True)
        bench.round(number)
    facts["smallest peak that can be told"] = report.megabytes(own_peak())
    facts["rounds"] = f"{options.rounds}, interleaved; page cache warm; written data synced before each step"
    print(report.tables(bench.figures, [tool.name for tool in compared]))
    print(f"\n{report.caption(facts)}")
    if options.json:
        options.json.write_text(
            json.dumps({"facts": facts, "values": bench.figures.sections}, indent=1) + "\n"
        )


def main() -> None:
    in_scratch(parse(), run)


if __name__ == "__main__":
    main()
