"""Servers for tests of stores, one of each kind for a process. One that does not start is a failure, not a skip."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from backup_platform.app import App
from backup_platform.plan import Plan
from backup_platform_tests.stores import servers
from backup_platform_tests.support import ManualClock, noise

FILES = 2_000


@pytest.fixture(scope="session")
def moto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[servers.Server]:
    with servers.moto(tmp_path_factory.mktemp("moto")) as server:
        yield server


@pytest.fixture(scope="session")
def rclone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[servers.Server]:
    with servers.rclone(tmp_path_factory.mktemp("rclone")) as server:
        yield server


@pytest.fixture(scope="session")
def seaweed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[servers.Server]:
    with servers.seaweed(tmp_path_factory.mktemp("seaweed")) as server:
        yield server


@pytest.fixture(scope="session")
def gcs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[servers.Server]:
    with servers.gcs(tmp_path_factory.mktemp("gcs")) as server:
        yield server


@pytest.fixture(scope="session")
def azurite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[servers.Server]:
    from backup_platform_tests.stores.azurite_server import azurite

    with azurite(tmp_path_factory.mktemp("azurite")) as server:
        yield server


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "tree"
    for number in range(FILES):
        path = root / f"d{number % 40}" / f"f{number}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(noise(200, number))
    (root / "large").write_bytes(noise(3_000_000, 9))
    return root


@pytest.fixture
def make_app(tmp_path: Path, tree: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., App]:
    for name, value in servers.KEYS.items():
        monkeypatch.setenv(f"TEST_{name.upper()}", value)
    clock = ManualClock()

    def make(repository: dict[str, Any], *, days: float = 0, **more: Any) -> App:
        """Anew each time, as a process would, an hour later, or some days more."""
        clock.advance(hours=1, days=days)
        plan = {
            "repository": repository,
            "sources": {"tree": {"files": str(tree), "every": "hour"}},
            "state": str(tmp_path / "state"),
            "since": "2026-11-01",
        }
        return App(Plan.from_mapping(plan, base=str(tmp_path)), str(tmp_path / "backup.yaml"), clock, **more)

    return make
