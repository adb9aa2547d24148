"""Repositories for tests of actions."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from backup_platform_tests.actions.restore_support import Vault
from backup_platform_tests.sources.files_support import LARGE, noise, odd_tree, remove_tree


@pytest.fixture
def vault(tmp_path: Path) -> Vault:
    """A repository beside an empty tree."""
    (tmp_path / "tree").mkdir()
    return Vault(tmp_path)


@pytest.fixture(scope="session")
def odd_vault(tmp_path_factory: pytest.TempPathFactory) -> Vault:
    """A repository beside a tree with every oddity. Not to be changed."""
    place = tmp_path_factory.mktemp("odd")
    odd_tree(place / "tree")
    return Vault(place)


@pytest.fixture
def open_vault() -> Iterator[Vault]:
    """A repository beside an empty tree, where every user reaches it."""
    place = Path(tempfile.mkdtemp(prefix="backup-platform-test-"))
    place.chmod(0o777)
    (place / "tree").mkdir()
    yield Vault(place)
    remove_tree(place)


@pytest.fixture
def filled(vault: Vault) -> Vault:
    """A repository beside a small tree with links, a sparse file and a large one."""
    root = vault.root
    (root / "dir/inner").mkdir(parents=True)
    for number in range(30):
        (root / "dir" / f"{number:02}").write_bytes(noise(100 + number, number))
    (root / "large").write_bytes(noise(3 * LARGE, 99))
    (root / "link").symlink_to("large")
    os.link(root / "large", root / "second")
    os.mkfifo(root / "fifo")
    with (root / "sparse").open("wb") as file:
        file.truncate(4 << 20)
        file.seek(2 << 20)
        file.write(noise(LARGE, 7))
    return vault
