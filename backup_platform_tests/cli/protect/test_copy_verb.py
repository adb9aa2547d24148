"""`copy` and the making of copies, with real repositories: one is written to, two hold copies."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from backup_platform.app import App
from backup_platform.cli.entry import main
from backup_platform_tests.cli.conftest import Ran, Verbs
from backup_platform_tests.support import IDENTITIES, recipient

Run = Callable[..., Ran]
PLAN = """
repositories:
  main: {{path: {root}/main{keys}}}
  offsite: {{path: {root}/offsite, place: elsewhere}}
  vault: {{path: {root}/vault}}
sources:
  docs: {{files: {root}/docs, every: hour, repositories: [main, offsite, vault], copies: {{number: 2, places: 2}}}}
  notes: {{files: {root}/notes, every: month, repositories: [main, vault]}}
  local: {{files: {root}/local, every: month}}
"""


@pytest.fixture
def run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs a verb on a plan of three small sources."""
    (tmp_path / "backup.yaml").write_text(PLAN.format(root=tmp_path, keys=""))
    for name in ("docs", "notes", "local"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "one").write_bytes(name.encode() * 1000)

    return partial(Verbs(capsys, tmp_path / "backup.yaml"), code=0)


@pytest.fixture
def made(run: Run) -> Run:
    """Backed up, with both copies empty."""
    run("init")
    for name in ("offsite", "vault"):
        run("init", "--repository", name)
    run("backup")
    return run


def test_every_copy_of_each_source_gets_what_the_plan_says(made: Run, tmp_path: Path) -> None:
    planned = made("copy", "--dry-run", "--json").document["results"]
    assert [(each["repository"], each["outcome"], len(each["points"])) for each in planned] == [
        ("offsite", "planned", 1),
        ("vault", "planned", 2),
    ]
    out = made("copy").out
    assert "offsite: copied 1 recovery point, 2 packs (" in out
    assert "vault: copied 2 recovery points, 4 packs (" in out
    listed = made("points", "--repository", "vault", "--json").document["points"]
    assert {(point["source"], point["state"]) for point in listed} == {
        ("docs", "verified"),
        ("notes", "verified"),
    }
    made("restore", "docs@latest", "--repository", "offsite", "--to", str(tmp_path / "back"))
    assert (tmp_path / "back" / "one").read_bytes() == b"docs" * 1000
    assert "offsite: copied 0 recovery points, 0 packs (0 B)" in (again := made("copy").out)
    assert "; 2 there already" in again


def test_one_source_one_point_one_repository(made: Run) -> None:
    results = made("copy", "docs@latest", "--to", "vault", "--json").document["results"]
    assert [(each["repository"], each["packs"]) for each in results] == [("vault", 2)]
    assert results[0]["points"][0]["source"] == "docs"
    point = results[0]["points"][0]["id"]
    again = made("copy", point[:12], "--to", "vault", "--json").document["results"][0]
    assert (again["kept"], again["packs"]) == (1, 0)
    assert made("copy", "local", "--to", "vault", "--json").document["results"][0]["outcome"] == "copied"
    assert "no repository to copy to" in made("copy", "local", code=2).err
    assert "Its repositories are: main, offsite, vault" in made("copy", "--to", "nowhere", code=11).err
    assert "no source 'other'" in made("copy", "other", code=11).err


def test_a_copy_that_is_away_does_not_stop_the_others(made: Run, tmp_path: Path) -> None:
    (tmp_path / "offsite").rename(tmp_path / "unplugged")
    ran = made("copy", code=1)
    assert "offsite: FAILED\n" in ran.out
    assert "vault: copied 2 recovery points" in ran.out
    assert "There is no directory" in ran.err
    results = made("copy", "--json", code=1).document["results"]
    assert [(each["outcome"], each["error"] and each["error"]["code"]) for each in results] == [
        ("failed", "repository-missing"),
        ("copied", None),
    ]
    assert "There is no directory" in made("copy", "docs", "--to", "offsite", code=10).err


def test_what_is_damaged_is_told_and_is_no_success(made: Run, tmp_path: Path) -> None:
    for pack in (tmp_path / "main" / "packs").rglob("*"):
        if pack.is_file():
            pack.write_bytes(b"damaged")
    ran = made("copy", "notes", code=1)
    assert "vault: INCOMPLETE, copied 0 recovery points" in ran.out
    assert "its hash is not its name" in ran.out
    manifest = next(path for path in (tmp_path / "main" / "manifests").rglob("*") if path.is_file())
    manifest.write_bytes(b"damaged")
    assert made("copy", "--json", code=1).document["damaged_manifests"]


