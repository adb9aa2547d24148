"""A word that is empty is a variable that was not set. It never means all, the default, or another source."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from backup_platform.app import App
from backup_platform.cli import program
from backup_platform.errors import NotFoundError, PlanError, UsageError
from backup_platform_tests.cli.conftest import Cli, docs_backed_up

PLAN = "repository: {{path: {root}/repository}}\nsources: {{docs: {{files: docs, every: day}}}}\n"


def words_of_every_verb() -> Iterator[tuple[list[str], str]]:
    """A command line for each word that a verb takes, with that word empty; and how the word is named."""
    for path, command in commands(typer.main.get_command(program._application()), []):
        arguments = [p for p in command.params if p.param_type_name == "argument"]
        required = ["x" for p in arguments if p.required]
        for number, argument in enumerate(arguments):
            after = required[number + 1 :] if argument.required else []
            yield [*path, *["x"] * number, "", *after], argument.metavar
        for option in command.params:
            if option.param_type_name == "option" and not option.is_flag:
                yield [*path, *required, option.opts[0], ""], option.opts[0]


def commands(command: Any, path: list[str]) -> Iterator[tuple[list[str], Any]]:
    if not hasattr(command, "list_commands"):
        yield path, command
        return
    for name in command.list_commands(None):
        yield from commands(command.get_command(None, name), [*path, name])


def test_no_word_of_any_verb_may_be_empty(cli: Cli) -> None:
    tried = 0
    for arguments, name in words_of_every_verb():
        ran = cli(*arguments)
        assert (ran.code, cli.app.calls) == (2, []), arguments
        assert f"error [usage]: {name} is empty." in ran.err, (arguments, ran.err)
        tried += 1
    assert tried > 100


def test_a_variable_of_the_environment_may_not_be_empty(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The default would be the plan of another project, or the key of another repository."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "backup.yaml").write_text(PLAN.format(root=tmp_path))
    monkeypatch.setenv("BACKUP_PLATFORM_PLAN", "")
    with pytest.raises(PlanError, match="BACKUP_PLATFORM_PLAN is set, and empty"):
        App.load()
    with pytest.raises(PlanError, match="path is empty"):
        App.load("")


def test_a_key_that_the_environment_names_by_nothing_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "backup.yaml").write_text(PLAN.format(root=tmp_path))
    monkeypatch.setenv("BACKUP_PLATFORM_KEY_FILE", "")
    key = App.load(str(tmp_path / "backup.yaml")).bound.keys
    assert "BACKUP_PLATFORM_KEY_FILE is set, and empty" in str(key.missing_key("/srv"))
    assert key.repository_key() is None


@pytest.mark.parametrize("reference", ["${env:SUBDIRECTORY}", "${file:secret}"])
def test_a_reference_to_nothing_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reference: str
) -> None:
    """`/srv/${env:NAME}` would be `/srv`."""
    (tmp_path / "secret").write_text("\n")
    (tmp_path / "backup.yaml").write_text(PLAN.format(root=tmp_path).replace("docs, ", f"'x/{reference}', "))
    monkeypatch.setenv("SUBDIRECTORY", "")
    with pytest.raises(PlanError, match="is empty"):
        App.load(str(tmp_path / "backup.yaml")).sources.build("docs")


def test_the_core_takes_no_empty_name_either(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    docs_backed_up(tmp_path, PLAN, capsys)
    app = App.load(str(tmp_path / "backup.yaml"))
    with pytest.raises(NotFoundError):
        app.points.all("")
    with pytest.raises(NotFoundError):
        app.at("")
    with pytest.raises(UsageError):
        app.restores.plan("docs@latest", to=str(tmp_path / "to"), paths=[""])
    with pytest.raises(UsageError):
        app.points.entries("docs@latest", "")
    with pytest.raises(UsageError):
        app.tables.load("", "latest", "orders")
