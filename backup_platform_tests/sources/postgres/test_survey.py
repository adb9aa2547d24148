"""The databases of a server that are in no source, and what the source of one leaves out. Against real servers."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from backup_platform.domain.coverage import CoverageGap, PlaceCoverage
from backup_platform.sources.postgres import survey
from backup_platform.sources.postgres.connect.connections import connect
from backup_platform.sources.postgres.survey import _ServerIdentity, other_database
from backup_platform_tests.actions.coverage_support import look
from backup_platform_tests.sources.postgres.servers import (
    SECRET,
    Server,
    embedded_18,
    execute,
    postgres_15,
    running,
)

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


@pytest.fixture(scope="module")
def server15() -> Iterator[Server]:
    """Of these tests alone: the databases of other tests would be findings."""
    with running(postgres_15()) as server:
        yield server


@pytest.fixture(scope="module")
def server18() -> Iterator[Server]:
    with running(embedded_18()) as server:
        yield server


@pytest.fixture
def shop(database: str) -> Iterator[str]:
    """URL of a database in a source, beside which is one that is in none."""
    execute(database, "CREATE DATABASE other_one")
    yield database
    execute(database, "DROP DATABASE other_one")


def looked(tmp_path: Path, place: str, *sources: str) -> PlaceCoverage:
    lines = "".join(f"  s{number}: {{{each}, every: day}}\n" for number, each in enumerate(sources))
    [found] = look(tmp_path, f"sources:\n{lines}coverage: {{place: {{{place}}}}}\n").places
    return found


def named(found: PlaceCoverage) -> list[str]:
    assert all(each.gap is CoverageGap.UNPROTECTED for each in found.findings), found.findings
    return [each.name for each in found.findings]


class TestDatabases:
    def test_one_that_is_in_no_source_is_found(self, shop: str, tmp_path: Path) -> None:
        found = looked(tmp_path, f'postgres: "{shop}"', f'postgres: "{shop}"')
        assert named(found) == ["other_one"]
        assert (found.seen, found.protected) == (2, 1)
        assert found.title.startswith("PostgreSQL on local port ")
        execute(shop, "CREATE DATABASE newer_one")
        try:
            assert named(looked(tmp_path, "beside: s0", f'postgres: "{shop}"')) == ["newer_one", "other_one"]
        finally:
            execute(shop, "DROP DATABASE newer_one")

    def test_the_same_server_by_another_name_is_the_same(
        self, server18: Server, database18: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Over TCP as another role, whose password is a secret; the source is reached over the socket."""
        monkeypatch.setenv("SURVEY_PASSWORD", SECRET)
        place = (
            f'postgres: "postgresql://keeper@127.0.0.1:{server18.port}/postgres", '
            'password: "${env:SURVEY_PASSWORD}"'
        )
        found = looked(tmp_path, place, f'postgres: "{database18}"')
        assert (named(found), found.seen) == ([], 1)
        execute(database18, "CREATE DATABASE other_one")
        try:
            [finding] = looked(tmp_path, place, f'postgres: "{database18}"').findings
        finally:
            execute(database18, "DROP DATABASE other_one")
        assert finding.settings == {
            "postgres": f"postgresql://keeper@127.0.0.1:{server18.port}/other_one",
            "password": "${env:SURVEY_PASSWORD}",
        }
        assert SECRET not in repr(finding)

    def test_a_database_of_one_name_on_another_server_is_another(
        self, server15: Server, server18: Server, tmp_path: Path
    ) -> None:
        for server in (server15, server18):
            execute(server.url(), "CREATE DATABASE twin")
        try:
            found = looked(tmp_path, f'postgres: "{server18.url()}"', f'postgres: "{server15.url("twin")}"')
        finally:
            for server in (server15, server18):
                execute(server.url(), "DROP DATABASE twin")
        assert named(found) == ["twin"]

    def test_the_maintenance_database_is_one_when_it_holds_something(
        self, server18: Server, database18: str, tmp_path: Path
    ) -> None:
        assert named(looked(tmp_path, "beside: s0", f'postgres: "{database18}"')) == []
        execute(server18.url(), "CREATE TABLE somebody_s (n int)")
        try:
            assert named(looked(tmp_path, "beside: s0", f'postgres: "{database18}"')) == ["postgres"]
        finally:
            execute(server18.url(), "DROP TABLE somebody_s")

    def test_templates_of_users_are_data(self, database18: str, tmp_path: Path) -> None:
        execute(database18, "CREATE DATABASE pattern IS_TEMPLATE true ALLOW_CONNECTIONS false")
        try:
            assert named(looked(tmp_path, "beside: s0", f'postgres: "{database18}"')) == ["pattern"]
        finally:
            execute(database18, "ALTER DATABASE pattern IS_TEMPLATE false", "DROP DATABASE pattern")

    def test_names_of_every_sort(self, database18: str, tmp_path: Path) -> None:
        for name in ('a b"c', "ä%/?#x", "${env:X}"):
            quoted = name.replace('"', '""')
            execute(database18, f'CREATE DATABASE "{quoted}"')
            try:
                found = looked(tmp_path, "beside: s0", f'postgres: "{database18}"')
                assert named(found) == [name]
                url = found.findings[0].settings["postgres"]
                assert (
                    named(looked(tmp_path, "beside: s0", f'postgres: "{database18}"', f'postgres: "{url}"'))
                    == []
                )
            finally:
                execute(database18, f'DROP DATABASE "{quoted}"')

    def test_a_source_that_cannot_be_asked_protects_nothing_and_is_named(
        self, shop: str, tmp_path: Path
    ) -> None:
        away = 'postgres: "postgresql://127.0.0.1:1/other_one"'
        [finding] = looked(tmp_path, f'postgres: "{shop}"', f'postgres: "{shop}"', away).findings
        assert "the source s1 cannot be asked for its server" in finding.text
        unknown = 'postgres: "postgresql://db/other_one", password: "${env:NOT_SET_HERE}"'
        [finding] = looked(tmp_path, f'postgres: "{shop}"', f'postgres: "{shop}"', unknown).findings
        assert "NOT_SET_HERE" in finding.text

    def test_a_dead_server_of_many_sources_is_asked_once(
        self, shop: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Each time it may take as long as a connection may take."""
        asked: list[str] = []

        def counted(url: str, **parameters: Any) -> Any:
            asked.append(url)
            return connect(url, **parameters)

        monkeypatch.setattr(survey, "connect", counted)
        dead = [f'postgres: "postgresql://127.0.0.1:1/n{number}"' for number in range(5)]
        [finding] = looked(tmp_path, f'postgres: "{shop}"', f'postgres: "{shop}"', *dead).findings
        assert finding.text.count("cannot be asked") == 5
        assert len([url for url in asked if "127.0.0.1:1" in url]) == 1
        missing = [f'postgres: "{other_database(shop, name)}"' for name in ("none_1", "none_2")]
        asked.clear()
        looked(tmp_path, f'postgres: "{shop}"', *missing, f'postgres: "{shop}"')
        assert len([url for url in asked if "none_" in url]) == 2, (
            "the server answers, and the next may be there"
        )

    def test_a_server_that_does_not_say_who_it_is(
        self, server18: Server, database18: str, tmp_path: Path
    ) -> None:
        """Every role may ask, unless somebody took that away."""
        execute(database18, "CREATE ROLE asking LOGIN", "CREATE DATABASE other_one")
        revoked = "REVOKE EXECUTE ON FUNCTION pg_control_system() FROM public"
        execute(server18.url(), revoked)
        try:
            url = server18.url("postgres", user="asking")
            [place] = looked(tmp_path, f'postgres: "{url}"', f'postgres: "{database18}"').findings
            execute(database18, revoked)
            asking = database18.replace("postgres@", "asking@")
            found = looked(tmp_path, f'postgres: "{database18}"', f'postgres: "{asking}"')
        finally:
            execute(server18.url(), "GRANT EXECUTE ON FUNCTION pg_control_system() TO public")
            execute(database18, "DROP DATABASE other_one")
        assert place.gap is CoverageGap.NOT_LOOKED
        assert "pg_control_system" in place.text
        assert "defect" not in str(place.advice)
        assert len(named(found)) == 2
        assert "the source s0 cannot be asked for its server" in found.findings[0].text

    def test_a_server_that_is_away_is_not_empty(self, database18: str, tmp_path: Path) -> None:
        [finding] = looked(
            tmp_path, 'postgres: "postgresql://127.0.0.1:1/x"', f'postgres: "{database18}"'
        ).findings
        assert finding.gap is CoverageGap.NOT_LOOKED
        assert finding.advice


class TestTables:
    def test_what_a_source_leaves_out_has_its_reason(self, database: str, tmp_path: Path) -> None:
        execute(
            database,
            "CREATE SCHEMA audit",
            "CREATE TABLE audit.log (n int)",
            "CREATE TABLE orders (n int)",
            "CREATE UNLOGGED TABLE jobs (n int)",
        )
        assert named(looked(tmp_path, "inside: s0", f'postgres: "{database}"')) == []
        found = looked(
            tmp_path, "inside: s0", f'postgres: "{database}", exclude: ["audit.*"], unlogged: false'
        )
        assert [each.text for each in found.findings] == [
            "table 'audit.log' of the source s0 is not stored "
            "(excluded by 'audit.*': only its definition is stored)",
            "unlogged table 'public.jobs' of the source s0 is not stored (unlogged: only its definition is stored)",
        ]
        assert (found.seen, found.protected) == (3, 1)
        assert all(each.as_source == "" and each.as_exception for each in found.findings)

    def test_a_new_table_that_a_pattern_leaves_out_is_found(self, database18: str, tmp_path: Path) -> None:
        execute(database18, "CREATE TABLE orders (n int)")
        source = f'postgres: "{database18}", include: [orders]'
        assert named(looked(tmp_path, "inside: s0", source)) == []
        execute(database18, "CREATE TABLE payments (n int)")
        assert named(looked(tmp_path, "inside: s0", source)) == ["public.payments"]
        excepted = "inside: s0, except: {public.payments: the bank has them}"
        assert named(looked(tmp_path, excepted, source)) == []

    def test_large_objects(self, database18: str, tmp_path: Path) -> None:
        source = f'postgres: "{database18}", large_objects: false'
        assert named(looked(tmp_path, "inside: s0", source)) == []
        execute(database18, "SELECT lo_from_bytea(0, 'x')")
        assert len(named(looked(tmp_path, "inside: s0", source))) == 1

    def test_what_an_extension_makes_itself_is_no_finding(self, database18: str, tmp_path: Path) -> None:
        execute(database18, "CREATE TABLE made (n int)", "ALTER EXTENSION plpgsql ADD TABLE made")
        assert named(looked(tmp_path, "inside: s0", f'postgres: "{database18}"')) == []


class TestIdentity:
    """Which server it is does not depend on the names that lead to it."""

    here = _ServerIdentity(1, NOON, False, 3, "a")

    def test_what_is_the_same(self) -> None:
        assert self.here.is_same(self.here._replace(database="b"))
        later = NOON + timedelta(hours=1)
        standby = self.here._replace(standby=True, started=later)
        assert self.here.is_same(standby)
        assert standby.is_same(self.here)

    def test_what_is_not(self) -> None:
        """A cluster that was copied has the number of the first, and was started at another time."""
        later = NOON + timedelta(hours=1)
        assert not self.here.is_same(self.here._replace(system=2))
        assert not self.here.is_same(self.here._replace(started=later))
        assert not self.here.is_same(self.here._replace(started=later, standby=True, timeline=2))


@pytest.mark.parametrize(
    ("url", "other"),
    [
        ("postgresql://u@h:5433/shop?sslmode=require", "postgresql://u@h:5433/x%2Fy?sslmode=require"),
        ("postgresql://h1:1,h2:2/shop", "postgresql://h1:1,h2:2/x%2Fy"),
        ("postgresql://h", "postgresql://h/x%2Fy"),
        ("postgres://[::1]:5/a?dbname=b&port=5", "postgres://[::1]:5/x%2Fy?port=5"),
        ("postgresql:///?service=shop", "postgresql:///x%2Fy?service=shop"),
        ("postgresql://@/a?host=%2Frun", "postgresql://@/x%2Fy?host=%2Frun"),
        ("postgresql://${env:USER}@h/a", "postgresql://${env:USER}@h/x%2Fy"),
        ("postgresql://h/${env:NAME}", "postgresql://h/x%2Fy"),
        ("${env:URL}", "postgresql://USER@HOST/x%2Fy"),
    ],
)
def test_the_url_of_another_database(url: str, other: str) -> None:
    assert other_database(url, "x/y") == other
