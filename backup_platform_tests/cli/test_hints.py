"""Advice that can be pasted: a command is data, and gets the plan and the repository that it is about."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import backup_platform
from backup_platform.advice import command
from backup_platform.cli.context import CliSession
from backup_platform.cli.verbs import GROUPS, VERBS
from backup_platform.errors import StoreError
from backup_platform_tests.cli.fake import FakeApp

PACKAGE = Path(backup_platform.__file__).parent
SHORT = re.compile(rf"`({'|'.join([*VERBS, *GROUPS])})(?![\w-])")


def texts(tree: ast.AST) -> Iterator[ast.Constant]:
    """Every text but docstrings, which are also the help of the command line."""
    documentation = {
        id(first.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)
        and isinstance(first := next(iter(node.body), None), ast.Expr)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in documentation:
            yield node


def hints(tree: ast.AST) -> Iterator[ast.Constant]:
    for node in ast.walk(tree):
        if isinstance(node, ast.keyword) and node.arg == "hint":
            yield from texts(node.value)


def found(pick: str) -> list[tuple[str, str]]:
    every = []
    for path in sorted(PACKAGE.rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for node in (hints if pick == "hints" else texts)(tree):
            every.append((f"{path.relative_to(PACKAGE)}:{node.lineno}", str(node.value)))
    return every


def test_commands_in_hints_are_written_out() -> None:
    assert len(found("hints")) > 200
    assert not [each for each in found("hints") if SHORT.search(each[1])]


def test_commands_are_data_and_not_text() -> None:
    """In a text nobody could add the plan and the repository."""
    assert not [each for each in found("texts") if "`backup-platform " in each[1]]


def session(*repositories: str, named: str | None = None, plan: str | None = None) -> CliSession:
    made = CliSession()
    made._app = FakeApp(repositories=repositories)
    made.repository, made.plan = named, plan
    return made


def test_a_command_gets_the_plan_and_the_repository() -> None:
    used = session("main", "offsite", named="offsite", plan="a plan.yaml")
    hint = ("Run ", command("verify"), ", then ", command("copy", repository="main"), "; `lock` is a key.")
    assert used.written(hint) == (
        "Run `backup-platform --plan 'a plan.yaml' --repository offsite verify`, then "
        "`backup-platform --plan 'a plan.yaml' --repository main copy`; `lock` is a key."
    )
    assert session("main").written(("Run ", command("verify"), ".")) == "Run `backup-platform verify`."


@pytest.mark.parametrize(
    ("about", "option"),
    [("", "--repository c "), ("main", ""), ("main/b", "--repository main/b "), ("c", "--repository c ")],
)
def test_a_command_about_another_repository_is_meant_for_that(about: str, option: str) -> None:
    used = session("main", "main/b", "c", named="c")
    assert used.written(command("verify"), about) == f"`backup-platform {option}verify`"
    error = StoreError("is away", hint=command("verify"), repository=about)
    assert used.error_object(error)["hint"] == f"`backup-platform {option}verify`"
