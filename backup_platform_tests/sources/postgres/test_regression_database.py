"""The database that PostgreSQL's own tests leave behind passes its drill, and comes back as by pg_restore.

On 18 of the wheel, and on the version that this machine's Debian has (15 on Debian 12).
"""

from __future__ import annotations

import glob
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from backup_platform.clock import SILENT, SystemClock
from backup_platform.domain.restoring import DatabaseTarget
from backup_platform.sources.postgres.restore.run import plan_restore, run_restore
from backup_platform_tests.sources.postgres.drill.drill_support import Drilled, captured, point_of
from backup_platform_tests.sources.postgres.fidelity_database import dump, new_database
from backup_platform_tests.sources.postgres.normalise import differences
from backup_platform_tests.sources.postgres.regression_suite import Suite
from backup_platform_tests.sources.postgres.servers import Server, embedded_18, fetch_value, running

pytestmark = pytest.mark.soak


def debians_own() -> str:
    found = sorted(glob.glob("/usr/lib/postgresql/*/bin"))
    assert found, "Debian's PostgreSQL is not installed (.ci/packages)."
    return found[-1]


@pytest.fixture(scope="module", params=[debians_own, embedded_18], ids=["debian", "pg18"])
def own(request: pytest.FixtureRequest) -> Iterator[Server]:
    """A server of its own: the tests leave roles and settings behind."""
    with running(request.param()) as server:
        yield server


@pytest.fixture(scope="module")
def regression(own: Server) -> Iterator[Drilled]:
    with TemporaryDirectory(prefix="backup-platform-regression-", ignore_cleanup_errors=True) as directory:
        os.chmod(directory, 0o755)
        url = Suite(own, Path(directory)).run()
        assert fetch_value(url, "SELECT count(*) FROM pg_class WHERE relkind IN ('r', 'p')") > 500
        yield captured(url, Path(directory), bin_dir=own.bin_dir)


def test_it_passes_its_drill(regression: Drilled) -> None:
    report = regression.drill()
    assert report.differences == ()
    assert (report.compared["schema"], report.compared["facts_mode"]) == ("definitions", "full")


def test_it_comes_back_as_pg_restore_brings_it(regression: Drilled, own: Server, tmp_path: Path) -> None:
    bin_dir = own.bin_dir
    with new_database(own) as restored, new_database(own) as expected:
        plan = plan_restore(
            point_of(regression), regression.streams, DatabaseTarget(restored), bin_dir=bin_dir
        )
        assert plan.conflicts == ()
        done = run_restore(plan, regression.streams, SILENT, SystemClock(), bin_dir=bin_dir)
        assert done.failures == ()
        archive = str(tmp_path / "archive")
        original = regression.source.options.url
        subprocess.run([f"{bin_dir}/pg_dump", "-Fc", f"--file={archive}", original], check=True)
        subprocess.run([f"{bin_dir}/pg_restore", f"--dbname={expected}", archive], check=True)
        wanted = dump(own, expected, tmp_path / "expected.sql")
        assert differences(wanted, dump(own, restored, tmp_path / "restored.sql")) == []
