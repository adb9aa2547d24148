"""A repository in a directory, with a source to script."""

from __future__ import annotations

from pathlib import Path

import pytest

from backup_platform_tests.support import Bench, noise, text


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """An empty repository and a source with files of each size class: empty, small, and of several chunks."""
    made = Bench(tmp_path / "repository")
    made.source.write(b"empty", b"")
    made.source.write(b"docs/small", text(2_000, 1))
    made.source.write(b"docs/other", text(30_000, 2))
    made.source.write(b"docs.old/large", noise(1_500_000, 3))
    return made
