from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import pytest

from backup_platform.cli import context
from backup_platform.cli.entry import main
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
    monkeypatch.setattr(context, "app_factory", lambda plan: app)
    return Cli(app, capsys)
