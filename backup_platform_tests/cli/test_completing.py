"""What a shell offers after Tab."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from backup_platform.cli import context
from backup_platform.cli.entry import main
from backup_platform_tests.cli.conftest import Cli
from backup_platform_tests.cli.fake import make_point

Offer = Callable[[str], list[str]]


@pytest.fixture
def offered(cli: Cli, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Offer:
    cli.app.captured = {"shop": None, "shelf": None, "other": None}
    cli.app.known = [make_point("shop", 21), make_point("shop", 22)]
    cli.app.repositories = ("main", "offsite")
    monkeypatch.setenv("_BACKUP_PLATFORM_COMPLETE", "complete_bash")

    def offer(line: str) -> list[str]:
        words = line.split(" ")
        monkeypatch.setenv("COMP_WORDS", line)
        monkeypatch.setenv("COMP_CWORD", str(len(words) - 1))
        with pytest.raises(SystemExit):
            main([])
        return capsys.readouterr().out.split()

    return offer


@pytest.mark.parametrize(
    ("line", "names"),
    [
        ("backup-platform dri", ["drill"]),
        ("backup-platform backup sh", ["shop", "shelf"]),
        ("backup-platform points ", ["shop", "shelf", "other"]),
        ("backup-platform restore sh", ["shop@latest", "shelf@latest"]),
        ("backup-platform drill shop@", ["shop@latest", "shop@2026-11-22", "shop@2026-11-21"]),
        ("backup-platform diff shop@2026-11-21 shop@2026-11-2", ["shop@2026-11-22", "shop@2026-11-21"]),
        ("backup-platform copy --to off", ["offsite"]),
        ("backup-platform points --repository ", ["main", "offsite"]),
        ("backup-platform drill nothing@", ["nothing@latest"]),
    ],
)
def test_names(offered: Offer, line: str, names: list[str]) -> None:
    assert offered(line) == names


def test_without_a_plan_nothing_is_said(offered: Offer, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(plan: str | None) -> None:
        raise ValueError(plan)

    monkeypatch.setattr(context, "app_factory", broken)
    assert offered("backup-platform backup ") == []
