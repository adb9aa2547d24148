"""The data that is backed up, and what changes in it. All random, all repeatable."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from benchmarks.measure import BenchmarkError

CHANGED_SHARE = 0.01
CHANGED_BYTES = 100
EDITS = 100
EDIT_BYTES = 16
BLOCK = 1 << 20


@dataclass(frozen=True)
class Census:
    """What a tree holds, as far as a restore must bring it back."""

    entries: int
    files: int
    size: int

    def __str__(self) -> str:
        return f"{self.entries:,} entries, {self.files:,} files, {self.size / 1e6:,.0f} MB"


def census(tree: Path) -> Census:
    entries, files, size = 0, 0, 0
    for folder, folders, names in os.walk(tree):
        entries += len(folders) + len(names)
        for name in names:
            path = os.path.join(folder, name)
            if not os.path.islink(path):
                files += 1
                size += os.lstat(path).st_size
    return Census(entries, files, size)


def copy_tree(original: Path, copy: Path) -> None:
    """With links, owners and times, as `cp -a` does. The original is only read."""
    shutil.rmtree(copy, ignore_errors=True)
    done = subprocess.run(
        ["cp", "-a", f"{original}/.", str(copy)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise BenchmarkError(f"{original} cannot be copied: {done.stderr}")


def regular_files(tree: Path) -> list[str]:
    """Paths relative to the tree, sorted; links and empty files left out."""
    found = []
    for folder, _, names in os.walk(tree):
        for name in names:
            path = os.path.join(folder, name)
            if os.path.isfile(path) and not os.path.islink(path) and os.path.getsize(path):
                found.append(os.path.relpath(path, tree))
    return sorted(found)


def read_all(tree: Path) -> None:
    """Bring the tree into the page cache, so that the first program does not pay for the others."""
    for name in regular_files(tree):
        with open(tree / name, "rb", buffering=0) as file:
            while file.read(BLOCK):
                pass


def change_some(tree: Path, seed: int) -> int:
    """Overwrite 100 bytes in 1 % of the files, the same ones for the same seed; how many files that were."""
    rng = random.Random(seed)
    names = regular_files(tree)
    chosen = rng.sample(names, max(1, round(len(names) * CHANGED_SHARE)))
    for name in chosen:
        _overwrite(tree / name, rng, CHANGED_BYTES)
    return len(chosen)


def make_big_file(path: Path, size: int, seed: int) -> None:
    """Blocks of random bytes and of hexadecimal text by turns: it shrinks to about three quarters."""
    rng = random.Random(seed)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        for number in range(size // BLOCK):
            plain = number % 2 == 0
            file.write(rng.randbytes(BLOCK) if plain else rng.randbytes(BLOCK // 2).hex().encode())


def edit_big_file(path: Path, seed: int) -> None:
    """A hundred overwrites of 16 bytes, anywhere."""
    rng = random.Random(seed)
    for _ in range(EDITS):
        _overwrite(path, rng, EDIT_BYTES)


def _overwrite(path: Path, rng: random.Random, count: int) -> None:
    size = path.stat().st_size
    length = min(count, size)
    with path.open("r+b") as file:
        file.seek(rng.randrange(size - length + 1))
        file.write(rng.randbytes(length))