def test_a_repository_that_was_made_on_its_own_is_no_copy(run: Run, tmp_path: Path) -> None:
    run("init")
    run("backup")
    plan = (tmp_path / "backup.yaml").read_text()
    (tmp_path / "other.yaml").write_text(
        plan.replace("/main}", "/offsite}").replace("/offsite, place", "/x, place")
    )
    assert main(["--plan", str(tmp_path / "other.yaml"), "init"]) == 0
    assert "is not a copy of the one at" in run("copy", "docs", "--to", "offsite", code=1).err
    assert "another repository" in run("init", "--repository", "offsite", code=1).err
    assert (
        "recipients of the repository"
        in run("init", "--repository", "vault", "--recipient", recipient(0), code=2).err
    )
    assert not (tmp_path / "vault").exists()


def test_a_lost_first_repository_comes_back_from_a_copy(made: Run, tmp_path: Path) -> None:
    made("copy")
    shutil.rmtree(tmp_path / "main")
    refused = made("init", code=1).err
    assert "The repository offsite of this plan would be a copy" in refused
    assert "it holds 1 recovery point." in refused
    assert "init --from offsite` makes it again" in refused
    assert not (tmp_path / "main").exists()
    made("init", "--from", "vault")
    assert "There is a repository at" in made("init", code=1).err
    out = made("copy", "--repository", "vault", "--to", "main").out
    assert "main: copied 2 recovery points" in out
    assert "docs: kept the point that the window already has" in made("backup", "docs").out


def test_where_no_copy_is_left_a_new_history_begins(made: Run, tmp_path: Path) -> None:
    """What was never made, or does not answer, forbids nothing."""
    shutil.rmtree(tmp_path / "main")
    shutil.rmtree(tmp_path / "offsite")
    shutil.rmtree(tmp_path / "vault")
    made("init")


