"""How each program is asked for the same work."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.measure import BenchmarkError, Command

BORG = "1.4.4"
OLDEST_RESTIC = (0, 19)
README = "benchmarks/README.md says how to get one."


@dataclass
class Tool(ABC):
    """One program with one repository at a time; `home` holds all that it writes."""

    binary: str
    home: Path
    name: str = field(init=False)
    encrypts: str = field(init=False)

    @property
    def repository(self) -> Path:
        return self.home / "repository"

    def renew(self) -> None:
        """Start over, with an empty repository and no cache."""
        shutil.rmtree(self.home, ignore_errors=True)
        self.home.mkdir(parents=True)
        self._prepare()

    def size(self) -> int:
        """Bytes of all files of the repository."""
        return sum(
            os.lstat(os.path.join(folder, name)).st_size
            for folder, _, names in os.walk(self.repository)
            for name in names
        )

    def version(self) -> Command:
        return Command((self.binary, "--version"))

    @abstractmethod
    def _prepare(self) -> None:
        """Create an empty repository."""

    @abstractmethod
    def backup(self, tree: Path) -> Command: ...

    @abstractmethod
    def restore(self, tree: Path, target: Path, path: str | None = None) -> Command:
        """Restore the newest recovery point of the tree, or only one path of it."""

    @abstractmethod
    def points(self) -> Command: ...

    @abstractmethod
    def restored(self, tree: Path, target: Path) -> Path:
        """Where below the target the tree's root is after a restore."""


@dataclass
class Ours(Tool):
    name = "backup-platform"
    encrypts = "no"

    def _prepare(self) -> None:
        self._trees: dict[Path, str] = {}
        self._initialised = False
        self._write_plan()

    def _plan(self) -> Path:
        return self.home / "backup.yaml"

    def _write_plan(self) -> None:
        sources = {name: {"files": str(path), "every": "day"} for path, name in self._trees.items()}
        document = {"repository": self._settings(), "sources": sources, "state": str(self.home / "state")}
        self._plan().write_text(json.dumps(document))

    def _settings(self) -> dict[str, object]:
        """The plan's `repository`."""
        return {"path": str(self.repository)}

    def _recipients(self) -> list[str]:
        return []

    def _source(self, tree: Path) -> str:
        """The name of the source for this tree, added to the plan when it is new."""
        if tree not in self._trees:
            self._trees[tree] = f"tree{len(self._trees)}"
            self._write_plan()
            if not self._initialised:
                quietly(self._command("init", *self._recipients()))
                self._initialised = True
        return self._trees[tree]

    def _command(self, *arguments: str) -> Command:
        return Command((self.binary, "--plan", str(self._plan()), *arguments))

    def backup(self, tree: Path) -> Command:
        return self._command("backup", self._source(tree), "--force")

    def restore(self, tree: Path, target: Path, path: str | None = None) -> Command:
        paths = [path] if path else []
        return self._command("restore", f"{self._source(tree)}@latest", *paths, "--to", str(target))

    def points(self) -> Command:
        return self._command("points")

    def restored(self, tree: Path, target: Path) -> Path:
        return target


@dataclass
class Encrypted(Ours):
    """The same to two recipients; this host has the identity of one of them, as one that restores has."""

    name = "backup-platform, encrypted"
    encrypts = "yes"

    def _settings(self) -> dict[str, object]:
        keys = {"key_file": str(self.home / "key"), "identity_file": str(self.home / "identity0")}
        return {**super()._settings(), **keys}

    def _recipients(self) -> list[str]:
        options = []
        for number in (0, 1):
            made = quietly(Command((self.binary, "key", "generate", str(self.home / f"identity{number}"))))
            options += ["--recipient", *re.findall(r"age1[a-z0-9]+", made)[:1]]
        return options


