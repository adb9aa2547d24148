"""What it costs to look at a plan whose sources have a long past. See benchmarks/README.md.

    make bench-state

Makes a repository of 500 sources with hourly windows of five years. Points have no contents, and were not captured:
only what is looked at is there. Each command is a process of its own, once with nothing noted and then with the notes
of the run before.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from backup_platform.app import App
from backup_platform.domain.model import (
    EMPTY,
    Proof,
    ProofMethod,
    RecoveryPoint,
    Stats,
    StreamRef,
    Window,
)
from backup_platform.repository.points.manifests import encode_manifest
from backup_platform.repository.records.proofs import encode_proof
from backup_platform.repository.repository import Repository
from benchmarks.measure import Command, in_scratch, machine, measure

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
FIVE_YEARS = 5 * 365 * DAY
ROUNDS = 3
KEEP = "{hourly: 24, daily: 7, monthly: 12, yearly: 5}"
COMMANDS = {
    "status": ("status", "--json"),
    "doctor": ("doctor", "--json"),
}


def ages() -> Iterator[timedelta]:
    """How old the points are that retention left of five years, oldest first."""
    yield FIVE_YEARS
    yield from (365 * n * DAY for n in (4, 3, 2))
    yield from (30 * n * DAY for n in range(12, 0, -1))
    yield from (n * DAY for n in range(7, 1, -1))
    yield from (n * HOUR for n in range(24, -1, -1))


def points_of(source: str, now: datetime) -> Iterator[RecoveryPoint]:
    for sequence, age in enumerate(ages(), 1):
        start = now.replace(minute=0, second=0, microsecond=0) - age
        yield RecoveryPoint(
            id="",
            sequence=sequence,
            predecessor="",
            source=source,
            kind="files",
            window=Window(f"{start:%Y-%m-%dT%H:%M}", start, start + HOUR),
            timezone="UTC",
            captured_at=start,
            committed_at=start,
            lateness_s=0.0,
            incomplete=False,
            problem_count=0,
            problems=(),
            facts={},
            stats=Stats(10, 1_000_000 + sequence, 5_000, 3_000, 1.5),
            inventory=StreamRef(0, EMPTY),
            versions={},
        )


def fill(repository: Repository, root: Path, sources: int, now: datetime) -> int:
    """Write manifests and proofs as files; how many. Through the store each would wait for the disk."""
    written = 0
    for number in range(sources):
        for point in points_of(f"s{number:03d}", now):
            made, data = encode_manifest(point, repository.objects.codec)
            objects = [(str(repository.points.key(made)), data)]
            for method in ProofMethod:
                proof = Proof(made.id, method, True, made.committed_at, 2.0)
                says, body = encode_proof(proof, repository.objects.codec, made)
                objects.append((repository.objects.names.name(says), body))
            for key, body in objects:
                path = root / key
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(body)
                os.utime(path, (made.committed_at.timestamp(),) * 2)
                written += 1
    return written


def plan_text(scratch: Path, sources: int, now: datetime) -> str:
    lines = [f"state: {scratch}/state", f"since: {now - FIVE_YEARS:%Y-%m-%d}", "rpo: 3h", "sources:"]
    lines.insert(0, f"repository: {{path: {scratch}/repository}}")
    source = f"files: {scratch}/tree, every: hour, drill: weekly, keep: {KEEP}"
    return "\n".join([*lines, *(f"  s{number:03d}: {{{source}}}" for number in range(sources))])


def run(options: argparse.Namespace, scratch: Path) -> None:
    now = datetime.now(UTC)
    (scratch / "tree").mkdir()
    plan = scratch / "backup.yaml"
    plan.write_text(plan_text(scratch, options.sources, now))
    app = App.load(str(plan))
    app.setup.init()
    objects = fill(app.repository, scratch / "repository", options.sources, now)
    windows = FIVE_YEARS // HOUR
    facts = ", ".join(f"{name} {value}" for name, value in machine(scratch).items())
    print(f"{options.sources} sources, {windows:,} windows each, {objects:,} manifests and proofs; {facts}\n")
    print("| processor time | nothing noted | with notes |\n|---|---:|---:|")
    for name, words in COMMANDS.items():
        for note in (scratch / "state" / "judged").rglob("*"):
            if note.is_file():
                note.unlink()
        command = Command((sys.executable, "-m", "backup_platform.cli.entry", "--plan", str(plan), *words))
        costs = [_cpu(command, scratch / "log") for _ in range(1 + ROUNDS)]
        print(f"| {name} | {costs[0]:.1f} s | {min(costs[1:]):.2f} s |")


def _cpu(command: Command, log: Path) -> float:
    """Whatever the verdict is."""
    shell = Command(("sh", "-c", '"$@" || [ $? -eq 1 ]', "sh", *command.argv))
    return measure(shell, log).cpu_s


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--sources", type=int, default=500)
    parser.add_argument("--scratch", help="a directory for temporary files")
    options = parser.parse_args()
    in_scratch(options, run)


if __name__ == "__main__":
    main()