def test_an_encrypted_repository_and_its_copies_share_keys(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = PLAN.format(root=tmp_path, keys=f", key_file: {tmp_path}/key")
    (tmp_path / "backup.yaml").write_text(plan)
    run("init", "--recipient", recipient(0))
    run("init", "--repository", "offsite")
    run("backup", "docs")
    run("key", "add", recipient(1))
    assert "offsite: copied 1 recovery point" in run("copy", "docs", "--to", "offsite").out
    listed = run("key", "list", "--repository", "offsite", "--json").document["recipients"]
    assert {each["recipient"] for each in listed} == {recipient(0), recipient(1)}
    identity = tmp_path / "identity"
    identity.touch(0o600)
    identity.write_text(IDENTITIES[0])
    monkeypatch.setenv("BACKUP_PLATFORM_IDENTITY_FILE", str(identity))
    run("restore", "docs@latest", "--repository", "offsite", "--to", str(tmp_path / "back"))
    assert (tmp_path / "back" / "one").read_bytes() == b"docs" * 1000


def test_the_rule_of_copies_counts_repositories_and_places_of_the_plan(made: Run, tmp_path: Path) -> None:
    app = App.load(str(tmp_path / "backup.yaml"))
    point = app.points.find("docs@latest")
    late = app.copies.in_place(point, {"main": [point], "offsite": []})
    assert (late.ran, late.metadata["lacking"]) == (False, ["offsite", "vault"])
    assert not app.copies.in_place(point, {"main": [point], "vault": [point]}).passed, "one place"
    found = app.copies.in_place(point, {"main": [point], "offsite": [point]})
    assert (found.passed, found.summary) == (True, "in main, offsite, at elsewhere, local")


def test_every_command_that_is_advised_uses_the_repository_that_was_named(made: Run, tmp_path: Path) -> None:
    made("copy", "docs")
    offsite = f"`backup-platform --plan {tmp_path / 'backup.yaml'} --repository offsite "
    findings = made("--repository", "offsite", "doctor", "--json", code=1).document["findings"]
    hints = {each["name"]: each["hint"] for each in findings}
    assert hints["proof of docs"] == f"Run {offsite}drill docs@latest`."
    copying = offsite.replace("--repository offsite", "--repository main")
    assert hints["proof of local"] == f"Run {copying}copy local --to offsite`."
    for verb, code in {
        ("points", "notes@1999"): 11,
        ("ls", "docs@latest", "nowhere"): 11,
        ("ls", "docs@1999-01-01"): 11,
        ("restore", "docs@latest", "nowhere", "--to", str(tmp_path / "back")): 11,
        ("release", "docs@latest", "--reason", "x"): 11,
        ("key", "list"): 2,
    }.items():
        ran = made("--repository", "offsite", *verb, code=code)
        assert "`backup-platform" not in ran.err or offsite in ran.err, ran.err
    assert f"{copying}backup docs`" in made("--repository", "offsite", "backup", "docs", code=2).err
    assert f"{offsite}verify`" in made("--repository", "offsite", "repair").out
    listed = made("--repository", "offsite", "ls", "docs@latest", "nowhere", "--json", code=11).document
    assert f"{offsite}ls POINT`" in listed["error"]["hint"]


def test_advice_about_a_copy_that_fails_is_for_that_copy(made: Run, tmp_path: Path) -> None:
    made("copy")
    for path in (tmp_path / "offsite" / "manifests").rglob("*"):
        if path.is_file():
            path.unlink()
    (tmp_path / "offsite" / "repository.json").unlink()
    advised = f"`backup-platform --plan {tmp_path / 'backup.yaml'} --repository offsite init`"
    assert advised in made("copy", code=1).err
    assert advised in made("copy", "--to", "offsite", code=10).err


def test_doctor_looks_at_every_copy(made: Run, tmp_path: Path) -> None:
    shutil.rmtree(tmp_path / "vault")
    found = {each["name"]: each for each in made("doctor", "--json", code=1).document["findings"]}
    assert found["copy offsite"]["ok"]
    assert "--repository vault init" in found["copy vault"]["hint"]
    assert "copy vault" not in made("--repository", "offsite", "doctor", code=1).out
    shutil.rmtree(tmp_path / "main")
    assert "ok    copy offsite" in made("doctor", code=1).out


def test_hints_of_a_repository_that_is_away_name_commands_that_work(made: Run, tmp_path: Path) -> None:
    shutil.rmtree(tmp_path / "vault")
    away = made("--repository", "vault", "points", code=10).err
    assert "--repository vault init" in away
    assert "Copies are in" not in away
    assert "Copies are in" not in made("copy", "--to", "vault", code=10).err
    made("copy", "--to", "offsite")
    shutil.rmtree(tmp_path / "main")
    plan = str(tmp_path / "backup.yaml")
    assert f"`backup-platform --plan {plan} init --from offsite`" in made("points", code=10).err
    made_anew = made("init", "--from", "offsite").out
    assert f"backup-platform --plan {plan} --repository offsite copy --to main" in made_anew
    made("--repository", "offsite", "copy", "--to", "main")
    assert "docs" in made("points").out


def test_one_place_is_not_two_repositories(run: Run, tmp_path: Path) -> None:
    plan = PLAN.format(root=tmp_path, keys="").replace(f"{tmp_path}/offsite", "./main/")
    (tmp_path / "backup.yaml").write_text(plan)
    refused = run("points", code=2).err
    assert "repositories.offsite.path: the same place as that of repositories.main" in refused


def test_one_place_by_two_references_is_not_two_repositories(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("init")
    monkeypatch.setenv("HERE", f"{tmp_path}/main")
    monkeypatch.setenv("THERE", f"{tmp_path}/main/")
    plan = tmp_path / "backup.yaml"
    text = PLAN.format(root=tmp_path, keys="").replace(f"{tmp_path}/vault", '"${env:THERE}"')
    plan.write_text(text.replace(f"{tmp_path}/main", '"${env:HERE}"'))
    assert "cannot be a copy of itself" in run("copy", "notes", code=1).err


def test_a_link_to_the_first_repository_is_no_copy_of_it(run: Run, tmp_path: Path) -> None:
    run("init")
    (tmp_path / "vault").symlink_to(tmp_path / "main")
    assert "cannot be a copy of itself" in run("init", "--repository", "vault", code=1).err
    assert "cannot be a copy of itself" in run("copy", "notes", code=1).err


def test_errors_name_the_part_of_the_plan_that_is_about_the_copy(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BACKUP_PLATFORM_TEST_KEY", "key")
    remote = (
        "s3://bucket/x, endpoint: 'http://127.0.0.1:9', region: x, credentials: "
        "{access_key_id: '${env:BACKUP_PLATFORM_TEST_KEY}', secret_access_key: '${env:BACKUP_PLATFORM_TEST_KEY}'}"
    )
    plan = PLAN.format(root=tmp_path, keys="").replace(f"{tmp_path}/vault", remote)
    (tmp_path / "backup.yaml").write_text(plan)
    assert "`repositories.vault.allow_http: true`" in run("--repository", "vault", "points", code=1).err
    run("init")
    assert "`repositories.vault.allow_http: true`" in run("copy", "notes", code=1).err


def test_a_missing_key_is_named_where_the_plan_would_have_it(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = tmp_path / "backup.yaml"
    plan.write_text(PLAN.format(root=tmp_path, keys=f", key_file: {tmp_path}/key"))
    run("init", "--recipient", recipient(0))
    plan.write_text(PLAN.format(root=tmp_path, keys=""))
    assert "repositories.main.key_file in the plan" in run("points", code=12).err


def test_where_to_copy_is_asked_for_from_a_copy_and_never_back_to_itself(made: Run) -> None:
    assert "is where the points are copied from" in made("copy", "--to", "main", code=2).err
    made("copy")
    assert (
        "is where the points are copied from"
        in made("--repository", "vault", "copy", "--to", "vault", code=2).err
    )


def test_a_release_tells_of_the_legal_hold_that_stays(made: Run) -> None:
    made("hold", "docs@latest", "--reason", "migration")
    made("hold", "docs@latest", "--reason", "case 4711", "--legal")
    assert "is still held by a legal hold" in made("release", "docs@latest", "--reason", "done").out
    assert "stays held" not in made("release", "docs@latest", "--reason", "over", "--legal").out
