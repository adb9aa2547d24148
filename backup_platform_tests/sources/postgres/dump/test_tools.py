"""Finding PostgreSQL's programs."""

from __future__ import annotations

import io
import os
from pathlib import Path

import pytest

from backup_platform.errors import SourceBusyError, SourceError
from backup_platform.sources.postgres import tools as finding
from backup_platform.sources.postgres.catalog.selection import Patterns
from backup_platform.sources.postgres.dump.pg_dump import describe_schema
from backup_platform.sources.postgres.tools import Tools, find_tools, read_tool, run_tool, tool_failure
from backup_platform_tests.sources.postgres.servers import debian


def installed(root: Path, version: str, *names: str) -> str:
    place = root / version / "bin"
    place.mkdir(parents=True)
    for name in names or ("pg_dump", "pg_dumpall", "pg_restore"):
        (place / name).write_text(f"#!/bin/sh\necho 'pg_dump (PostgreSQL) {version} (Debian)'\n")
        (place / name).chmod(0o755)
    return str(place)


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine on which nothing is found but what the test installs."""
    monkeypatch.setenv("PATH", os.defpath.replace("/usr/bin", str(tmp_path / "path")))
    monkeypatch.setattr(finding, "_PLACES", (str(tmp_path / "*" / "bin"),))
    monkeypatch.setattr("backup_platform.sources.postgres.tools.find_spec", lambda name: None)
    return tmp_path


def test_the_servers_own_version_is_preferred_and_then_the_oldest_that_is_newer(machine: Path) -> None:
    for version in ("14.9", "16.2", "18.6", "17.1"):
        installed(machine, version)
    assert find_tools(15, prefer=17).version == 170001
    assert find_tools(15, prefer=15).version == 160002
    assert find_tools(15).version == 160002
    assert find_tools(18).major == 18


def test_none_is_older_than_the_server(machine: Path) -> None:
    installed(machine, "14.9")
    with pytest.raises(
        SourceError, match=r"PostgreSQL 15 or newer on this machine; found: 14.9 in"
    ) as caught:
        find_tools(15)
    assert "postgresql-client-15" in caught.value.hint


def test_a_directory_of_the_plan_is_the_only_one(machine: Path) -> None:
    wanted = installed(machine / "mine", "16.1")
    installed(machine, "16.2")
    assert find_tools(15, bin_dir=wanted).bin_dir == wanted
    with pytest.raises(SourceError, match="in /nowhere"):
        find_tools(15, bin_dir="/nowhere")


def test_all_that_is_needed_must_be_there(machine: Path) -> None:
    installed(machine, "16.2", "pg_dump")
    newer = installed(machine, "17.1", "pg_dump", "initdb")
    assert find_tools(15, needs=("pg_dump", "initdb")).bin_dir == newer


def test_what_is_no_postgresql_is_passed_over(machine: Path) -> None:
    place = Path(installed(machine, "17.1"))
    (place / "pg_dump").write_text("#!/bin/sh\nexit 3\n")
    good = installed(machine, "18.6")
    assert find_tools(15).bin_dir == good


def test_real_programs_are_found_for_each_version() -> None:
    """Debian's, whichever it is, and the wheel's."""
    installed = [major for major in range(13, 19) if debian(major)]
    assert installed
    for major in {*installed, 18}:
        assert find_tools(major, prefer=major).major == major


def test_a_program_that_fails_says_why(tmp_path: Path) -> None:
    program = tmp_path / "pg_dump"
    program.write_text("#!/bin/sh\necho one >&2; echo 'could not obtain lock on x' >&2; echo line; exit 4\n")
    program.chmod(0o755)
    tools = Tools(str(tmp_path), 150000)
    with pytest.raises(SourceBusyError, match="exit code 4: one / could not obtain lock on x"):
        run_tool(tools, "pg_dump", [])
    lines = read_tool(tools, "pg_dump", [])
    assert next(lines) == b"line\n"
    with pytest.raises(SourceBusyError):
        next(lines)
    with pytest.raises(SourceError, match="cannot be run"):
        run_tool(tools, "absent", [])


@pytest.mark.parametrize(
    ("said", "retryable"),
    [
        ("server closed the connection unexpectedly", True),
        ("connection to server failed: FATAL: password authentication failed", False),
        ("ERROR: permission denied for table x", False),
        ("ERROR: syntax error", False),
        ("FATAL: the database system is shutting down", True),
    ],
)
def test_words_of_tools_decide_about_another_attempt(said: str, retryable: bool) -> None:
    assert tool_failure("pg_dump", 1, said).retryable is retryable
    assert tool_failure("pg_dump", -9, "").retryable


@pytest.mark.parametrize(
    ("pattern", "schema", "name", "matches"),
    [
        ("public.orders", "public", "orders", True),
        ("public.orders", "sales", "orders", False),
        ("orders", "sales", "orders", True),
        ("orders", "sales", "old_orders", False),
        ("ORDERS", "sales", "orders", False),
        ("sales.*", "sales", "a.b", True),
        ("*_old", "x", "t_old", True),
        ("t?", "x", "t1", True),
        ("t?", "x", "t12", False),
        ("[a]", "x", "a", False),
        ("a.b", "x", "a.b", False),
        ("x.a.b", "x", "a.b", True),
    ],
)
def test_patterns(pattern: str, schema: str, name: str, matches: bool) -> None:
    names = [(schema, name)]
    assert bool(Patterns(exclude=(pattern,)).reason_against(names)) is matches
    assert bool(Patterns(include=(pattern,)).reason_against(names)) is not matches
    assert Patterns(include=(pattern,), exclude=(pattern,)).reason_against(names)
    assert not Patterns().reason_against(names)


DUMP = b"""--
-- PostgreSQL database dump
--

\\restrict %s

SET default_tablespace = '';

--
-- Name: t; Type: TABLE; Schema: public; Owner: %s
--

CREATE TABLE public.t (
    a integer
);


%s--
-- PostgreSQL database dump complete
--

\\unrestrict %s
"""


def test_the_noise_of_a_dump_is_not_described() -> None:
    def described(*parts: bytes) -> list[tuple[str, str, str]]:
        return list(describe_schema(io.BytesIO(DUMP % parts)))

    usual = described(b"abc", b"me", b"", b"abc")
    assert [row[:2] for row in usual] == [("TABLE", "public.t")]
    assert described(b"xyz", b"me", b"\n\n", b"xyz") == usual
    assert described(b"abc", b"you", b"", b"abc") != usual
    assert described(b"abc", b"me", b"ALTER TABLE public.t SET LOGGED;\n", b"abc") != usual
