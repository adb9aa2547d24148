"""Compare with restic over S3 on the loopback: time, and the number of requests. See benchmarks/README.md.

    make bench-stores ARGS="--restic PATH"

The server is `rclone serve s3` over a directory. Both programs encrypt. Requests are counted in a round of their own,
behind a relay that the timed rounds do without.
"""

from __future__ import annotations

import argparse
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from benchmarks import report, tools, workload
from benchmarks.counting import Relay, counting
from benchmarks.files import say
from benchmarks.measure import BenchmarkError, Command, in_scratch, machine, measure
from benchmarks.tools import Encrypted, Restic, Tool

KEY, SECRET, BUCKET = "AKIDBENCH", "benchmark-secret", "bench"
READY_S = 30.0


@dataclass(frozen=True)
class Server:
    """An S3 server on the loopback over the directory `root`."""

    port: int
    root: Path

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def size(self, prefix: str) -> int:
        """Bytes of the objects below a prefix of the bucket."""
        folder = self.root / BUCKET / prefix
        return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


@contextmanager
def rclone(scratch: Path) -> Iterator[Server]:
    """Raises `BenchmarkError` when it does not start."""
    server = Server(free_port(), scratch / "server")
    (server.root / BUCKET).mkdir(parents=True)
    binary = Path(sys.executable).parent / "rclone"
    address = ["--config", os.devnull, "--addr", f"127.0.0.1:{server.port}", "--auth-key", f"{KEY},{SECRET}"]
    with (scratch / "rclone.log").open("wb") as log:
        program = subprocess.Popen(
            [binary, "serve", "s3", *address, server.root], stdout=log, stderr=log, stdin=subprocess.DEVNULL
        )
    try:
        _await(program, server.port)
        yield server
    finally:
        program.kill()
        program.wait()


def free_port() -> int:
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _await(program: subprocess.Popen[bytes], port: int) -> None:
    deadline = time.monotonic() + READY_S
    while time.monotonic() < deadline and program.poll() is None:
        with suppress(OSError), closing(socket.create_connection(("127.0.0.1", port), 1)):
            return
        time.sleep(0.05)
    raise BenchmarkError("`rclone serve s3` does not answer.")


@dataclass
class OursOverS3(Encrypted):
    """Each renewal is a new prefix: what the server remembers of the one before is no help."""

    server: Server
    name = "backup-platform"
    _renewed: int = field(default=0, init=False)

    @property
    def prefix(self) -> str:
        return f"{self.home.parent.name}/ours{self._renewed}"

    def renew(self) -> None:
        self._renewed += 1
        super().renew()

    def size(self) -> int:
        return self.server.size(self.prefix)

    def _settings(self) -> dict[str, object]:
        credentials = {"access_key_id": "${env:BENCH_KEY}", "secret_access_key": "${env:BENCH_SECRET}"}
        return {
            **super()._settings(),
            "path": f"s3://{BUCKET}/{self.prefix}",
            "endpoint": self.server.endpoint,
            "allow_http": True,
            "single_writer": True,  # rclone ignores If-None-Match
            "credentials": credentials,
        }

    def _command(self, *arguments: str) -> Command:
        return replace(super()._command(*arguments), environment={"BENCH_KEY": KEY, "BENCH_SECRET": SECRET})


@dataclass
class ResticOverS3(Restic):
    server: Server
    _renewed: int = field(default=0, init=False)

    @property
    def prefix(self) -> str:
        return f"{self.home.parent.name}/restic{self._renewed}"

    def renew(self) -> None:
        self._renewed += 1
        super().renew()

    def size(self) -> int:
        return self.server.size(self.prefix)

    def _place(self) -> str:
        return f"s3:{self.server.endpoint}/{BUCKET}/{self.prefix}"

    def _command(self, *arguments: str) -> Command:
        command = super()._command(*arguments)
        own = {"AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET}
        return replace(command, environment={**command.environment, **own})


@dataclass
class Bench:
    """All rounds over one tree and one server."""

    tree: Path
    scratch: Path
    figures: report.Figures = field(default_factory=report.Figures)

    def round(self, order: Sequence[Tool], relay: Relay | None = None) -> None:
        """Timed; or, behind a relay, its requests counted."""
        expected = workload.census(self.tree)
        for tool in order:
            tool.renew()
            backup = tool.backup(self.tree)
            self._step("first backup", tool, backup, relay)
            if not relay:
                self.figures.add(report.SIZE, "stored", tool.name, tool.size())
            self._step("unchanged", tool, tool.backup(self.tree), relay)
            target = self.scratch / "restored"
            shutil.rmtree(target, ignore_errors=True)
            self._step("full restore", tool, tool.restore(self.tree, target), relay)
            if (found := workload.census(tool.restored(self.tree, target))) != expected:
                raise BenchmarkError(f"{tool.name} restored {found} instead of {expected}")

    def _step(self, row: str, tool: Tool, command: Command, relay: Relay | None) -> None:
        if relay:
            relay.taken()
        cost = measure(command, self.scratch / "output")
        if relay:
            self.figures.add(report.REQUESTS, row, tool.name, relay.taken())
            return
        self.figures.cost(row, tool.name, cost)
        say(row, tool, cost)


def both(options: argparse.Namespace, server: Server, scratch: Path) -> list[Tool]:
    known: list[Tool] = [OursOverS3(tools.ours(), scratch / "ours", server)]
    if options.restic:
        known.append(ResticOverS3(tools.restic(options.restic), scratch / "restic", server))
    return known


def run(options: argparse.Namespace, scratch: Path) -> None:
    facts, tree = machine(scratch), scratch / "tree"
    workload.copy_tree(options.tree, tree)
    workload.read_all(tree)
    facts["tree"] = f"{options.tree}: {workload.census(tree)}"
    facts["server"] = "rclone serve s3 on the loopback, in front of a directory"
    bench = Bench(tree, scratch)
    with rclone(scratch) as server:
        compared = both(options, server, scratch)
        for number in range(options.rounds):
            turn = number % len(compared)
            bench.round([*compared[turn:], *compared[:turn]])
        with counting(server.port) as relay:
            behind = replace(server, port=relay.port)
            bench.round(both(options, behind, scratch / "counted"), relay)
    facts["rounds"] = f"{options.rounds}, interleaved; requests counted in one more"
    print(report.tables(bench.figures, [tool.name for tool in compared]))
    print(f"\n{report.caption(facts)}")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benchmarks.stores", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--tree", type=Path, default=Path("/usr/share/doc"), help="copied (%(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="of which medians are shown (%(default)s)")
    parser.add_argument("--restic", metavar="PATH", help="a current restic; without it ours alone")
    parser.add_argument("--scratch", type=Path, help="where everything goes, for the run (system's choice)")
    return parser.parse_args()


def main() -> None:
    in_scratch(parse(), run)


if __name__ == "__main__":
    main()
