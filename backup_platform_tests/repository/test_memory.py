"""Memory is bounded, whatever the source's size."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

LIMIT = 300  # MiB


def peak(root: Path, kind: str, amount: int) -> int:
    command = [
        sys.executable,
        "-m",
        "backup_platform_tests.repository.memory_child",
        str(root),
        kind,
        str(amount),
    ]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def test_a_stream_of_any_size_needs_the_same(tmp_path: Path) -> None:
    small, large = (
        peak(tmp_path / "small", "stream", 60_000_000),
        peak(tmp_path / "large", "stream", 240_000_000),
    )
    assert large < LIMIT
    assert large < small * 1.25


def test_an_inventory_of_many_rows_needs_little(tmp_path: Path) -> None:
    assert peak(tmp_path, "rows", 250_000) < LIMIT
