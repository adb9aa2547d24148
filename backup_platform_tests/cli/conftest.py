from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from backup_platform.cli import context
from backup_platform.cli.entry import main
from backup_platform.services.protocols import Services
from backup_platform_tests.cli.fake import FakeApp


@dataclass(frozen=True)
class Ran:
    """One command line that was run: its exit code and what it wrote."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        return json.loads(self.out)


class Verbs:
    """Runs verbs of a real plan in this process; with `code`, it is what they must end with."""

    def __init__(self, capsys: pytest.CaptureFixture[str], plan: Path | None = None) -> None:
        self._capsys = capsys
        self._plan = [] if plan is None else ["--plan", str(plan)]

    def __call__(self, *arguments: str, code: int | None = None) -> Ran:
        ran = Ran(main([*self._plan, *arguments]), *self._capsys.readouterr())
        assert code is None or ran.code == code, (arguments, ran.out, ran.err)
        return ran


def docs_backed_up(root: Path, plan: str, capsys: pytest.CaptureFixture[str]) -> Verbs:
    """A plan of the source `docs`, a tree of one file, with its repository and one recovery point."""
    (root / "backup.yaml").write_text(plan.format(root=root))
    (root / "docs").mkdir()
    (root / "docs" / "one").write_bytes(b"content" * 1000)
    run = Verbs(capsys, root / "backup.yaml")
    run("init", code=0)
    run("backup", code=0)
    return run


class Cli:
    """Runs command lines in this process against a fake application."""

    def __init__(self, app: FakeApp, capsys: pytest.CaptureFixture[str]) -> None:
        self.app = app
        self._capsys = capsys

    def __call__(self, *arguments: str) -> Ran:
        code = main(arguments)
        captured = self._capsys.readouterr()
        return Ran(code, captured.out, captured.err)


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Cli:
    app = FakeApp()

    def services(plan: str | None) -> Services:
        return app

    monkeypatch.setattr(context, "app_factory", services)
    return Cli(app, capsys)
