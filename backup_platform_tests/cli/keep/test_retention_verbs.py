"""`retention`, `forget`, `hold`, `release` and `holds`, against real repositories; failures against an application in
memory."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from backup_platform.actions.checks import points as checks
from backup_platform.actions.forget.run import ForgetPlan, ForgetSummary, Judged
from backup_platform.app import App
from backup_platform.domain.keep.retention import Decision
from backup_platform_tests.cli.conftest import Cli, Ran, Verbs
from backup_platform_tests.cli.fake import make_point

PLAN = """
repository: {path: repository}
sources:
  uploads: {files: uploads, every: day, keep: {daily: 7}}
  other: {files: uploads, every: day}
"""
Command = Callable[..., Ran]


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "backup.yaml").write_text(PLAN)
    (tmp_path / "uploads").mkdir()
    (tmp_path / "uploads" / "a").write_text("content")
    return tmp_path


@pytest.fixture
def run(world: Path, capsys: pytest.CaptureFixture[str]) -> Command:
    return partial(Verbs(capsys), code=0)


@pytest.fixture
def made(run: Command) -> list[str]:
    """The ids of three points of a window."""
    run("init")
    for _ in range(3):
        run("backup", "uploads", "--force")
    run("backup", "other")
    repository = [json.loads(run("retention", "uploads", "--json").out)["points"]]
    return [point["id"] for point in repository[0]]


def test_the_table_says_of_every_point_what_becomes_of_it_and_why(run: Command, made: list[str]) -> None:
    lines = run("retention").out.splitlines()
    assert lines[0].split() == ["source", "window", "captured", "id", "decision", "why"]
    assert [line.split()[-6:] for line in lines[1:] if " forget " in line] == [
        ["its", "window", "has", "a", "newer", "point"]
    ] * 2
    assert "keep      the plan keeps everything" in lines[1]
    assert "keep      newest of day 1 of 7" in lines[4]
    assert "; the newest" not in lines[4]
    assert lines[-1] == "2 points stay, 2 to forget."
    assert "; the newest" in run("retention", "uploads", "--explain").out
    document = json.loads(run("retention", "uploads", "--json").out)
    assert [(point["id"], point["keep"]) for point in document["points"]] == list(
        zip(made, (False, False, True), strict=True)
    )
    assert "newest of day 1 of 7" in document["points"][2]["reasons"]


def test_a_hold_is_explained_also_where_the_plan_keeps_everything(run: Command, made: list[str]) -> None:
    run("hold", "other@latest", "--reason", "case 4711")
    (point,) = run("retention", "other", "--json").document["points"]
    assert point["reasons"] == [point["reasons"][0], "the plan keeps everything"]
    assert point["reasons"][0].startswith("held: ")
    assert "case 4711" in run("retention", "other", "--explain").out


def test_where_a_person_watches_nothing_is_forgotten_without_yes(
    run: Command, made: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(isatty=lambda: True))
    out = run("forget", "uploads").out
    assert made[0][:12] in out
    assert "Nothing was changed. To forget them: backup-platform forget uploads --yes\n" in out
    assert json.loads(run("forget", "--json").out)["result"] is None
    run("forget", "--yes", "--dry-run", code=2)
    assert "points stay, 2 to forget" in run("retention").out
    assert "Forgot 2 recovery points. `backup-platform prune` frees" in run("forget", "--yes").out
    assert run("forget", "--yes").out == "2 points stay, 0 to forget.\nForgot 0 recovery points.\n"


def test_without_a_terminal_it_is_done_unless_it_is_a_dry_run(run: Command, made: list[str]) -> None:
    document = json.loads(run("forget", "--dry-run", "--json").out)
    assert document["dry_run"]
    assert [point["id"] for point in document["plan"]["forget"]] == made[:2]
    done = json.loads(run("forget", "--json").out)
    assert done["result"] == {"forgotten": made[:2], "kept": [], "refused": [], "locked": []}
    run("show", made[0], code=11)
    assert "PASSED" in run("verify").out


def test_a_held_point_stays_and_shows_it(run: Command, made: list[str]) -> None:
    assert "Held uploads@" in run("hold", made[0][:12], "--reason", "audit 7", "--until", "2099-01-01").out
    run("hold", made[1], "--reason", "case 1", "--legal")
    assert "audit 7" in run("holds").out
    assert "held: audit 7, until 2099-01-01T00:00+00:00" in run("retention", "uploads").out
    assert "held:         legal: case 1\n" in run("show", made[1]).out
    run("forget")
    run("backup", "uploads", "--force")
    run("hold", "uploads@latest", "--reason", "the newest")
    assert run("points", "uploads").out.splitlines()[-2].endswith("unproven, held")
    [newest] = json.loads(run("points", "uploads", "--json").out)["points"]
    assert newest["holds"][0]["reason"] == "the newest"
    assert "under legal hold" in run("release", made[1], "--reason", "x", code=2).err
    assert "Released" in run("release", made[1], "--reason", "settled", "--legal").out
    run("release", made[0], "--reason", "done")
    document = json.loads(run("holds", "--json").out)
    assert sorted((hold["legal"], hold["in_force"]) for hold in document["holds"]) == [
        (False, False),
        (False, True),
        (True, False),
    ]
    assert json.loads(run("forget", "--json").out)["result"]["forgotten"] == made
    assert "not here" in run("holds").out


def test_holding_needs_a_reason_and_a_point(run: Command, made: list[str]) -> None:
    run("hold", made[0], code=2)
    assert "is not a day" in run("hold", made[0], "--reason", "x", "--until", "soon", code=2).err
    run("hold", "uploads@2001-01-01", "--reason", "x", code=11)
    run("release", made[0], "--reason", "x", code=11)
    assert run("holds").out == "Nothing is held.\n"


def test_a_damaged_manifest_is_exit_code_1_and_the_other_sources_go_on(
    run: Command, made: list[str], world: Path
) -> None:
    run("backup", "other", "--force")
    (world / "backup.yaml").write_text(PLAN.replace("every: day}", "every: day, keep: {last: 1}}"))
    chain = max((world / "repository" / "manifests").iterdir(), key=lambda path: len(list(path.iterdir())))
    damaged = sorted(chain.iterdir())[0]
    damaged.write_bytes(damaged.read_bytes()[:-9])
    for verb in ("retention", "forget"):
        ran = run(verb, code=1)
        assert "DAMAGED The object manifests/" in ran.out
    assert "Forgot 1 recovery point." in ran.out
    assert "nothing is forgotten while a manifest" in run("retention", "uploads", code=1).out


def test_an_unknown_source_is_exit_code_11(run: Command, made: list[str]) -> None:
    for verb in ("retention", "forget"):
        assert "'uplods'" in run(verb, "uplods", code=11).err


@pytest.mark.parametrize("how", ["refused", "locked"])
def test_what_the_store_refuses_is_exit_code_1(cli: Cli, how: str) -> None:
    point = make_point()
    plan = ForgetPlan((Judged(point, Decision(point.id, False, ("no rule keeps it",))),))
    left = ((point, "Object Lock holds it."),)
    done = ForgetSummary((), refused=left) if how == "refused" else ForgetSummary((), locked=left)
    answers: dict[str, Any] = {"retention.plan_forget": plan, "retention.run_forget": done}
    cli.app.answers |= answers
    ran = cli("forget", "--yes")
    assert ran.code == 1
    assert "kept shop@2026-11-22 (2273686f70aa): Object Lock holds it.\nForgot 0 recovery points." in ran.out


def test_what_is_lost_is_given_up_by_who_says_so(
    run: Command, made: list[str], world: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chain = max((world / "repository" / "manifests").iterdir(), key=lambda path: len(list(path.iterdir())))
    (chain / "0000000001").unlink()
    (chain / "0000000002").write_bytes(b"damaged")
    app = App.load()
    point = app.points.find(made[2])

    def authentic() -> bool:
        return checks.authentic(app.repository, point, whole=True).passed

    assert not authentic()
    run("forget", "--lost", code=2)
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(isatty=lambda: True))
    out = run("forget", "uploads", "--lost").out
    assert re.search(r"^uploads: recovery point 1 \(\S+, [0-9a-f]{12}\) is lost\.$", out, re.MULTILINE)
    assert "uploads: recovery point 2 is lost. The object manifests/" in out
    assert (chain / "0000000002").exists()
    document = json.loads(run("forget", "uploads", "--lost", "--yes", "--json").out)
    assert [(each["sequence"], bool(each["damage"])) for each in document["lost"]] == [(1, False), (2, True)]
    assert authentic()
    assert "PASSED" in run("verify").out
    assert "1 point stays, 0 to forget" in run("retention", "uploads").out
    for more in ("--yes", "--dry-run"):
        assert run("forget", "uploads", "--lost", more).out == "No recovery point of uploads is lost.\n"


def test_the_newest_that_were_deleted_fail_verify_until_they_are_given_up(
    run: Command, made: list[str], world: Path
) -> None:
    run("verify")
    chain = max((world / "repository" / "manifests").iterdir(), key=lambda path: len(list(path.iterdir())))
    for number in (2, 3):
        (chain / f"{number:010d}").unlink()
    for share in (["--due"], ["--read", "none"]):
        out = run("verify", *share, code=1).out
        assert [f"{each[:12]}, number" in out for each in made] == [False, True, True]
    run("verify", "uploads@latest")
    assert "LOST" in run("repair", "--dry-run", code=1).out
    assert f", {made[2][:12]}) is lost." in run("forget", "uploads", "--lost", "--dry-run").out
    document = json.loads(run("forget", "uploads", "--lost", "--yes", "--json").out)
    assert [(each["sequence"], each["point"]) for each in document["lost"]] == [(2, made[1]), (3, made[2])]
    run("verify")
    run("repair", "--dry-run")


def test_the_last_of_the_chain_is_not_given_up(run: Command, made: list[str], world: Path) -> None:
    """Its number would be given to another point."""
    chain = max((world / "repository" / "manifests").iterdir(), key=lambda path: len(list(path.iterdir())))
    (chain / "0000000003").write_bytes(b"damaged")
    assert json.loads(run("forget", "uploads", "--lost", "--json").out)["lost"] == []
    run("backup", "uploads", "--force")
    assert len(json.loads(run("forget", "uploads", "--lost", "--json").out)["lost"]) == 1
    run("verify")


def test_what_may_be_held_is_not_given_up(run: Command, made: list[str], world: Path) -> None:
    run("hold", made[0], "--reason", "case 1", "--legal")
    chain = max((world / "repository" / "manifests").iterdir(), key=lambda path: len(list(path.iterdir())))
    (chain / "0000000001").write_bytes(b"damaged")
    assert "legal: case 1" in run("forget", "uploads", "--lost", code=2).err
    assert (chain / "0000000001").exists()
    run("release", made[0][:12], "--reason", "settled", "--legal")
    run("forget", "uploads", "--lost")
    assert not (chain / "0000000001").exists()
