"""Directories for tests of file trees."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from backup_platform_tests.sources.files_support import remove_tree


@pytest.fixture
def open_tmp() -> Iterator[Path]:
    """A directory that every user reaches: pytest's own are closed to others."""
    root = Path(tempfile.mkdtemp(prefix="backup-platform-test-"))
    root.chmod(0o755)
    yield root
    remove_tree(root)
