"""The machine that the examples of the documentation speak of: its directories, its servers, and its past."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from backup_platform.cli.entry import main
from backup_platform.repository import rescue
from backup_platform_tests.sources.postgres.servers import Server, execute
from backup_platform_tests.support import ManualClock

if TYPE_CHECKING:
    from collections.abc import Mapping

SHOP = (
    "create table customer (id bigint primary key, name text)",
    "create table orders (id bigint primary key, customer bigint constraint orders_customer_fkey references customer, "
    "status text, price numeric, paid boolean)",
    "create table lines (id bigint primary key, orders bigint)",
    "create table purchase (id bigint primary key)",
    "create schema app",
    "create table app.setting (name text)",
    "insert into customer values (1, 'Ada')",
    "insert into orders select n, 1, 'open', n * 1.5, n % 2 = 0 from generate_series(1, 200) n",
    "insert into lines select n, n from generate_series(1, 50) n",
    "insert into purchase values (1)",
)
# Directories of the examples are below the test's own; a bucket is a directory, too.
_PLACES = re.compile(r"(?<![\w./])/(var|srv|mnt|tmp|etc|media|run|rescue)(?=/)|s3:/(?=/)")
_DATABASE = re.compile(r"postgresql://(?:\w+@)?([\w.]+)/(\w+)(\?[^\s\"']*)?")


@dataclass
class Scene:
    """`changes` are of the words of the examples: names that stand for something, and what differs on this machine."""

    root: Path
    server: Server
    clock: ManualClock
    capsys: pytest.CaptureFixture[str]
    changes: Mapping[str, str] = field(default_factory=dict)

    def here(self, text: str, shown: Callable[[str], str] = str) -> str:
        """The text with what is different on this machine."""
        text = _PLACES.sub(lambda found: f"{self.root}/{found[1] or 'buckets'}", text)
        text = _DATABASE.sub(lambda found: shown(self.server.url(self._database(found))), text)
        for old, new in self.changes.items():
            text = text.replace(old, new)
        return text

    def _database(self, found: re.Match[str]) -> str:
        return f"{self.root.name}_{found[1]}_{found[2]}".replace(".", "_")

    def make_sources(self) -> None:
        tree = self.root / "srv" / "uploads" / "invoices"
        (tree / "2026").mkdir(parents=True)
        (tree / "0042.pdf").write_text("forty-two")
        (tree / "2026" / "0043.pdf").write_text("forty-three")
        for secret in ("run/secrets/shop", "etc/backup/s3.secret"):
            (self.root / secret).parent.mkdir(parents=True, exist_ok=True)
            (self.root / secret).write_text("secret\n")
        folders = ("etc/backup-platform", "media/usb-1", "media/usb-2", "tmp", "rescue")
        for folder in (*folders, "var/lib/prometheus/node-exporter"):
            (self.root / folder).mkdir(parents=True, exist_ok=True)

    def make_database(self, url: str, *statements: str) -> None:
        """The one that an example names, with its content."""
        found = _DATABASE.fullmatch(url)
        assert found is not None
        name = self._database(found)
        execute(self.server.url(), f'create database "{name}"')
        execute(self.server.url(name), *statements)

    def run(self, command: str) -> tuple[int, str]:
        """One line of an example: in this process where it is ours, else by the shell."""
        if re.fullmatch(r"backup-platform\b[^|&;>]*", command):
            return self._verb(self.here(command))
        return self._shell(self.here(command, shown=shlex.quote))

    def _verb(self, command: str) -> tuple[int, str]:
        code = main(shlex.split(command)[1:])
        return code, "".join(self.capsys.readouterr())

    def _shell(self, command: str) -> tuple[int, str]:
        paths = [str(Path(sys.executable).parent), self.server.bin_dir, os.environ["PATH"]]
        done = subprocess.run(
            ["bash", "-o", "pipefail", "-c", command],
            env={**os.environ, "PATH": ":".join(paths)},
            capture_output=True,
            text=True,
            check=False,
        )
        return done.returncode, done.stdout + done.stderr

    def copy_rescue(self) -> None:
        """rescue.py and rescue_tables.py, as somebody took them along."""
        for name in ("rescue.py", "rescue_tables.py"):
            shutil.copy(Path(rescue.__file__).parent / name, self.root / name)


def told(command: str, code: int, text: str) -> str:
    return f"{command}\nended with {code}:\n{text}"


__all__: Sequence[str] = ("SHOP", "Scene", "told")
