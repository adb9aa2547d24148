"""Runs rescue.py where nothing of this project is, and nothing but the libraries that it asks for."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import backup_platform.repository

PROGRAMS = Path(backup_platform.repository.__file__).parent
LIBRARIES = ("pyarrow", "blake3", "cryptography", "_cffi_backend")
RUN = """import runpy, sys
sys.path.append(sys.argv[1])
del sys.argv[:2]
runpy.run_path(sys.argv[0], run_name='__main__')
"""


@dataclass(frozen=True)
class Rescue:
    """A directory with copies of the programs, and one with links to the libraries."""

    home: Path

    @classmethod
    def prepare(cls, home: Path, libraries: tuple[str, ...] = LIBRARIES) -> Rescue:
        (home / "libraries").mkdir(parents=True)
        for name in ("rescue.py", "rescue_tables.py"):
            shutil.copy(PROGRAMS / name, home)
        for name in libraries:
            spec = importlib.util.find_spec(name)
            assert spec is not None
            assert spec.origin is not None
            found = os.path.dirname(spec.origin) if spec.submodule_search_locations else spec.origin
            (home / "libraries" / os.path.basename(found)).symlink_to(found)
        return cls(home)

    def run(self, *arguments: object, program: str = "rescue.py") -> subprocess.CompletedProcess[str]:
        """Isolated, and without site-packages."""
        command = [sys.executable, "-I", "-S", "-c", RUN, self.home / "libraries", self.home / program]
        return subprocess.run(
            [*map(str, command), *map(str, arguments)], capture_output=True, text=True, check=False, cwd="/"
        )

    def restore(self, *arguments: object, lost: bool = False) -> str:
        """A restore that must end as it should: what it said."""
        done = self.run(*arguments)
        assert done.returncode == (3 if lost else 0), done.stderr
        return done.stdout + done.stderr