@dataclass
class Restic(Tool):
    name = "restic"
    encrypts = "yes, always"

    def _prepare(self) -> None:
        quietly(self._command("init"))

    def _place(self) -> str:
        return str(self.repository)

    def _command(self, *arguments: str) -> Command:
        own = {"RESTIC_PASSWORD": "benchmark", "RESTIC_CACHE_DIR": str(self.home / "cache")}
        return Command((self.binary, "--quiet", "--repo", self._place(), *arguments), own)

    def version(self) -> Command:
        return Command((self.binary, "version"))

    def backup(self, tree: Path) -> Command:
        return self._command("backup", str(tree))

    def restore(self, tree: Path, target: Path, path: str | None = None) -> Command:
        only = ["--include", str(tree / path)] if path else []
        return self._command("restore", "latest", "--path", str(tree), *only, "--target", str(target))

    def points(self) -> Command:
        return self._command("snapshots")

    def restored(self, tree: Path, target: Path) -> Path:
        return target / tree.relative_to("/")


@dataclass
class Borg(Tool):
    name = "borg"
    encrypts = "no (`--encryption none`)"

    def _prepare(self) -> None:
        self._archives: list[tuple[Path, str]] = []
        quietly(self._command("init", "--encryption", "none", str(self.repository)))

    def _command(self, *arguments: str, directory: Path | None = None) -> Command:
        own = {"BORG_BASE_DIR": str(self.home), "BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK": "yes"}
        return Command((self.binary, *arguments), own, directory)

    def backup(self, tree: Path) -> Command:
        self._archives.append((tree, f"archive{len(self._archives)}"))
        archive = f"{self.repository}::{self._archives[-1][1]}"
        return self._command("create", "--compression", "zstd,3", archive, str(tree))

    def restore(self, tree: Path, target: Path, path: str | None = None) -> Command:
        newest = next(name for of, name in reversed(self._archives) if of == tree)
        only = [str((tree / path).relative_to("/"))] if path else []
        target.mkdir(parents=True)
        return self._command("extract", f"{self.repository}::{newest}", *only, directory=target)

    def points(self) -> Command:
        return self._command("list", str(self.repository))

    def restored(self, tree: Path, target: Path) -> Path:
        return target / tree.relative_to("/")


def quietly(command: Command) -> str:
    """Run what is not measured; its standard output. Raises `BenchmarkError` when it fails."""
    environment = {**os.environ, **command.environment}
    done = subprocess.run(command.argv, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise BenchmarkError(f"{' '.join(command.argv)} ended with {done.returncode}:\n{done.stderr}")
    return done.stdout


def ours() -> str:
    """The command line of the environment that runs the benchmark."""
    binary = Path(sys.executable).parent / "backup-platform"
    if not binary.exists():
        raise BenchmarkError(f"{binary} is missing: run the benchmark with `make bench`.")
    return str(binary)


def restic(binary: str) -> str:
    """Raises `BenchmarkError` when there is none or when it is too old to be a measure."""
    if (found := shutil.which(binary)) is None:
        raise BenchmarkError(f"there is no restic at {binary!r}. {README}")
    text = quietly(Command((found, "version"))).split()[1]
    if tuple(int(part) for part in text.split(".")[:2]) < OLDEST_RESTIC:
        raise BenchmarkError(f"{found} is restic {text}, half as fast as a current one. {README}")
    return found


def borg(binary: str | None) -> str:
    """The one named, else borg built from PyPI into a cache directory, once."""
    if binary is not None:
        return binary
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
    folder = cache / "backup_platform" / f"borg-{BORG}"
    if not (folder / "bin/borg").exists():
        print(f"building borg {BORG} in {folder}", flush=True)
        quietly(Command((sys.executable, "-m", "venv", "--clear", str(folder))))
        try:
            quietly(Command((str(folder / "bin/pip"), "install", "--quiet", f"borgbackup=={BORG}")))
        except BenchmarkError as error:
            raise BenchmarkError(f"{error}\nborg could not be built. {README}") from error
    return str(folder / "bin/borg")
