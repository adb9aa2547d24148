"""The owner of the store puts an older state of it back. A host that stored newer points remembers and tells."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from backup_platform_tests.cli.conftest import Verbs, docs_backed_up
from backup_platform_tests.docs.cells import shows

PLAN = """
state: {root}/state
repositories:
  main: {{path: {root}/repository}}
  offsite: {{path: {root}/offsite}}
sources:
  docs: {{files: {root}/docs, every: month, keep: {{last: 1}}, repositories: [main, offsite]}}
"""


@pytest.fixture
def run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Verbs:
    """One point is stored, and this state of the repository is kept as `old`."""
    invoke = docs_backed_up(tmp_path, PLAN, capsys)
    shutil.copytree(tmp_path / "repository", tmp_path / "old")
    return invoke


def back_up_and_roll_back(run: Verbs, root: Path) -> str:
    """The id of the point that is gone."""
    (root / "docs" / "new").write_bytes(b"new")
    gone = run("backup", "--force", "--json", code=0).document["results"][0]["point"]["id"]
    run("verify", code=0)
    shutil.rmtree(root / "repository")
    shutil.copytree(root / "old", root / "repository")
    return str(gone)[:12]


@shows("store owner", "hides")
def test_verify_doctor_and_backup_tell_until_it_is_given_up(run: Verbs, tmp_path: Path) -> None:
    assert "none of the 1 point that this host stored" in run("doctor").out
    gone = back_up_and_roll_back(run, tmp_path)
    told = f"({gone}, number 2) is lost: this host stored it"
    assert told in run("verify", "--read", "none", code=1).out
    assert told in run("doctor", code=1).out
    kept = run("backup", "--json", code=3).document["results"][0]
    assert (kept["outcome"], [told in text for text in kept["gone"]]) == ("kept", [True])
    assert f"LOST docs@{kept['point']['window']['key']} {told}" in run("backup", "--force", code=3).out
    run("backup", code=0)
    assert told in run("verify", code=1).out, "another point has its number now"
    run("forget", "docs", "--lost", "--yes", code=0)
    run("verify", code=0)
    assert "is lost: " not in run("doctor").out
    run("forget", "--yes", code=0)
    assert run("backup", code=0).out


def test_a_copy_brings_it_back(run: Verbs, tmp_path: Path) -> None:
    (tmp_path / "docs" / "newer").write_bytes(b"newer")
    gone = run("backup", "--force", "--json", code=0).document["results"][0]["point"]["id"]
    run("--repository", "offsite", "init", code=0)
    run("copy", code=0)
    shutil.rmtree(tmp_path / "repository")
    shutil.copytree(tmp_path / "old", tmp_path / "repository")
    assert "this host stored it" in run("verify", code=1).out
    run("repair", "--yes", code=0)
    run("verify", code=0)
    assert gone[:12] in run("points").out


def test_what_is_forgotten_and_what_a_copy_lacks_is_not_told(run: Verbs, tmp_path: Path) -> None:
    run("--repository", "offsite", "init", code=0)
    run("copy", code=0)
    run("backup", "--force", code=0)
    run("--repository", "offsite", "verify", code=0)
    run("backup", "--force", code=0)
    run("forget", "--yes", code=0)
    run("verify", code=0)
    assert "none of the 3 points that this host stored is lost" in run("doctor").out
    run("backup", "--force", code=0)


def test_a_host_that_lost_its_state_knows_nothing(run: Verbs, tmp_path: Path) -> None:
    back_up_and_roll_back(run, tmp_path)
    shutil.rmtree(tmp_path / "state")
    run("verify", code=0)
