"""Programs for tests that npm brings, by a lock file with a hash of every package."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path


def installed(pinned: Path, name: str) -> Path:
    """The `node_modules` of the lock file in `pinned`: installed at the first use on a machine, and kept."""
    wanted = hashlib.sha256(b"".join(path.read_bytes() for path in sorted(pinned.iterdir()))).hexdigest()
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "backup-platform-tests"
    place = cache / f"{name}-{wanted[:16]}"
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not place.exists():
            _install(pinned, cache, place)
    return place / "node_modules"


def _install(pinned: Path, cache: Path, place: Path) -> None:
    draft = Path(tempfile.mkdtemp(dir=cache))
    try:
        for path in pinned.iterdir():
            shutil.copy(path, draft)
        command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
        done = subprocess.run(command, cwd=draft, check=False, capture_output=True, text=True)
        assert done.returncode == 0, f"npm could not install what {pinned} names: {done.stderr[-2000:]}"
        draft.rename(place)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
