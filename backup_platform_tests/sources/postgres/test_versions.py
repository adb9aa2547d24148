"""PostgreSQL 13, 14, 16 and 17, which the other tests do not run on: everything comes back there, and is proven.

Each is a real server, read and restored by the client programs of 18, or by Debian's own. Those between the oldest and
the newest of them run in `make soak`, which has more of all.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from backup_platform.clock import SILENT, SystemClock
from backup_platform.domain.restoring import DatabaseTarget
from backup_platform.sources.postgres.options import PostgresOptions
from backup_platform.sources.postgres.restore.run import plan_restore, run_restore
from backup_platform.sources.postgres.restore.subscriptions import without_implied
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
from backup_platform_tests.sources.postgres.npm_servers import MAJORS, npm_server
from backup_platform_tests.sources.postgres.point_bench import PointBench
from backup_platform_tests.sources.postgres.points import capture_by_hand, recovery_point
from backup_platform_tests.sources.postgres.servers import Server, embedded_18, execute, fetch_value
from backup_platform_tests.sources.postgres.test_fidelity import Captured, bench, captured


def _version(major: int) -> Any:
    between = (pytest.mark.soak,) if major not in (min(MAJORS), max(MAJORS)) else ()
    return pytest.param(major, id=f"pg{major}", marks=(pytest.mark.xdist_group(f"pg{major}"), *between))


EACH = [_version(major) for major in MAJORS]
OLDEST, *LATER = EACH
each_version = pytest.mark.parametrize("version", EACH, indirect=True)
oldest_version = pytest.mark.parametrize("version", [OLDEST], indirect=True)
later_versions = pytest.mark.parametrize("version", LATER, indirect=True)


@pytest.fixture(scope="module")
def version(request: pytest.FixtureRequest) -> Iterator[Server]:
    with npm_server(request.param) as server:
        yield server


@pytest.fixture(scope="module")
def everything(version: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Captured]:
    yield from captured(version, tmp_path_factory.mktemp("captured"))


@each_version
def test_everything_comes_back(everything: Captured, tmp_path: Path) -> None:
    restored = dump(everything.server, everything.restored, tmp_path / "restored.sql")
    assert differences(everything.before, restored) == []


@oldest_version
def test_everything_of_the_oldest_passes_its_drill(everything: Captured) -> None:
    assert_passes(everything)


@pytest.mark.soak
@later_versions
def test_everything_passes_its_drill(everything: Captured) -> None:
    assert_passes(everything)


def assert_passes(everything: Captured) -> None:
    """In a server of the same version, with each comparison in full."""
    report = everything.made.drill(everything.point).report
    major = everything.server.major
    assert report.differences == ()
    assert str(report.compared["server"]).startswith(f"private server of PostgreSQL {major}.")
    assert (report.compared["facts_mode"], report.compared["schema"]) == ("full", "definitions")
    assert report.compared["amcheck"] == (
        "ok" if major >= 14 else "ok: indexes; PostgreSQL 13 cannot check tables"
    )


@pytest.mark.soak
@oldest_version
def test_everything_of_the_oldest_passes_its_drill_on_a_newer_server(version: Server, tmp_path: Path) -> None:
    """On whichever is found where nothing else is asked for."""
    with fidelity_database(version) as original:
        made = PointBench(tmp_path / "repository", PostgresOptions(original))
        report = made.drill(made.backup()).report
        assert report.differences == ()
        (major,) = re.findall(r"^private server of PostgreSQL (\d+)\.", str(report.compared["server"]))
        assert int(major) > version.major


@oldest_version
def test_a_damaged_index_of_the_oldest_fails_its_drill(version: Server, tmp_path: Path) -> None:
    """Its function gives another number where it is restored than where it was captured."""
    with new_database(version) as original:
        execute(
            original,
            "CREATE FUNCTION f(int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS"
            " 'BEGIN RETURN (extract(epoch FROM clock_timestamp()) * 1e6)::bigint % 1000000; END'",
            "CREATE TABLE t AS SELECT generate_series(1, 1000) AS v",
            "CREATE INDEX t_f ON t (f(v))",
        )
        made = bench(tmp_path, version, original)
        report = made.drill(made.backup()).report
        assert report.compared["amcheck"] == "failed"
        assert any("t_f" in line for line in report.differences), report.differences


@oldest_version
def test_a_role_that_only_owns_its_database_restores_all_of_it(version: Server) -> None:
    """Before 15 it does not own the schema public, whose ordinary grants newer tools write out."""
    with version.database() as original, version.database() as restored:
        execute(original, "CREATE TABLE t (a int)", "INSERT INTO t VALUES (1)")
        streams = capture_by_hand(original, embedded_18())
        name = fetch_value(restored, "SELECT current_database()")
        execute(restored, "CREATE ROLE own LOGIN", f"ALTER DATABASE {name} OWNER TO own")
        target = DatabaseTarget(version.url(name, "own"), owner=False)
        planned = plan_restore(recovery_point(), streams, target, bin_dir=embedded_18())
        assert run_restore(planned, streams, SILENT, SystemClock(), bin_dir=embedded_18()).complete


@pytest.mark.soak
@each_version
def test_postgresql_preserves_all_of_it(everything: Captured, tmp_path: Path) -> None:
    """By its own means, once what 18's pg_dump says and an older server does not know is out of the script."""
    script = tmp_path / "original.sql"
    write_dump(everything.server, everything.original, script)
    lines = script.read_text(encoding="utf-8", errors="surrogateescape").split("\n")
    script.write_text("\n".join(map(readable, lines)), encoding="utf-8", errors="surrogateescape")
    with new_database(everything.server) as restored:
        psql(everything.server, restored, script, variables=[])
        after = dump(everything.server, restored, tmp_path / "restored.sql")
        assert differences(everything.before, after) == []


