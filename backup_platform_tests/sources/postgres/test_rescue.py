"""A database without this program: rescue.py, rescue_tables.py, pg_restore and psql make it again."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from backup_platform.sources.postgres.options import PostgresOptions
from backup_platform_tests.repository.rescuing import Rescue
from backup_platform_tests.sources.postgres.point_bench import PointBench
from backup_platform_tests.sources.postgres.restore.restore_support import dumped
from backup_platform_tests.sources.postgres.restore.sample import SAMPLE
from backup_platform_tests.sources.postgres.servers import Server, execute, fetch_value
from backup_platform_tests.support import flipped

VALUES = r"""
CREATE TABLE every (id bigint PRIMARY KEY, b bool, s smallint, i int, r real, d double precision, t text, y bytea,
    day date, at time, ts timestamp, tz timestamptz, n numeric(12, 4), free numeric, u uuid, j jsonb, a int[],
    v interval, c char(5));
INSERT INTO every VALUES
    (1, true, -32768, 2147483647, 'NaN', -0.0, E'tab\t \\N \\. line\n end', '\x00ff5c0a',
     '0001-01-01', '23:59:59.999999', '9999-12-31 23:59:59.999999', '2026-11-22 02:15:00+05', -0.0001, 'NaN',
     'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', '{"a": "\n\\"}', '{1,NULL}', '1 year -3 days', 'ab'),
    (2, NULL, NULL, NULL, '-Infinity', 5e-324, '', '',
     'infinity', NULL, '-infinity', NULL, 99999999.9999, 1e-30, NULL, 'null', '{}', NULL, NULL),
    (9223372036854775807, false, 0, 0, 0.1, 0.1, E'\r\n', NULL,
     '10183-09-21', '00:00', '2026-01-01', '0001-01-01 00:00:00Z', 0, 12345678901234567890, NULL, NULL, NULL,
     'P1Y', '');
CREATE TABLE many AS SELECT id, md5(id::text) AS hash FROM generate_series(1, 60000) id;
"""


@pytest.fixture(scope="module")
def rescue(tmp_path_factory: pytest.TempPathFactory) -> Rescue:
    return Rescue.prepare(tmp_path_factory.mktemp("rescue"), ("pyarrow", "blake3"))


@pytest.fixture
def original(server18: Server) -> Iterator[str]:
    with server18.database() as url:
        execute(url, SAMPLE, VALUES)
        yield url


@pytest.fixture
def bench(server18: Server, original: str, tmp_path: Path) -> PointBench:
    made = PointBench(tmp_path / "repository", PostgresOptions(original, bin_dir=server18.bin_dir))
    made.backup()
    return made


def load(said: str, folder: Path, server: Server, url: str) -> None:
    """What the last lines of rescue_tables.py say, but for making roles and the database."""
    steps = [line for line in said.splitlines() if line.startswith(("pg_restore", "for ", "psql -q"))]
    assert len(steps) == 4
    for step in steps:
        command = step.replace("-d NEW", f"-d '{url}'")
        environment = {"PATH": f"{server.bin_dir}:/usr/bin:/bin"}
        subprocess.run(["bash", "-ec", command], env=environment, check=True, capture_output=True)


def test_a_whole_database(
    rescue: Rescue, bench: PointBench, original: str, server18: Server, database18: str, tmp_path: Path
) -> None:
    rescue.restore(bench.root, "restore", "shop@latest", tmp_path / "to")
    done = rescue.run(tmp_path / "to", program="rescue_tables.py")
    assert done.returncode == 0, done.stderr
    assert "3 rows of public.every" in done.stdout
    assert "createdb -T template0 -E UTF8" in done.stdout
    load(done.stdout, tmp_path / "to", server18, database18)
    assert dumped(database18) == dumped(original)
    assert fetch_value(database18, "SELECT lo_get(5000)") == b"\x01\x02\xff"
    assert fetch_value(database18, "SELECT obj_description(5000, 'pg_largeobject')") == "it's large"
    assert fetch_value(database18, "SELECT n FROM app.mv") == 3
    assert fetch_value(database18, "SELECT nextval('app.used')") == 2


def test_of_a_damaged_table_the_other_rows(rescue: Rescue, bench: PointBench, tmp_path: Path) -> None:
    """A table of one row group is lost as a whole; the other tables are all there."""
    packs = sorted((bench.root / "packs").rglob("*/*"), key=lambda path: path.stat().st_size)
    packs[-1].write_bytes(flipped(packs[-1].read_bytes()))
    rescue.restore(bench.root, "restore", "shop@latest", tmp_path / "to", lost=True)
    (lost,) = json.loads((tmp_path / "to/lost.json").read_text())
    done = rescue.run(tmp_path / "to", program="rescue_tables.py")
    assert done.returncode == 3
    assert lost == "tables/public/many/00000.parquet"
    assert f"!! {lost}: 60,000 rows are lost." in done.stderr
    assert "!! public.many had 60,000 rows." in done.stderr
    assert "3 rows of public.every" in done.stdout
