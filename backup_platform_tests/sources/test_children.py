"""What programs that a backup starts know of it."""

from __future__ import annotations

import os
import sys

import pytest

from backup_platform.sources import children
from backup_platform.sources.postgres.connect.connections import tool_environment
from backup_platform.sources.postgres.tools import Tools, run_tool

SECRETS = {
    "PGSECRET": "x",
    "AWS_SECRET_ACCESS_KEY": "x",
    "DB_PASSWORD": "x",
    "LD_PRELOAD_": "x",
    "PYTHONPATH": "x",
}
NEEDED = {"PATH": os.environ["PATH"], "LC_MESSAGES": "C", "LANG": "C", "TMPDIR": "/tmp"}
OF_CLIENTS = {"HOME": "/home/x", "PGPASSWORD": "p", "PGSSLROOTCERT": "/x", "KRB5CCNAME": "y"}


@pytest.fixture(autouse=True)
def surroundings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (SECRETS | NEEDED | OF_CLIENTS).items():
        monkeypatch.setenv(name, value)


def test_a_program_gets_what_it_needs_by_name() -> None:
    plain, client = children.environment(), children.environment(client=True)
    assert plain.items() >= NEEDED.items()
    assert client.items() >= (NEEDED | OF_CLIENTS).items()
    assert not plain.keys() & OF_CLIENTS.keys()
    assert not client.keys() & SECRETS.keys()
    assert children.environment(MORE="1")["MORE"] == "1"


def test_that_is_all_that_it_gets() -> None:
    printed = [sys.executable, "-I", "-c", "import os; print(*os.environ)"]
    known = set(children.run(printed).stdout.decode().split())
    assert known - {"LC_CTYPE"} <= children.environment().keys()
    with children.start(printed, stdout=children.PIPE) as process:
        assert set(process.communicate()[0].decode().split()) == known


def test_a_tool_of_postgresql_knows_no_secret_of_the_plan(tmp_path: os.PathLike[str]) -> None:
    program = os.path.join(tmp_path, "psql")
    with open(program, "w", encoding="ascii") as file:
        file.write(f"#!{sys.executable} -IS\nimport os, sys\nprint(*os.environ, file=sys.stderr)\n")
    os.chmod(program, 0o755)
    tools = Tools(os.fspath(tmp_path), 180_000)
    with tool_environment("postgresql://u:secret@h/d") as environment:
        for given in (environment, None):
            known = set(run_tool(tools, "psql", [], given).split())
            assert not known & SECRETS.keys()
            assert ("PGPASSWORD" in known) == (given is None), "the file of passwords takes its place"
