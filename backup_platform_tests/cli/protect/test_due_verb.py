"""`verify --due`, with a real repository: what it read is recorded, and how far the reading is."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from backup_platform_tests.cli.conftest import Verbs, docs_backed_up

DAY = 86400
PLAN = """
repository: {{path: {root}/repository, verify: {{cycle: 10d}}}}
sources:
  docs: {{files: {root}/docs, every: month}}
"""


@pytest.fixture
def run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Verbs:
    """Runs a verb on a plan with one recovery point."""
    return docs_backed_up(tmp_path, PLAN, capsys)


def age(root: Path, days: float) -> None:
    """As if everything had been written so long ago."""
    for path in (root / "repository").rglob("*"):
        if path.is_file():
            then = path.stat().st_mtime - days * DAY
            os.utime(path, (then, then))


def test_it_reads_what_is_due_and_tells_how_far_it_is(run: Verbs, tmp_path: Path) -> None:
    nothing = json.loads(run("verify", "--due", "--json").out)
    assert (nothing["passed"], nothing["packs_read"]) == (True, 0)
    age(tmp_path, 12)
    document = run("verify", "--due", "--json").document
    assert (document["read"], document["packs_read"]) == ("due", 2)
    rotation = document["rotation"]
    assert rotation["bytes"] == rotation["bytes_read_in_cycle"] == document["bytes_read"]
    assert (rotation["bytes_due"], rotation["bytes_never_read_again"], rotation["damaged"]) == (0, 0, [])
    assert rotation["cycle_s"] == 10 * DAY
    text = run("verify", "--due").out
    assert "read again within 10 days; the oldest unread byte is 0 days old." in text
    assert "That is too long" not in text


def test_another_verify_counts_as_reading(run: Verbs, tmp_path: Path) -> None:
    age(tmp_path, 12)
    whole = run("verify", "--json")
    assert whole.document["rotation"]["oldest_unverified_s"] < DAY
    assert run("verify", "--due", "--json").document["packs_read"] == 0
    for _ in range(10):
        run("verify")
    assert len(list((tmp_path / "repository/ledger/reads").iterdir())) <= 9


def test_damage_fails_it_each_time(run: Verbs, tmp_path: Path) -> None:
    (pack,) = (path for path in (tmp_path / "repository" / "packs").rglob("*") if path.is_file())
    pack.write_bytes(pack.read_bytes()[:-1])
    age(tmp_path, 12)
    for _ in range(2):
        ran = run("verify", "--due")
        assert ran.code == 1
        assert f"{pack.name} is damaged" in ran.out


@pytest.mark.parametrize("more", [["docs@latest"], ["--read", "10%"]])
def test_it_goes_with_nothing_that_chooses_what_to_read(run: Verbs, more: list[str]) -> None:
    assert run("verify", "--due", *more).code == 2
