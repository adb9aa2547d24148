"""The schema of a restored database is right if it is what PostgreSQL itself makes of the stored one, and not else."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from backup_platform.clock import SystemClock
from backup_platform.sources.postgres.contents import PointContents, read_contents
from backup_platform.sources.postgres.drill.schema import compare_schema
from backup_platform.sources.postgres.drill.scratch import PREFIX, Scratch
from backup_platform.sources.tabular.findings import Findings
from backup_platform_tests.sources.postgres.drill.drill_support import captured
from backup_platform_tests.sources.postgres.points import Streams, capture_by_hand
from backup_platform_tests.sources.postgres.restore.restore_support import restore
from backup_platform_tests.sources.postgres.servers import Server, execute, fetch, fetch_value

# Each prints in one way where it was made, and in another where what was printed is read.
UNSTABLE = (
    "CREATE DOMAIN state AS varchar(10) CHECK (VALUE IN ('new', 'paid'))",
    "CREATE TABLE orders (id int PRIMARY KEY, status varchar(10) CHECK (status IN ('new', 'paid')), n int DEFAULT 7,"
    " late bool GENERATED ALWAYS AS (status NOT IN ('new', 'paid')) STORED,"
    " EXCLUDE USING btree (n WITH =) WHERE (status IN ('a', 'b')))",
    "CREATE INDEX orders_open ON orders (id) WHERE status IN ('new', 'paid')",
    "CREATE INDEX orders_is ON orders ((status IN ('new', 'paid')))",
    "CREATE STATISTICS orders_s ON n, (status IN ('new', 'paid')) FROM orders",
    "CREATE VIEW v AS SELECT id FROM orders WHERE status IN ('new', 'paid')",
    "CREATE MATERIALIZED VIEW mv AS SELECT id FROM orders WHERE status IN ('new', 'paid')",
    "CREATE RULE r AS ON DELETE TO orders WHERE old.status IN ('new', 'paid') DO INSTEAD NOTHING",
    "ALTER TABLE orders ENABLE ROW LEVEL SECURITY",
    "CREATE POLICY p ON orders USING (status IN ('new', 'paid'))",
    "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN new; END'",
    "CREATE TRIGGER t BEFORE INSERT ON orders FOR EACH ROW WHEN (new.status IN ('new', 'paid')) EXECUTE FUNCTION f()",
    "CREATE FUNCTION g(s varchar) RETURNS bool LANGUAGE sql RETURN s IN ('new', 'paid')",
    "CREATE TABLE flag (s varchar(9), b bool DEFAULT ('new'::varchar(9) IN ('new', 'paid')), n int DEFAULT 7)",
    "CREATE TABLE parts (s varchar(9), n int) PARTITION BY LIST ((s IN ('new', 'paid')))",
    "CREATE TABLE part PARTITION OF parts FOR VALUES IN (true)",
    "CREATE PUBLICATION pub FOR TABLE orders WHERE (id IN (1, 2))",
    "CREATE TABLE parent (id int)",
    "CREATE TABLE child (extra text) INHERITS (parent)",
    "ALTER TABLE parent ADD COLUMN note text DEFAULT 'x'",
    "INSERT INTO orders (id, status, n) VALUES (1, 'new', 1), (2, 'paid', 2)",
    "INSERT INTO child VALUES (1, 'x', 'n')",
)


def test_definitions_that_change_when_they_are_read_pass(
    server: Server, database: str, open_tmp: Path
) -> None:
    execute(database, *UNSTABLE)
    report = captured(database, open_tmp).drill()
    assert report.differences == ()
    assert (report.compared["schema"], report.compared["schema_restored_again"]) == ("definitions", True)


@pytest.fixture(scope="module")
def stored(server18: Server) -> Iterator[Streams]:
    with server18.database() as original:
        execute(original, *UNSTABLE)
        yield capture_by_hand(original, server18.bin_dir)


def compared(contents: PointContents, server: Server, url: str, directory: Path) -> Findings:
    version = fetch_value(url, "SELECT current_setting('server_version_num')::int")
    target = Scratch(url, server.url(), "the server", version, private=False)
    return compare_schema(contents, target, server.bin_dir, str(directory), SystemClock())


CHANGES = (
    ("ALTER TABLE orders DROP CONSTRAINT orders_status_check", ""),
    (
        "ALTER TABLE orders ADD CONSTRAINT orders_status_check CHECK (status IN ('new', 'sold'))",
        "TABLE public.orders",
    ),
    ("ALTER TABLE flag ALTER n DROP DEFAULT", "TABLE public.flag differs"),
    ("DROP INDEX orders_is", "INDEX public.orders_is is missing"),
    ("DROP INDEX orders_open", ""),
    (
        "CREATE INDEX orders_open ON orders (id) WHERE status IN ('new', 'sold')",
        "INDEX public.orders_open differs",
    ),
    ("DROP POLICY p ON orders", ""),
    ("CREATE POLICY p ON orders USING (status IN ('new', 'sold'))", "POLICY public.orders p differs"),
    ("DROP TRIGGER t ON orders", "TRIGGER public.orders t is missing"),
    ("CREATE OR REPLACE VIEW v AS SELECT id FROM orders WHERE status IN ('sold')", "VIEW public.v differs"),
    ("ALTER PUBLICATION pub SET TABLE orders", "PUBLICATION TABLE public.pub orders differs"),
    ("DROP TABLE child", ""),
    ("CREATE TABLE child (extra text, id int, note text DEFAULT 'x')", ""),
    ("ALTER TABLE child INHERIT parent", "TABLE public.child differs"),
    ("DROP STATISTICS orders_s", "STATISTICS public.orders_s is missing"),
    ("CREATE INDEX one_more ON orders (n)", "INDEX public.one_more is in the restored database only"),
)


def test_what_is_lost_or_changed_in_a_restore_is_found(
    stored: Streams, server18: Server, database18: str, tmp_path: Path
) -> None:
    restore(stored, database18, schema_only=True)
    contents = read_contents(stored)
    assert compared(contents, server18, database18, tmp_path).differences == []
    execute(database18, *(statement for statement, _ in CHANGES))
    found = compared(contents, server18, database18, tmp_path).differences
    for _, wanted in CHANGES:
        assert any(wanted in difference for difference in found), (wanted, found)


def test_what_the_comparison_made_is_gone(
    stored: Streams, server18: Server, database18: str, tmp_path: Path
) -> None:
    restore(stored, database18, schema_only=True)
    compared(read_contents(stored), server18, database18, tmp_path)
    assert [
        name for (name,) in fetch(server18.url(), "SELECT datname FROM pg_database") if PREFIX in name
    ] == []
    assert list(tmp_path.iterdir()) == []
