"""`prune`, with a real repository: dry unless told, and honest about what it did not do."""

from __future__ import annotations

import random
import sys
from pathlib import Path

import pytest

from backup_platform.clock import SystemClock
from backup_platform.errors import StoreLockedError, StoreRefusedError
from backup_platform.repository.repository import Repository
from backup_platform.stores.object_store import DirectoryStore, ObjectStore
from backup_platform_tests.cli.conftest import Verbs, docs_backed_up
from backup_platform_tests.faults.hostile import Writer
from backup_platform_tests.support import flipped, noise

PLAN = """
repository: {{path: {root}/repository, prune: {{grace: 0, max_waste: 100%}}}}
sources:
  docs: {{files: {root}/docs, every: month}}
"""


@pytest.fixture
def run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Verbs:
    """Runs a verb on a repository with packs that nobody needs."""
    invoke = docs_backed_up(tmp_path, PLAN, capsys)
    (tmp_path / "docs" / "one").write_bytes(b"other" * 1000)
    invoke("backup", "--force", code=0)
    next((tmp_path / "repository" / "manifests").rglob("*1")).unlink()
    assert invoke("forget", "docs", "--lost", "--yes").code == 0
    return invoke


def test_marks_then_deletes_and_tells(run: Verbs) -> None:
    dry = run("prune", "--dry-run", "--json").document
    assert (dry["dry_run"], dry["result"], dry["plan"]["condemn"]["count"]) == (True, None, 2)
    assert "Nothing was changed" in run("prune", "--dry-run").out
    first = run("prune", "--yes", "--json").document
    assert (first["result"]["packs_condemned"], first["result"]["freed_bytes"]) == (2, 0)
    second = run("prune", "--yes").out
    assert "2 packs deleted" in second
    assert run("verify").code == 0


def test_on_a_terminal_it_only_tells_unless_told(run: Verbs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True)
    assert run("prune", "--json").document["dry_run"] is True
    assert run("prune", "--yes", "--json").document["dry_run"] is False


def test_the_grace_can_be_given(run: Verbs) -> None:
    run("prune", "--yes")
    plan = run("prune", "--dry-run", "--grace", "2h", "--json").document["plan"]
    assert (plan["grace_s"], plan["delete"]["count"], plan["waiting"]["count"]) == (7200, 0, 2)
    assert run("prune", "--grace", "soon").code == 2


def test_it_refuses_while_a_manifest_is_damaged(run: Verbs, tmp_path: Path) -> None:
    manifest = next((tmp_path / "repository" / "manifests").rglob("*2"))
    manifest.write_bytes(manifest.read_bytes()[:-5])
    before = sorted((tmp_path / "repository").rglob("*"))
    ran = run("prune", "--yes")
    assert ran.code == 1
    assert "Nothing is deleted" in ran.out
    assert sorted((tmp_path / "repository").rglob("*")) == before


def test_an_index_that_lies_is_no_success_and_stays_told(run: Verbs, tmp_path: Path) -> None:
    store = DirectoryStore(str(tmp_path / "repository"))
    run("prune", "--yes")
    run("prune", "--yes", code=0)
    run("verify", code=0)
    key = Writer(Repository(store, SystemClock()), random.Random(1)).claim_more(noise(20_000, 7))
    ran = run("prune", "--yes", code=1)
    assert "DAMAGED Indexes make false claims about 1 pack" in ran.out
    for _ in range(3):
        run("prune", "--yes")
    assert not (tmp_path / "repository" / key).exists()
    assert run("prune", "--yes", "--json", code=0).document["result"]["false_claims"] == 0
    assert key in run("verify", "--read", "none", code=1).out
    assert "false claims about 1 pack" in run("doctor", code=1).out
    next((tmp_path / "repository/ledger/damaged/claims").iterdir()).unlink()
    run("verify", code=0)
    assert "false claims" not in run("doctor").out


def test_a_damaged_pack_that_should_be_rewritten_is_no_success(run: Verbs, tmp_path: Path) -> None:
    plan, docs, repository = tmp_path / "backup.yaml", tmp_path / "docs", tmp_path / "repository"
    plan.write_text(plan.read_text().replace("100%", "0.01%"))
    (docs / "kept").write_bytes(noise(50_000, 1))
    (docs / "gone").write_bytes(noise(50_000, 2))
    assert run("backup", "--force").code == 0
    (docs / "gone").unlink()
    assert run("backup", "--force").code == 0
    next((repository / "manifests").rglob("*0003")).unlink()
    pack = max((repository / "packs").rglob("*"), key=lambda path: path.stat().st_size)
    pack.write_bytes(flipped(pack.read_bytes()))
    ran = run("prune", "--yes")
    assert ran.code == 1
    assert "DAMAGED 1 pack" in ran.out
    assert pack.exists()


@pytest.mark.parametrize(("error", "code"), [(StoreRefusedError, 1), (StoreLockedError, 0)])
def test_what_the_store_does_not_delete_is_a_success_only_when_it_is_locked(
    run: Verbs, monkeypatch: pytest.MonkeyPatch, error: type[StoreRefusedError], code: int
) -> None:
    delete = ObjectStore.delete

    def refused(store: ObjectStore, key: str) -> None:
        if key.startswith("packs/"):
            raise error(f"The store refused to delete {key}.", hint="Allow it.")
        delete(store, key)

    assert run("prune", "--yes").code == 0
    monkeypatch.setattr(ObjectStore, "delete", refused)
    ran = run("prune", "--yes")
    assert ran.code == code
    assert ("REFUSED 1 object" in ran.out) is (code == 1)
    assert ("left: 1 object" in ran.out) is (code == 0)
    assert ("Allow it." in ran.out) is (code == 1)
