"""A database of everything, captured through a real repository, restored, and dumped: the dumps are equal."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from backup_platform.domain.model import RecoveryPoint
from backup_platform.sources.postgres.options import PostgresOptions
from backup_platform_tests.sources.postgres.fidelity_database import (
    dump,
    features,
    fidelity_database,
    new_database,
    psql,
    roles_and_tablespaces,
    write_dump,
)
from backup_platform_tests.sources.postgres.normalise import differences
from backup_platform_tests.sources.postgres.point_bench import PointBench
from backup_platform_tests.sources.postgres.servers import Server, execute, fetch, fetch_value


def bench(tmp_path: Path, server: Server, url: str) -> PointBench:
    return PointBench(tmp_path / "repository", PostgresOptions(url, bin_dir=server.bin_dir))


@dataclass(frozen=True)
class Captured:
    """The database of everything, its recovery point, and what it restores to: one for all tests that only look."""

    server: Server
    original: str
    before: list[str]
    made: PointBench
    point: RecoveryPoint
    restored: str


@pytest.fixture(scope="module")
def captured15(server15: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Captured]:
    yield from captured(server15, tmp_path_factory.mktemp("captured15"))


@pytest.fixture(scope="module")
def captured18(server18: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Captured]:
    yield from captured(server18, tmp_path_factory.mktemp("captured18"))


def captured(server: Server, folder: Path) -> Iterator[Captured]:
    with fidelity_database(server) as original, new_database(server) as restored:
        before = dump(server, original, folder / "before.sql")
        made = bench(folder, server, original)
        point = made.backup()
        made.restore(point, restored)
        yield Captured(server, original, before, made, point, restored)


@pytest.fixture(
    params=[
        pytest.param("captured15", id="pg15", marks=pytest.mark.xdist_group("captured15")),
        pytest.param("captured18", id="pg18", marks=pytest.mark.xdist_group("captured18")),
    ]
)
def everything(request: pytest.FixtureRequest) -> Captured:
    found = request.getfixturevalue(request.param)
    assert isinstance(found, Captured)
    return found


def test_everything_comes_back(everything: Captured, tmp_path: Path) -> None:
    everything.made.assert_intact()
    restored = dump(everything.server, everything.restored, tmp_path / "restored.sql")
    assert differences(everything.before, restored) == []


@pytest.mark.xdist_group("captured18")
def test_everything_passes_its_drill(captured18: Captured) -> None:
    assert captured18.made.drill(captured18.point).report.differences == ()


@pytest.mark.soak
def test_everything_of_the_older_version_passes_its_drill(captured15: Captured) -> None:
    assert captured15.made.drill(captured15.point).report.differences == ()


@pytest.mark.xdist_group("captured18")
def test_a_capture_changes_nothing(captured18: Captured, tmp_path: Path) -> None:
    after = dump(captured18.server, captured18.original, tmp_path / "after.sql")
    assert differences(captured18.before, after) == []


@pytest.mark.xdist_group("captured18")
def test_a_restored_database_is_captured_alike(captured18: Captured, tmp_path: Path) -> None:
    """The server's own facts of the two are equal, table by table."""
    again = bench(tmp_path, captured18.server, captured18.restored)
    assert again.backup().facts["tables"] == captured18.point.facts["tables"]


@pytest.mark.soak
def test_into_a_newer_major_version(server15: Server, server18: Server, tmp_path: Path) -> None:
    """As PostgreSQL's own dump comes out there, restored by its own means."""
    both = features(server15) & features(server18)
    with (
        fidelity_database(server15, both) as original,
        new_database(server18) as expected,
        new_database(server18) as restored,
    ):
        roles_and_tablespaces(server18, restored)
        made = bench(tmp_path, server18, original)
        made.restore(made.backup(), restored)
        write_dump(server18, original, tmp_path / "original.sql")
        psql(server18, expected, tmp_path / "original.sql", variables=[])
        wanted = dump(server18, expected, tmp_path / "expected.sql")
        assert differences(wanted, dump(server18, restored, tmp_path / "restored.sql")) == []


EXTENSION = {
    "own.control": "default_version = '1.0'\nrelocatable = false\nschema = own\n",
    "own--1.0.sql": """
        CREATE TABLE settings (key text PRIMARY KEY, value text, shipped bool DEFAULT false);
        INSERT INTO settings VALUES ('a', 'shipped', true), ('b', 'shipped', true);
        CREATE TABLE whole (id serial PRIMARY KEY, v text);
        CREATE TABLE internal (v int);
        INSERT INTO internal VALUES (1);
        SELECT pg_extension_config_dump('settings', 'WHERE NOT shipped');
        SELECT pg_extension_config_dump('whole', '');
        SELECT pg_extension_config_dump('whole_id_seq', '');
    """,
}


@pytest.fixture
def extensions(open_tmp: Path) -> Path:
    folder = open_tmp / "extension"
    folder.mkdir(mode=0o755)
    for name, text in EXTENSION.items():
        (folder / name).write_text(text)
    return open_tmp


def test_what_users_told_an_extension_comes_back(server18: Server, extensions: Path, tmp_path: Path) -> None:
    """Rows of its configuration tables, by its own filters; what the extension brings itself is not stored."""
    with new_database(server18) as original, new_database(server18) as restored:
        for url in (original, restored):
            path = f"ALTER DATABASE %s SET extension_control_path = '$system:{extensions}'"
            execute(url, path % fetch_value(url, "SELECT current_database()"))
        execute(
            original,
            "CREATE SCHEMA own",
            "CREATE EXTENSION own",
            "INSERT INTO own.settings VALUES ('mine', 'kept')",
            "INSERT INTO own.whole (v) VALUES ('x'), ('y')",
            "INSERT INTO own.internal VALUES (2)",
        )
        made = bench(tmp_path, server18, original)
        made.restore(made.backup(), restored)
        expected = dump(server18, original, tmp_path / "original.sql")
        assert differences(expected, dump(server18, restored, tmp_path / "restored.sql")) == []
        assert fetch(restored, "SELECT key FROM own.settings ORDER BY key") == [("a",), ("b",), ("mine",)]
        assert fetch(restored, "SELECT v FROM own.internal") == [(1,)]
