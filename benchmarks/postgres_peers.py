"""How each program is asked to back up and restore one PostgreSQL database."""

from __future__ import annotations

import os
import shlex
import shutil
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.measure import Command
from benchmarks.postgres_server import Server
from benchmarks.tools import quietly


@dataclass
class Peer(ABC):
    """One program with one place to store at a time; `home` holds all that it writes."""

    home: Path
    server: Server
    name: str = field(init=False)

    def renew(self) -> None:
        shutil.rmtree(self.home, ignore_errors=True)
        self.home.mkdir(parents=True)

    def stored(self) -> int:
        return sum(
            os.lstat(os.path.join(folder, name)).st_size
            for folder, _, names in os.walk(self.home)
            for name in names
        )

    @property
    def incremental(self) -> bool:
        """Does a second backup go to where the first one is?"""
        return False

    @abstractmethod
    def backup(self) -> Command: ...

    def restore(self, url: str) -> Command | None:
        """Into the empty database at `url`, where that is compared."""
        return None


@dataclass
class Ours(Peer):
    binary: str
    facts: str = "full"

    def __post_init__(self) -> None:
        self.name = "backup-platform" if self.facts == "full" else f"with facts: {self.facts}"

    def renew(self) -> None:
        super().renew()
        (self.home / "backup.yaml").write_text(
            f"repository: {{path: {self.home}/repository}}\nsources:\n  shop:\n"
            f'    postgres: "{self.server.url()}"\n    every: day\n    facts: {self.facts}\n'
            f"    bin_dir: {self.server.binaries}\n"
        )
        quietly(self._command("init"))

    def _command(self, *words: str) -> Command:
        return Command((self.binary, "--plan", str(self.home / "backup.yaml"), *words))

    @property
    def incremental(self) -> bool:
        return True

    def backup(self) -> Command:
        return self._command("backup", "shop", "--force")

    def restore(self, url: str) -> Command | None:
        return self._command("restore", "shop@latest", "--into", url)


@dataclass
class Dump(Peer):
    """pg_dump to a directory by two connections, or to a file."""

    name: str
    binaries: Path
    options: tuple[str, ...]
    restores: bool = False

    def backup(self) -> Command:
        target = ("-f", str(self.home / "dump"))
        return Command((str(self.binaries / "pg_dump"), *self.options, *target, "-d", self.server.url()))

    def restore(self, url: str) -> Command | None:
        pg_restore = str(self.binaries / "pg_restore")
        return Command((pg_restore, "-j", "2", "-d", url, str(self.home / "dump"))) if self.restores else None


@dataclass
class Piped(Peer):
    """pg_dump without compression, piped into a compressor."""

    name = "-Fc -Z0, zstd"
    binaries: Path

    def backup(self) -> Command:
        dump = shlex.join([str(self.binaries / "pg_dump"), "-Fc", "-Z0", "-d", self.server.url()])
        return _shell(f"{dump} | zstd -q -3 -T0 -o {shlex.quote(str(self.home / 'dump.zst'))}")


@dataclass
class Restic(Peer):
    """pg_dump of plain SQL, piped into restic."""

    name = "SQL, restic"
    binaries: Path
    restic: str

    def _restic(self, words: str) -> Command:
        return _shell(f"{shlex.quote(self.restic)} --quiet --repo {self.home}/repository {words}", self.home)

    def renew(self) -> None:
        super().renew()
        quietly(self._restic("init"))

    @property
    def incremental(self) -> bool:
        return True

    def backup(self) -> Command:
        dump = shlex.join([str(self.binaries / "pg_dump"), "-d", self.server.url()])
        command = self._restic("backup --stdin --stdin-filename shop.sql")
        return _shell(f"{dump} | {command.argv[-1].removeprefix(PIPEFAIL)}", self.home)


PIPEFAIL = "set -euo pipefail; "


def _shell(line: str, home: Path | None = None) -> Command:
    secrets = {"RESTIC_PASSWORD": "benchmark", "RESTIC_CACHE_DIR": str(home / "cache")} if home else {}
    return Command(("bash", "-c", PIPEFAIL + line), secrets)


@dataclass
class PgBackRest(Peer):
    """For orientation: physical, of the stopped server's whole cluster, indexes included."""

    name = "pgBackRest"
    binary: str

    def renew(self) -> None:
        super().renew()
        lines = [
            "[global]",
            f"repo1-path={self.home}/repository",
            f"log-path={self.home}/log",
            f"lock-path={self.home}/lock",
            "compress-type=zst",
            "process-max=2",
            "log-level-console=error",
            "[shop]",
            f"pg1-path={self.server.data}",
            f"pg1-socket-path={self.server.home}",
        ]
        (self.home / "pgbackrest.conf").write_text("\n".join(lines) + "\n")
        quietly(self._command("stanza-create"))

    @property
    def incremental(self) -> bool:
        return True

    def _command(self, verb: str, *options: str) -> Command:
        config = f"--config={self.home}/pgbackrest.conf"
        return Command((self.binary, config, "--stanza=shop", "--no-online", *options, verb))

    def backup(self) -> Command:
        return self._command("backup", "--type=incr")
