"""Build `.venv` from `requirements.lock`. Does nothing when it is already built from the present lock.

Needs Python 3.11 or newer with venv, and nothing installed. Everything that is installed is pinned by hash, uv
and the build backend included. Two calls at once wait for each other; one that was interrupted is finished by
the next.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import subprocess
import sys
import tempfile
import venv
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
STAMP = VENV / "built-from"
INPUTS = ("requirements.lock", "pyproject.toml")
MINIMUM = (3, 11)


def main() -> None:
    if sys.version_info < MINIMUM:
        sys.exit("Python 3.11 or newer is needed. Name one: make PYTHON=python3.11 ...")
    with (ROOT / ".venv.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        wanted = fingerprint()
        if not STAMP.exists() or STAMP.read_text() != wanted:
            build()
            STAMP.write_text(wanted)


def fingerprint() -> str:
    """Changes with the lock file, the project's metadata, the interpreter and the place of the work tree."""
    digest = hashlib.sha256(f"{sys.version} {sys.base_prefix} {ROOT}".encode())
    for name in INPUTS:
        digest.update((ROOT / name).read_bytes())
    return digest.hexdigest()


def build() -> None:
    print("building .venv from requirements.lock", flush=True)
    STAMP.unlink(missing_ok=True)
    try:
        venv.create(VENV, with_pip=True, clear=True)
    except subprocess.CalledProcessError:
        sys.exit("This Python cannot create virtual environments (Debian: apt-get install python3-venv).")
    install_uv()
    uv("pip", "sync", "--compile-bytecode", "--require-hashes", "requirements.lock")
    uv("pip", "install", "--no-deps", "--no-build-isolation", "--editable", ".")


def install_uv() -> None:
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as requirements:
        requirements.write("\n".join(pinned("uv")))
        requirements.flush()
        options = ["--quiet", "--disable-pip-version-check", "--no-deps", "--require-hashes"]
        run(VENV / "bin/python", "-m", "pip", "install", *options, "-r", requirements.name)


def pinned(name: str) -> Iterator[str]:
    """The lines of the lock file that pin one package, with its hashes."""
    found = False
    for line in (ROOT / "requirements.lock").read_text().splitlines():
        if not line.startswith(" "):
            found = line.startswith(f"{name}==")
        if found and not line.lstrip().startswith("#"):
            yield line


def uv(*arguments: str) -> None:
    run(VENV / "bin/uv", "--quiet", *arguments)


def run(*command: str | Path) -> None:
    environment = {**os.environ, "VIRTUAL_ENV": str(VENV)}
    done = subprocess.run(command, cwd=ROOT, env=environment, check=False)
    if done.returncode:
        sys.exit(f"{Path(command[0]).name} failed; .venv is not usable. The next call starts again.")


if __name__ == "__main__":
    main()
