"""Advice that can be pasted: a command is written out, so that the plan and the repository in use can be added."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import backup_platform
from backup_platform.cli.context import Session
from backup_platform.cli.verbs import GROUPS, VERBS
from backup_platform_tests.cli.fake import FakeApp

PACKAGE = Path(backup_platform.__file__).parent
SHORT = re.compile(rf"`({'|'.join([*VERBS, *GROUPS])})(?![\w-])")


def advice() -> Iterator[tuple[str, str]]:
    """Every text that is given as a hint, with where it stands."""
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.keyword) and node.arg == "hint":
                for part in ast.walk(node.value):
                    if isinstance(part, ast.Constant) and isinstance(part.value, str):
                        yield f"{path.relative_to(PACKAGE)}:{part.lineno}", part.value


def test_commands_in_hints_are_written_out() -> None:
    found = list(advice())
    assert len(found) > 200
    assert not [each for each in found if SHORT.search(each[1])]


def session(*repositories: str, named: str | None = None, plan: str | None = None) -> Session:
    made = Session()
    made._app = FakeApp(repositories=repositories)  # type: ignore[assignment]
    made.repository, made.plan = named, plan
    return made


def test_a_command_gets_the_plan_and_the_repository() -> None:
    used = session("main", "offsite", named="offsite", plan="a plan.yaml")
    text = "Run `backup-platform verify`, then `backup-platform --repository main copy`; `lock` is a key."
    whole = used.pasteable(text)
    assert whole == (
        "Run `backup-platform --plan 'a plan.yaml' --repository offsite verify`, then "
        "`backup-platform --plan 'a plan.yaml' --repository main copy`; `lock` is a key."
    )
    assert used.pasteable(whole) == whole
    assert session("main").pasteable(text) == text


def test_a_command_about_another_place_is_meant_for_that() -> None:
    used = session("main", "main/b", "c")
    for place, option in {
        "/main": "",
        "/main: is away": "",
        "/main/b is away": "--repository main/b ",
        "/main/b/packs is away": "--repository main/b ",
        "/c.": "--repository c ",
        "/cc is away": "",
        "": "",
    }.items():
        assert used.pasteable("`backup-platform verify`", place) == f"`backup-platform {option}verify`"
