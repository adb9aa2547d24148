"""What the command line says of a source that looks emptied, and of what `latest` passes over."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from backup_platform.cli.context import NOTES
from backup_platform_tests.cli.conftest import Cli, Verbs, docs_backed_up
from backup_platform_tests.cli.fake import make_point

REASON = "it holds nothing (0 files with 0 bytes); the last accepted point has 2 files with 9 bytes"
EMPTIED = make_point("uploads", suspect=(REASON,))


def test_a_suspect_point_is_exit_code_3_and_says_why_and_what_to_do(cli: Cli) -> None:
    cli.app.captured["uploads"] = EMPTIED
    ran = cli("backup", "uploads")
    assert ran.code == 3
    lines = ran.out.splitlines()
    assert lines[0].startswith("uploads: SUSPECT, window 2026-11-22")
    assert f"  suspect: {REASON}" in lines
    assert f"  If the source is right: backup-platform accept {EMPTIED.id[:12]} --reason TEXT" in lines
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
    cli.app.answers["points.accept"] = replace(EMPTIED, accepted="it moved")
    ran = cli("accept", "uploads@2026-11-22", "--reason", "it moved")
    assert (ran.code, ran.out) == (0, f"Accepted uploads@2026-11-22 ({EMPTIED.id[:12]}): it moved.\n")
    assert cli.app.calls[-1][1] == {"spec": "uploads@2026-11-22", "reason": "it moved"}
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
    assert [each["state"] for each in points] == ["unproven", "suspect"]
    assert (
        "1 unproven, 1 suspect" in emptied("points").out or "1 suspect, 1 unproven" in emptied("points").out
    )
    newest = latest()
    assert not newest["ok"]
    point = newest["detail"].partition("(")[2][:12]
    assert f"accept {point} --reason" in newest["hint"]
    emptied("accept", point, "--reason", "it moved", code=0)
    assert latest()["ok"]
    assert emptied("points", "--json").document["points"][0]["accepted"] == "it moved"
    assert len(emptied("points", "--json").document["points"]) == 1


def test_a_suspect_point_that_is_asked_for_by_name_says_what_it_is(emptied: Verbs, tmp_path: Path) -> None:
    point = emptied("points", "--state", "suspect", "--json").document["points"][0]["id"]
    for words in (("drill", point), ("restore", point, "--to", str(tmp_path / "to"), "--dry-run")):
        assert "is suspect: " in emptied(*words, code=0).out
    assert (
        "is suspect: it holds nothing" in emptied("restore", point, "--to", str(tmp_path / "to"), code=0).out
    )
    ran = emptied("accept", "docs@latest", "--reason", "x", code=2)
    assert f"Suspect points of docs: {point[:12]} (window " in ran.err


def test_once_the_window_was_captured_anew_nobody_has_to_decide(emptied: Verbs, tmp_path: Path) -> None:
    (tmp_path / "docs/one").write_text("it is mounted again")
    emptied("backup", "--force", code=0)
    assert [each["state"] for each in emptied("points", "--json").document["points"]] == ["unproven"]


def test_of_many_points_that_are_passed_over_the_first_are_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plan = "repository: {{path: {root}/repo}}\nsources: {{docs: {{files: {root}/docs, every: day}}}}\n"
    run = docs_backed_up(tmp_path, plan, capsys)
    (tmp_path / "docs/one").unlink()
    for _ in range(NOTES + 2):
        run("backup", "--force", code=3)
    told = run("show", "docs@latest", code=0).err.splitlines()
    assert len([line for line in told if "is not `latest`: suspect" in line]) == NOTES
    assert told[-1].startswith("note: further points of docs were skipped: backup-platform ")
    assert len(run("show", "docs@latest", "--json", code=0).document["skipped"]) == NOTES + 2
