"""`diff --table` over a real repository."""

from __future__ import annotations

from pathlib import Path

import pytest

from backup_platform.cli import context
from backup_platform_tests.actions.tables_support import Relation, rows_table, store_tables, tables_bench
from backup_platform_tests.cli.conftest import Cli
from backup_platform_tests.cli.tables_support import tables_app


@pytest.fixture
def points(cli: Cli, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> tuple[str, str]:
    bench = tables_bench(tmp_path / "repository")
    monkeypatch.setattr(context, "app_factory", lambda plan: tables_app(bench))
    before = rows_table(id=[1, 2, 3], what=["tea", None, "x"], gone=[0, 0, 0])
    after = rows_table(id=[1, 2, 4], what=["tea\n", None, "y"])
    logs = [Relation("public", "log", [rows_table(m=messages)]) for messages in (["a"], ["a", "a", "a"])]
    first = store_tables(bench, Relation("public", "t", [before], ("id",)), logs[0])
    return first.id, store_tables(bench, Relation("public", "t", [after], ("id",)), logs[1]).id


def test_rows_by_key(cli: Cli, points: tuple[str, str]) -> None:
    ran = cli("diff", *points, "--table", "t")
    assert ran.code == 0
    assert ran.out.splitlines() == [
        "M id=1  what: 'tea' -> 'tea\\n'",
        "- id=3  what='x'",
        "+ id=4  what='y'",
        "1 added, 1 removed, 1 changed",
        "changed columns: what 1",
        "columns removed: gone",
    ]


def test_the_first_rows_and_all_counts(cli: Cli, points: tuple[str, str]) -> None:
    lines = cli("diff", *points, "--table", "t", "--limit", "1").out.splitlines()
    assert lines[:2] == ["M id=1  what: 'tea' -> 'tea\\n'", "and 2 more rows"]
    document = cli("diff", *points, "--table", "public.t", "--limit", "1", "--json").document
    assert (document["a"], document["b"]) == points
    assert [document[name] for name in ("table", "key", "added", "removed", "changed")] == [
        "public.t",
        ["id"],
        1,
        1,
        1,
    ]
    assert document["changed_columns"] == {"what": 1}
    assert document["columns_removed"] == ["gone"]
    (row,) = document["rows"]
    assert row == {
        "change": "changed",
        "count": 1,
        "before": {"id": 1, "what": "tea"},
        "after": {"id": 1, "what": "tea\n"},
        "columns": ["what"],
    }


def test_rows_as_a_whole(cli: Cli, points: tuple[str, str]) -> None:
    assert cli("diff", *points, "--table", "log").out.splitlines() == [
        "+ m='a'  (2 times)",
        "2 added (compared as whole rows: no primary key)",
    ]


def test_no_differences(cli: Cli, points: tuple[str, str]) -> None:
    assert cli("diff", points[0], points[0], "--table", "t").out == "No differences.\n"


def test_wrong_use(cli: Cli, points: tuple[str, str]) -> None:
    assert cli("diff", *points, "--table", "nope").code == 11
    assert cli("diff", *points, "--limit", "3").code == 2
    assert cli("diff", *points, "--table", "t", "--limit", "x").code == 2
