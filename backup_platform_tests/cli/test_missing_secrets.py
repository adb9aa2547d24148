"""A secret that is not on this host stops the source or the copy that needs it, and no other."""

from __future__ import annotations

from pathlib import Path

import pytest

from backup_platform.app import App
from backup_platform.errors import PlanError
from backup_platform.orchestration.build import build_definitions
from backup_platform.orchestration.translator import BackupTranslator
from backup_platform_tests.cli.conftest import Ran, Verbs

PLAN = """\
repositories:
  main: {path: main}
  away: {path: "s3://bucket/x", credentials: {access_key_id: "${env:NOT_SET}", secret_access_key: "${env:NOT_SET}"}}
  gone: {path: "${env:NOT_SET}/x"}
  near: {path: near}
state: state
sources:
  first: {files: tree, every: day, repositories: [main, away, gone, near]}
  password: {postgres: "postgresql://u@127.0.0.1:1/x", password: "${env:NOT_SET}", every: day}
  place: {files: "/srv/${env:NOT_SET}", every: day}
  key: {postgres: "postgresql://u@127.0.0.1:1/x", password: "${file:tree}", every: day}
  elsewhere: {files: nowhere, every: day}
  last: {files: tree, every: day, repositories: [main, away, gone, near]}
"""


@pytest.fixture
def run(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Verbs:
    monkeypatch.delenv("NOT_SET", raising=False)
    (tmp_path / "backup.yaml").write_text(PLAN)
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "file").write_text("content")
    made = Verbs(capsys, tmp_path / "backup.yaml")
    made("init", code=0)
    made("--repository", "near", "init", code=0)
    return made


def errors_of(ran: Ran) -> dict[str, str]:
    lines = [line.partition("]: ")[2] for line in ran.err.splitlines() if line.startswith("error ")]
    return {name: text for name, _, text in (line.partition(": ") for line in lines)}


def test_the_other_sources_are_backed_up_and_the_others_copied(run: Verbs) -> None:
    ran = run("backup", code=1)
    told = errors_of(ran)
    assert list(told) == ["password", "place", "key", "elsewhere"]
    assert "backup.yaml:3, 4, 9, 10: ${env" in told["password"]
    assert "${env:NOT_SET}: the environment variable is not set" in told["place"]
    assert "Is a directory" in told["key"]
    assert [p["source"] for p in run("points", "--json", code=0).document["points"]] == ["first", "last"]

    copied = run("copy", code=1)
    assert list(errors_of(copied)) == ["away", "gone"]
    assert "near: copied 2 recovery points" in copied.out
    assert "away: FAILED" in copied.out


def test_alone_it_is_a_mistake_of_the_plan(run: Verbs) -> None:
    """Nothing ran."""
    assert "error [plan-invalid]" in run("backup", "password", code=2).err
    assert "error [plan-invalid]" in run("copy", "--to", "away", code=2).err


def test_what_needs_no_secret_of_the_source_works_without(run: Verbs, tmp_path: Path) -> None:
    plan = tmp_path / "backup.yaml"
    run("backup", "first", code=0)
    plan.write_text(PLAN.replace("first: {files: tree", 'first: {files: "${env:NOT_SET}"'))
    run("verify", code=0)
    run("drill", "first@latest", code=0)
    run("restore", "first@latest", "--to", str(tmp_path / "back"), code=0)
    assert (tmp_path / "back" / "file").read_text() == "content"
    assert "The copy away cannot be opened" in run("repair", "--dry-run", code=0).out


def test_doctor_names_every_secret_that_is_missing(run: Verbs) -> None:
    told = run("doctor", code=1).out
    assert "secrets: " in told
    assert "${env:NOT_SET}" in told
    assert "${file:tree}" in told
    assert "ok    source last" in told


def test_what_is_only_for_drills_is_only_asked_for_by_drills(run: Verbs, tmp_path: Path) -> None:
    plan = tmp_path / "backup.yaml"
    drilled = 'drill_server: "${env:NOT_SET}", every: day'
    plan.write_text(PLAN.replace('password: "${env:NOT_SET}", every: day', drilled))
    app = App.load(str(plan))
    app.sources.build("password")
    with pytest.raises(PlanError, match="NOT_SET"):
        app.sources.build("password", "drill")


def test_dagster_loads_without(run: Verbs, tmp_path: Path) -> None:
    found = build_definitions(BackupTranslator(App.load(str(tmp_path / "backup.yaml"))))
    keys = {spec.key.to_user_string() for spec in found.resolve_all_asset_specs()}
    assert {"backups/first", "backups/password", "backups/last"} <= keys


@pytest.mark.parametrize(
    ("line", "told"),
    [
        (
            "  bad: {files: tree, every: day, exclude: [ok, 'a[z-']}",
            "backup.yaml:8: sources.bad.exclude[2]: ",
        ),
        (
            "  bad: {postgres: 'postgresql://h:fifty/x', every: day}",
            'sources.bad.postgres: "fifty" is not a port',
        ),
    ],
)
def test_what_the_plan_itself_shows_is_refused_with_the_plan(
    run: Verbs, tmp_path: Path, line: str, told: str
) -> None:
    head, tail = PLAN.split("sources:\n")
    (tmp_path / "backup.yaml").write_text(f"{head}sources:\n{line}\n{tail}")
    assert told in run("backup", "first", code=2).err