def readable(line: str) -> str:
    line = "" if line == "SET transaction_timeout = 0;" else line
    return without_implied(line.removesuffix(";")) + ";" if line.startswith("CREATE SUBSCRIPTION") else line


@pytest.mark.soak
@each_version
def test_a_restored_database_is_captured_alike(everything: Captured, tmp_path: Path) -> None:
    again = bench(tmp_path, everything.server, everything.restored)
    assert again.backup().facts["tables"] == everything.point.facts["tables"]
    after = dump(everything.server, everything.original, tmp_path / "after.sql")
    assert differences(everything.before, after) == []


@pytest.mark.soak
@each_version
def test_everything_into_the_newest(version: Server, server18: Server, tmp_path: Path) -> None:
    """As PostgreSQL's own dump comes out there, restored by its own means."""
    both = features(version) & features(server18)
    with (
        fidelity_database(version, both) as original,
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


@each_version
def test_into_the_newest_and_not_back(version: Server, server18: Server, tmp_path: Path) -> None:
    with new_database(version) as original, new_database(server18) as newer, new_database(version) as older:
        execute(
            original,
            "CREATE TABLE t (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, v numeric[] NOT NULL DEFAULT '{NaN}')",
            "INSERT INTO t SELECT FROM generate_series(1, 100)",
            "CREATE VIEW w AS SELECT id, v FROM t WHERE id > 1",
        )
        upward = bench(tmp_path / "upward", server18, original)
        upward.restore(upward.backup(), newer)
        rows = ["--data-only", "--table=t"]
        before = dump(server18, original, tmp_path / "before.sql", *rows)
        assert differences(before, dump(server18, newer, tmp_path / "after.sql", *rows)) == []
        downward = bench(tmp_path / "downward", server18, newer)
        point = downward.backup()
        plan = downward.source.plan_restore(point, downward.open().reader(point), DatabaseTarget(older))
        refusal = f"is of PostgreSQL 18 and the server is older, {version.major}"
        assert any(refusal in conflict for conflict in plan.conflicts)


def test_names_and_passwords_that_look_like_parameters_stay() -> None:
    odd = "'password='', streaming = off, run_as_owner = true)'''"
    statement = f"CREATE SUBSCRIPTION s CONNECTION {odd} PUBLICATION p WITH (connect = false, slot_name = 's'"
    written = f'{statement}, streaming = off, run_as_owner = true, synchronous_commit = "local")'
    assert without_implied(written) == f'{statement}, synchronous_commit = "local")'
    assert without_implied(f"{statement}, streaming = off)") == f"{statement})"
    comment = "COMMENT ON SUBSCRIPTION s IS ', streaming = off, run_as_owner = true)'"
    assert without_implied(comment) == comment
