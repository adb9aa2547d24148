"""Roles that may not read everything: named before anything is read, or said in the recovery point."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import quote

import pytest

from backup_platform.domain.model import Status
from backup_platform.errors import SourceError
from backup_platform_tests.sources.postgres.capture_support import Captured, capture
from backup_platform_tests.sources.postgres.servers import Server, execute

TABLES = (
    "CREATE ROLE plain LOGIN",
    "CREATE TABLE ours AS SELECT 1 AS x",
    "CREATE TABLE theirs AS SELECT 2 AS x",
    "CREATE SEQUENCE counter",
    "GRANT SELECT ON ours TO plain",
    "GRANT USAGE ON SCHEMA public TO plain",
)


@pytest.fixture
def as_plain(database: str) -> Callable[..., Captured]:
    execute(database, *TABLES)

    def run(**options: object) -> Captured:
        return capture(database.replace("postgres@", "plain@", 1), **options)  # type: ignore[arg-type]

    return run


def test_what_may_not_be_read_makes_the_point_incomplete(as_plain: Callable[..., Captured]) -> None:
    found = as_plain()
    assert found.capture.incomplete
    problems = {problem.path: problem for problem in found.capture.problems}
    assert set(problems) == {"public.counter", "public.theirs"}
    assert {problem.status for problem in problems.values()} == {Status.UNREADABLE}
    assert "neither its rows nor its definition" in problems["public.theirs"].detail
    assert "its value is not stored" in problems["public.counter"].detail
    assert "pg_read_all_data" in problems["public.theirs"].detail
    assert "exclude it in the plan" in problems["public.theirs"].detail
    assert found.facts["row_counts"] == {"public.ours": 1}
    assert set(found.left_out) == {"public.counter", "public.theirs"}


def test_only_the_first_five_are_listed(database18: str) -> None:
    execute(database18, "CREATE ROLE plain LOGIN", *(f"CREATE TABLE t{n} ()" for n in range(9)))
    with pytest.raises(SourceError, match=r"public\.t0, .*public\.t4 and 4 more"):
        capture(database18.replace("postgres@", "plain@", 1))


def test_a_closed_schema_counts_as_unreadable(database18: str) -> None:
    execute(database18, "CREATE ROLE plain LOGIN", "CREATE SCHEMA closed", "CREATE TABLE closed.t ()")
    execute(database18, "GRANT SELECT ON closed.t TO plain")
    with pytest.raises(SourceError, match=r"closed\.t"):
        capture(database18.replace("postgres@", "plain@", 1))


def test_without_the_passwords_of_roles_there_is_a_warning(
    database: str, as_plain: Callable[..., Captured]
) -> None:
    execute(database, "GRANT SELECT ON theirs, counter TO plain")
    found = as_plain()
    assert found.facts["row_counts"] == {"public.ours": 1, "public.theirs": 1}
    assert found.facts["warnings"] == [
        "The passwords of roles are not stored: this role may not read them (pg_authid)."
    ]
    assert not found.capture.incomplete
    assert not found.capture.problems
    assert b"CREATE ROLE plain" in found.recorder.content("globals.sql")


def test_a_reader_of_everything_needs_no_more(database: str, as_plain: Callable[..., Captured]) -> None:
    execute(database, "GRANT pg_read_all_data TO plain")
    found = as_plain()
    assert found.facts["row_counts"] == {"public.ours": 1, "public.theirs": 1}
    assert found.facts["warnings"] == []


def test_passwords_of_roles_are_stored_where_they_may_be_read(server18: Server, database18: str) -> None:
    execute(database18, "CREATE ROLE secretive PASSWORD 'x'")
    found = capture(database18)
    assert found.facts["warnings"] == []
    assert b"SCRAM-SHA-256" in found.recorder.content("globals.sql")


def test_an_excluded_table_that_may_not_be_read_loses_its_definition_and_says_so(
    database: str, as_plain: Callable[..., Captured]
) -> None:
    execute(database, "GRANT SELECT ON counter TO plain")
    found = as_plain(exclude=("theirs",))
    assert found.facts["row_counts"] == {"public.ours": 1}
    assert "its definition is not stored either" in found.left_out["public.theirs"]
    names = {(each["type"], each["name"]) for each in found.facts["schema"]}
    assert ("TABLE", "public.ours") in names
    assert ("TABLE", "public.theirs") not in names


def test_row_security_makes_the_point_incomplete(database: str, as_plain: Callable[..., Captured]) -> None:
    execute(
        database,
        "GRANT pg_read_all_data TO plain",
        "ALTER TABLE theirs ENABLE ROW LEVEL SECURITY",
        "CREATE POLICY p ON theirs TO plain USING (x > 5)",
    )
    found = as_plain()
    (problem,) = found.capture.problems
    assert problem.path == "public.theirs"
    assert "row security would hide rows" in problem.detail
    assert "BYPASSRLS" in problem.detail
    assert found.capture.incomplete
    assert found.facts["row_counts"] == {"public.ours": 1}
    assert ("TABLE", "public.theirs") in {(each["type"], each["name"]) for each in found.facts["schema"]}
    execute(database, "ALTER ROLE plain BYPASSRLS")
    assert as_plain().facts["rows"] == 2


def test_large_objects_of_others_are_named(database: str, as_plain: Callable[..., Captured]) -> None:
    execute(
        database,
        "GRANT SELECT ON theirs, counter TO plain",
        "SELECT lo_from_bytea(77, 'x')",
        "SELECT lo_from_bytea(78, 'y')",
        "GRANT SELECT ON LARGE OBJECT 77 TO PUBLIC",
    )
    found = as_plain()
    (problem,) = found.capture.problems
    assert found.capture.incomplete
    assert "may not read 1 of 2, the first is 78" in problem.detail
    assert "large_objects: false" in problem.detail
    assert [each.oid for each in found.database.large_objects] == [77]
    assert found.facts["large_objects"] == 1
    assert not as_plain(large_objects=False).capture.incomplete
    execute(database, "GRANT SELECT ON LARGE OBJECT 78 TO plain")
    assert as_plain().facts["large_objects"] == 2


def test_a_role_without_a_right_to_connect_is_told_what_to_check(server18: Server) -> None:
    with server18.database() as url:
        name = url.split("@/")[1].split("?")[0]
        execute(url, "CREATE ROLE plain LOGIN", f"REVOKE CONNECT ON DATABASE {name} FROM PUBLIC")
        with pytest.raises(SourceError, match="denied access") as caught:
            capture(url.replace("postgres@", f"{quote('plain')}@", 1))
        assert not caught.value.retryable
