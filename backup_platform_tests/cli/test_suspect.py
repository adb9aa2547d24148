"""What the command line says of a source that looks emptied, and of what `latest` passes over."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from backup_platform_tests.cli.conftest import Cli, Verbs, docs_backed_up
from backup_platform_tests.cli.fake import make_point

REASON = "it holds nothing (0 files with 0 bytes); the last accepted point has 2 files with 9 bytes"
EMPTIED = make_point("uploads", suspect=(REASON,))


def test_a_suspect_point_is_exit_code_3_and_says_why_and_what_to_do(cli: Cli) -> None:
    cli.app.backups["uploads"] = EMPTIED
    ran = cli("backup", "uploads")
    assert ran.code == 3
    lines = ran.out.splitlines()
    assert lines[0].startswith("uploads: SUSPECT, window 2026-11-22")
    assert f"  suspect: {REASON}" in lines
    assert f"  If it is as it should be: backup-platform accept {EMPTIED.id[:12]} --reason TEXT" in lines
    assert "unproven until a drill" not in ran.out
    (result,) = cli("backup", "uploads", "--json").document["results"]
    assert (result["outcome"], result["point"]["suspect"], result["point"]["accepted"]) == (
        "suspect",
        [REASON],
        None,
    )


def test_points_and_show_tell_of_it_until_it_is_accepted(cli: Cli) -> None:
    cli.app.known = [EMPTIED]
    assert f"SUSPECT: {REASON}" in cli("points").out
    assert cli("points", "--json").document["points"][0]["state"] == "suspect"
    assert f"suspect:      {REASON}" in cli("show", "uploads@latest").out
    cli.app.known = [replace(EMPTIED, accepted="it moved")]
    assert "SUSPECT" not in cli("points").out
    assert "accepted:     it moved" in cli("show", "uploads@latest").out


def test_accept(cli: Cli) -> None:
    cli.app.answers["accepting.accept"] = replace(EMPTIED, accepted="it moved")
    ran = cli("accept", "uploads@2026-11-22", "--reason", "it moved")
    assert (ran.code, ran.out) == (0, f"Accepted uploads@2026-11-22 ({EMPTIED.id[:12]}): it moved.\n")
    assert cli.app.calls[-1][1]["arguments"] == ("uploads@2026-11-22", "it moved")
    document = cli("accept", "uploads@2026-11-22", "--reason", "it moved", "--json").document
    assert document["point"]["accepted"] == "it moved"
    assert cli("accept", "uploads@2026-11-22").code == 2


@pytest.fixture
def emptied(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Verbs:
    """A real plan whose newest point is suspect, and the command line."""
    plan = "repository: {{path: {root}/repo}}\nsources: {{docs: {{files: {root}/docs, every: day, drill: never}}}}\n"
    run = docs_backed_up(tmp_path, plan, capsys)
    (tmp_path / "docs/one").unlink()
    run("backup", "--force", code=3)
    return run


@pytest.mark.parametrize(
    "verb",
    [
        ("ls", "docs@latest"),
        ("diff", "docs@latest", "docs@latest"),
        ("drill", "docs@latest"),
        ("restore", "docs@latest", "--to", "TO", "--dry-run"),
        ("show", "docs@latest"),
    ],
)
def test_what_latest_passes_over_is_told(emptied: Verbs, tmp_path: Path, verb: tuple[str, ...]) -> None:
    words = [word.replace("TO", str(tmp_path / "to")) for word in verb]
    ran = emptied(*words, code=0)
    assert ran.err.count("is not `latest`: suspect: it holds nothing") == 1
    (skipped,) = emptied(*words, "--json", code=0).document["skipped"]
    assert (skipped["source"], skipped["why"][:25]) == ("docs", "suspect: it holds nothing")


def test_doctor_is_red_until_it_is_accepted(emptied: Verbs) -> None:
    def latest() -> dict[str, Any]:
        findings = emptied("doctor", "--json").document["findings"]
        return next(each for each in findings if each["name"] == "latest of docs")

    points = emptied("points", "--json").document["points"]
    assert [each["state"] for each in points] == ["unproven"], "the good point of the window stands for it"
    newest = latest()
    assert not newest["ok"]
    point = newest["detail"].partition("(")[2][:12]
    assert f"accept {point} --reason" in newest["hint"]
    emptied("accept", point, "--reason", "it moved", code=0)
    assert latest()["ok"]
    assert emptied("points", "--json").document["points"][0]["accepted"] == "it moved"
