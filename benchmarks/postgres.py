"""Compare with pg_dump, restic and pgBackRest on one PostgreSQL database. See benchmarks/README.md.

    make bench-postgres ARGS="--restic PATH"

Every program does each step on the same data, one after the other, in an order that moves by one each round.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks import report, tools
from benchmarks.measure import BenchmarkError, Cost, in_scratch, machine, measure
from benchmarks.postgres_peers import Dump, Ours, Peer, PgBackRest, Piped, Restic
from benchmarks.postgres_server import Server

SERVER_PROCESSOR = "processor time of the server"


@dataclass
class Bench:
    """All rounds over one server."""

    peers: Sequence[Peer]
    server: Server
    purchases: int
    scratch: Path
    figures: report.Figures = field(default_factory=report.Figures)

    def round(self, number: int) -> None:
        turn = number % len(self.peers)
        order = [*self.peers[turn:], *self.peers[:turn]]
        for peer in order:
            self.first(peer)
        for peer in order:
            self.restored(peer)
        self.server.change(number)
        for peer in order:
            self.again(peer, "1 % of rows updated")
        self.server.append(self.purchases, number)
        for peer in order:
            self.again(peer, "1 % appended")

    def first(self, peer: Peer) -> None:
        with_stop = isinstance(peer, PgBackRest)
        if with_stop:
            self.server.stop()
        peer.renew()
        empty = peer.stored()
        self.timed("first backup", peer, running=not with_stop)
        self.figures.add(report.SIZE, "stored", peer.name, peer.stored() - empty)
        if with_stop:
            self.server.start()

    def again(self, peer: Peer, what: str) -> None:
        with_stop = isinstance(peer, PgBackRest)
        if with_stop:
            self.server.stop()
        if not peer.incremental:
            peer.renew()
        before = peer.stored()
        self.timed(f"backup after {what}", peer, running=not with_stop)
        self.figures.add(report.SIZE, f"stored anew after {what}", peer.name, peer.stored() - before)
        if with_stop:
            self.server.start()

    def restored(self, peer: Peer) -> None:
        """Into a new database, whose rows are counted afterwards."""
        command = peer.restore(self.server.url("restored"))
        if command is None:
            return
        self.server.sql("CREATE DATABASE restored", database="postgres")
        before = self.server.processor_s()
        cost = measure(command, self.scratch / "output")
        self.spent("restore", peer, cost, self.server.processor_s() - before)
        counts = "SELECT (SELECT count(*) FROM purchase), (SELECT count(*) FROM event)"
        if self.server.sql(counts, database="restored") != self.server.sql(counts):
            raise BenchmarkError(f"{peer.name} did not restore all rows")
        self.server.sql("DROP DATABASE restored", database="postgres")

    def timed(self, row: str, peer: Peer, *, running: bool) -> None:
        before = self.server.processor_s() if running else 0.0
        cost = measure(peer.backup(), self.scratch / "output")
        self.spent(row, peer, cost, self.server.processor_s() - before if running else 0.0)

    def spent(self, row: str, peer: Peer, cost: Cost, server_s: float) -> None:
        self.figures.cost(row, peer.name, cost)
        self.figures.add(SERVER_PROCESSOR, row, peer.name, server_s)
        figures = f"{cost.wall_s:7.2f} s {cost.cpu_s:7.2f} s here {server_s:7.2f} s server {cost.peak / 1e6:6.0f} MB"
        print(f"{row:40} {peer.name:32} {figures}", file=sys.stderr, flush=True)


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="benchmarks.postgres", description=(__doc__ or "").partition("\n")[0]
    )
    add = parser.add_argument
    add(
        "--purchases",
        type=int,
        default=3_600_000,
        help="rows of the largest tables; 600 bytes each (%(default)s)",
    )
    add("--rounds", type=int, default=1, help="each figure is the median of these (%(default)s)")
    add("--peers", default=",".join(PEERS), help="the first is compared with the rest (%(default)s)")
    add(
        "--binaries",
        type=Path,
        default=Path("/usr/lib/postgresql/15/bin"),
        help="server, pg_dump (%(default)s)",
    )
    add("--newest", type=Path, metavar="PATH", help="a directory with a pg_dump 16 or newer that knows zstd")
    add("--restic", default="restic", metavar="PATH", help="a current restic (from PATH)")
    add("--pgbackrest", default="pgbackrest", metavar="PATH", help="Debian's does (from PATH)")
    add("--scratch", type=Path, help="where data and repositories go, for the run (system's choice)")
    add("--json", type=Path, metavar="FILE", help="write every single value")
    return parser.parse_args(arguments)


PEERS = ("ours", "counts", "custom", "gzip", "zstd", "piped", "restic", "pgbackrest")


def chosen(options: argparse.Namespace, server: Server, scratch: Path) -> list[Peer]:
    """Raises `BenchmarkError` for a program that is unknown or cannot be had."""
    old = options.binaries
    names = options.peers.split(",")
    if unknown := set(names) - set(PEERS):
        raise BenchmarkError(f"unknown: {', '.join(sorted(unknown))}; known are {', '.join(PEERS)}")
    makers: dict[str, Callable[[Path], Peer]] = {
        "ours": lambda home: Ours(home, server, tools.ours()),
        "counts": lambda home: Ours(home, server, tools.ours(), facts="counts"),
        "custom": lambda home: Dump(home, server, "-Fc", old, ("-Fc",)),
        "gzip": lambda home: Dump(home, server, "-Fd -j2", old, ("-Fd", "-j2"), restores=True),
        "zstd": lambda home: Dump(
            home,
            server,
            "-Fd -j2 zstd:1",
            newest(options.newest),
            ("-Fd", "-j2", "--compress=zstd:1"),
        ),
        "piped": lambda home: Piped(home, server, old),
        "restic": lambda home: Restic(home, server, old, tools.restic(options.restic)),
        "pgbackrest": lambda home: PgBackRest(home, server, found(options.pgbackrest)),
    }
    return [makers[name](scratch / name) for name in names]


def newest(binaries: Path | None) -> Path:
    if binaries is None:
        raise BenchmarkError("say with --newest where a pg_dump with zstd is, or leave zstd out with --peers")
    return binaries


def found(program: str) -> str:
    path = shutil.which(program)
    if path is None:
        raise BenchmarkError(f"there is no {program}; leave it out with --peers")
    return path


def run(options: argparse.Namespace, scratch: Path) -> None:
    server = Server(options.binaries, scratch / "server")
    peers = chosen(options, server, scratch)
    facts = machine(scratch)
    server.create()
    server.start()
    try:
        server.fill(options.purchases)
        facts["database"] = f"{report.megabytes(server.size())}, {server.sql('SELECT version()')}"
        bench = Bench(peers, server, options.purchases, scratch)
        for number in range(options.rounds):
            bench.round(number)
    finally:
        server.stop()
    facts["rounds"] = f"{options.rounds}, interleaved; the server and all programs share the cores"
    print(report.tables(bench.figures, [peer.name for peer in peers]))
    print(f"\n{report.caption(facts)}")
    if options.json:
        values = {"facts": facts, "values": bench.figures.sections}
        options.json.write_text(json.dumps(values, indent=1) + "\n")


def main() -> None:
    in_scratch(parse(), run)


if __name__ == "__main__":
    main()
