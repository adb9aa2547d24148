"""Run a command and say what it took."""

from __future__ import annotations

import argparse
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

TAIL = 2_000


class BenchmarkError(Exception):
    """Something that makes the comparison meaningless."""


@dataclass(frozen=True)
class Command:
    """What to run; `environment` is added to the benchmark's own."""

    argv: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    directory: Path | None = None


@dataclass(frozen=True)
class Cost:
    """What one process took. `peak` is its largest resident set, in bytes."""

    wall_s: float
    cpu_s: float
    peak: int


def measure(command: Command, log: Path) -> Cost:
    """Run to the end, output to `log`. Raises `BenchmarkError` unless the exit status is 0.

    The kernel counts the peak of a new process from that of the process that started it: nothing below
    `own_peak` can be told.
    """
    os.sync()
    with log.open("wb") as output:
        start = time.perf_counter()
        process = subprocess.Popen(
            command.argv,
            cwd=command.directory,
            env={**os.environ, **command.environment},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        tail = log.read_bytes()[-TAIL:].decode(errors="replace")
        raise BenchmarkError(f"{' '.join(command.argv)} ended with {process.returncode}:\n{tail}")
    return Cost(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024)


def in_scratch(options: argparse.Namespace, run: Callable[[argparse.Namespace, Path], None]) -> None:
    """A whole benchmark, in a directory of its own below `options.scratch`; what it cannot do ends the process."""
    try:
        with tempfile.TemporaryDirectory(prefix="backup-bench-", dir=options.scratch) as scratch:
            run(options, Path(scratch).resolve())
    except BenchmarkError as error:
        sys.exit(f"benchmark: {error}")


def own_peak() -> int:
    """The largest resident set of this process so far, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def machine(directory: Path) -> dict[str, str]:
    """What the numbers depend on, for the caption."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    load = os.getloadavg()[0]
    return {
        "processor": f"{_processor()}, {os.cpu_count()} cores",
        "memory": f"{memory / 2**30:.0f} GiB",
        "kernel": f"{platform.system()} {platform.release()}",
        "file system": _file_system(directory),
        "Python": platform.python_version(),
        "load before": f"{load:.1f}",
    }


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _file_system(directory: Path) -> str:
    """The type of the mount that holds the directory."""
    mounts = [line.split() for line in Path("/proc/self/mounts").read_text().splitlines()]
    holding = [(point, kind) for _, point, kind, *_ in mounts if directory.resolve().is_relative_to(point)]
    return max(holding, key=lambda each: len(each[0]))[1]
