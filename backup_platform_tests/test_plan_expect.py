"""What a plan says of the contents of a source."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from backup_platform.domain.trust.suspicion import Demands
from backup_platform.wiring import demands_of
from backup_platform_tests.test_plan import HEAD, load, problems

DOCS = Path(__file__).parents[1] / "docs"


def demands(tmp_path: Path, text: str) -> Demands:
    return demands_of(load(tmp_path, f"{HEAD}  a: {{every: day, {text}}}\n").sources["a"])


def test_without_a_word_nothing_is_expected_and_half_may_be_lost(tmp_path: Path) -> None:
    assert demands(tmp_path, "files: /a") == Demands(shrink=0.5)


def test_what_is_expected_of_a_tree_and_of_a_database(tmp_path: Path) -> None:
    tree = demands(tmp_path, 'files: /a, expect: {files: 100, bytes: 1.5 GB, paths: [.mounted, "a b/c"]}')
    assert tree == Demands(files=100, bytes=1_500_000_000, paths=(".mounted", "a b/c"))
    assert demands(
        tmp_path, "sqlite: /a, shrink: 80%, allow_empty: [jobs, s.*], expect: {tables: [o], rows: {o: 5}}"
    ) == Demands(shrink=0.8, may_be_empty=("jobs", "s.*"), tables=("o",), rows={"o": 5})
    assert demands(tmp_path, "files: /a, allow_empty: true, expect: {bytes: 7}") == Demands(
        allow_empty=True, bytes=7
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("files: /a, expect: {}", ""),
        (
            "files: /a, expect: {files: 0}",
            "expects nothing: give at least one of files, bytes, paths, tables, rows",
        ),
        ("files: /a, expect: {fils: 1}", 'unknown key "fils"; did you mean "files"?'),
        ("files: /a, expect: {files: many}", "must be a"),
        (
            "files: /a, expect: {bytes: 1 gigabyte}",
            '"1 gigabyte" is not a size; write one like "500MB" or "1GB"',
        ),
        ("files: /a, expect: {bytes: -1}", '"-1" is not a size'),
        ("files: /a, expect: {paths: [/etc/passwd]}", '"/etc/passwd" is not a path inside the source'),
        ("files: /a, expect: {paths: [a/../b]}", "is not a path inside"),
        (
            "files: /a, expect: {tables: [orders]}",
            "`expect`: `tables` belongs to sources with `postgres` or `sqlite`, not with `files`",
        ),
        ("sqlite: /a, expect: {paths: [a]}", "`expect`: `paths` belongs to sources with `files`"),
        ("sqlite: /a, expect: {rows: {o: 0}}", "1"),
        ("sqlite: /a, expect: {tables: [a.b.c]}", "not a pattern of tables"),
        (
            "files: /a, allow_empty: [jobs]",
            "a list of tables belongs to sources with `postgres` or `sqlite`; with `files` write",
        ),
        ("sqlite: /a, allow_empty: sometimes", "says which may be empty: true, or a list of tables"),
        ("sqlite: /a, allow_empty: [a.b.c]", "not a pattern of tables"),
        ("files: /a, shrink: 2", "2"),
        ("files: /a, shrink: 120%", "is not a percentage"),
    ],
)
def test_mistakes(tmp_path: Path, text: str, message: str) -> None:
    if not message:
        assert load(tmp_path, f"{HEAD}  a: {{every: day, {text}}}\n").sources
        return
    (found,) = problems(
        tmp_path, f"{HEAD}  a:\n    every: day\n    {text.replace(', ', chr(10) + '    ', 1)}\n"
    )
    assert message in found
    assert found[0] in "56", "its line"


def test_the_example_of_the_documentation(tmp_path: Path) -> None:
    page = (DOCS / "plan.md").read_text().partition("## What a source must hold")[2]
    example = re.search(r"```yaml\n(.*?)```", page, re.DOTALL)
    assert example is not None
    plan = load(tmp_path, "repository: {path: /r}\n" + re.sub(r" #.*", "", example[1]))
    assert demands_of(plan.sources["uploads"]).paths == (".mounted", "invoices")
    assert demands_of(plan.sources["shop"]).rows == {"orders": 1000, "public.events_*": 1}
