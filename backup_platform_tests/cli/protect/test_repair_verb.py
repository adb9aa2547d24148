"""`repair`, with a real repository and its copy."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from backup_platform.cli.entry import main
from backup_platform_tests.cli.conftest import Verbs, docs_backed_up

PLAN = """
repositories: {{main: {{path: {root}/main}}, offsite: {{path: {root}/offsite}}, gone: {{path: {root}/gone}}}}
sources:
  docs: {{files: {root}/docs, every: month}}
"""


@pytest.fixture
def run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Verbs:
    """Runs a verb on a plan with one recovery point and a copy of it; a second copy's disk is not mounted."""
    invoke = docs_backed_up(tmp_path, PLAN, capsys)
    shutil.copytree(tmp_path / "main", tmp_path / "offsite")
    return invoke


def lose_packs(place: Path) -> set[Path]:
    packs = {path for path in (place / "packs").rglob("*") if path.is_file()}
    for path in packs:
        path.unlink()
    return packs


def test_what_is_lost_comes_back_and_a_copy_that_is_away_is_told(run: Verbs, tmp_path: Path) -> None:
    lost = lose_packs(tmp_path / "main")
    dry = run("repair", "--dry-run")
    assert dry.code == 1
    assert all(f"take  {path.relative_to(tmp_path / 'main')}  offsite" in dry.out for path in lost)
    assert "The copy gone cannot be opened" in dry.out
    assert f"backup-platform --plan {tmp_path}/backup.yaml repair --yes" in dry.out
    assert not any(path.exists() for path in lost)
    assert run("verify").code == 1
    ran = run("repair", "--yes")
    assert ran.code == 0
    assert "Repaired 1 object" in ran.out
    assert run("verify").code == 0
    again = run("repair", "--json").document
    assert (again["dry_run"], again["plan"]["steps"], again["result"]["sound"]) == (False, [], True)


def test_where_all_is_sound_nothing_needs_mending(run: Verbs) -> None:
    for more in ("--dry-run", "--yes"):
        ran = run("repair", more)
        assert ran.code == 0
        assert "Nothing to repair" in ran.out
        assert "Repaired" not in ran.out


def test_an_index_comes_from_the_packs_here_and_not_from_a_copy(run: Verbs, tmp_path: Path) -> None:
    for path in (tmp_path / "main" / "indexes").rglob("*"):
        if path.is_file():
            path.unlink()
    steps = run("repair", "--dry-run", "--json").document["plan"]["steps"]
    assert {(step["act"], *step["from"]) for step in steps} == {("index",)}
    assert run("repair", "--yes").code == 0
    assert "Nothing to repair" in run("repair").out


def test_a_copy_is_mended_from_the_first(run: Verbs, tmp_path: Path) -> None:
    lose_packs(tmp_path / "offsite")
    ran = run("--repository", "offsite", "repair", "--from", "main", "--yes", "--json")
    assert ran.code == 0
    assert ran.document["plan"]["steps"][0]["from"] == ["main"]
    assert run("--repository", "offsite", "verify").code == 0


def test_what_nobody_has_fails_and_is_named(run: Verbs, tmp_path: Path) -> None:
    for place in ("main", "offsite"):
        lose_packs(tmp_path / place)
    for more in ("--dry-run", "--yes"):
        ran = run("repair", more)
        assert ran.code == 1
        assert "LOST  docs@" in ran.out


def test_what_is_no_repository_of_the_plan_or_no_copy_is_refused(run: Verbs, tmp_path: Path) -> None:
    assert run("repair", "--from", "elsewhere").code == 11
    shutil.rmtree(tmp_path / "offsite")
    other = tmp_path / "other.yaml"
    other.write_text(
        PLAN.format(root=tmp_path).replace("/main", "/offsite", 1).replace("/offsite}, gone", "/x}, gone")
    )
    assert main(["--plan", str(other), "init"]) == 0
    ran = run("repair")
    assert ran.code == 1
    assert "is not a copy" in ran.err
    assert run("repair", "--dry-run", "--yes").code in (1, 2)


def test_it_has_help_like_any_other_verb(run: Verbs) -> None:
    text = run("repair", "--help").out
    assert "backup-platform repair" in text.partition("Example")[2]


def test_repository_json_comes_back_from_the_copy_that_is_named(run: Verbs, tmp_path: Path) -> None:
    root = tmp_path / "main" / "repository.json"
    data = root.read_bytes()
    root.unlink()
    lose_packs(tmp_path / "main")
    assert "repair --from NAME" in run("init").err
    ran = run("repair", "--yes")
    assert ran.code == 10
    assert "repair --from NAME" in ran.err
    dry = run("repair", "--from", "offsite", "--dry-run")
    assert dry.code == 1
    assert "repository.json is missing: offsite has it, and manifests/" in dry.out
    assert not root.exists()
    assert run("repair", "--from", "offsite", "--yes").code == 0
    assert root.read_bytes() == data
    assert run("verify").code == 0
