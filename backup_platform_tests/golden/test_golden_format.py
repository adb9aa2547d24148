"""The checked-in repository of format 1, read by a program that has nothing of this project, and by this project."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from blake3 import blake3

from backup_platform.actions.verify.run import ReadShare, verify
from backup_platform.domain.model import Entry, ProofMethod
from backup_platform.errors import DamageError, RepositoryError
from backup_platform.repository.points.chains import chain_breaks
from backup_platform.repository.repository import Repository
from backup_platform.stores.object_store import DirectoryStore
from backup_platform_tests.support import ManualClock, QuietProgress, do_harm, flipped

HERE = Path(__file__).parent
GOLDEN = HERE / "format1" / "repository"
EXPECTED: dict[str, Any] = json.loads((HERE / "format1" / "expected.json").read_text())
OBJECTS = sorted(path.relative_to(GOLDEN).as_posix() for path in GOLDEN.rglob("*") if path.is_file())


@pytest.fixture
def golden(tmp_path: Path) -> Path:
    """A copy: tests damage it, and a verify writes to it."""
    return Path(shutil.copytree(GOLDEN, tmp_path / "repository"))


def read_by_another_program(root: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-I", str(HERE / "reader.py"), str(root)]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd="/")


def as_expected(repository: Repository, number: int) -> dict[str, Any]:
    """A point as the project reads it, in the form of `expected.json`."""
    point = repository.points.all()[number]
    reader = repository.reader(point)
    rows = [row(entry, b"".join(reader.read(entry.content))) for entry in reader.entries()]
    return {"sequence": point.sequence, "incomplete": point.incomplete, "rows": rows}


def row(entry: Entry, content: bytes) -> dict[str, Any]:
    return {
        **{name: value for name, value in entry.stat._asdict().items() if name != "path"},
        "path": entry.stat.path.hex(),
        "status": entry.status.value,
        "problem": entry.problem,
        "user": entry.user,
        "group": entry.group,
        "link_target": entry.link_target.hex() if entry.link_target is not None else None,
        "hardlink": entry.hardlink.hex() if entry.hardlink is not None else None,
        "xattrs": [[name.hex(), value.hex()] for name, value in entry.xattrs],
        "extents": [list(extent) for extent in entry.extents] if entry.extents is not None else None,
        "content": blake3(content).hexdigest(),
    }


def opened(root: Path) -> Repository:
    return Repository(DirectoryStore(str(root)), ManualClock())


def test_a_program_with_nothing_of_this_project_reads_it() -> None:
    done = read_by_another_program(GOLDEN)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["points"] == EXPECTED["points"]
    assert found["ids"] == EXPECTED["ids"]
    assert found["ledger"] == 3


def test_it_has_what_a_format_must_show() -> None:
    kinds = {row["kind"] for point in EXPECTED["points"] for row in point["rows"]}
    states = {row["status"] for point in EXPECTED["points"] for row in point["rows"]}
    assert kinds == {"file", "dir", "symlink", "fifo", "chardev", "blockdev", "socket"}
    assert states == {"ok", "changed", "vanished", "unreadable"}
    depths = {
        e.content.depth for p in opened(GOLDEN).points.all() for e in opened(GOLDEN).reader(p).entries()
    }
    assert depths >= {0, 1}
    assert sum(path.stat().st_size for path in (HERE / "format1").rglob("*") if path.is_file()) < 300_000


def test_this_project_reads_it(golden: Path) -> None:
    repository = opened(golden)
    assert [point.id for point in repository.points.all()] == EXPECTED["ids"]
    assert [as_expected(repository, n) for n in (0, 1)] == EXPECTED["points"]
    assert chain_breaks(repository.points.all()) == []


def test_this_project_verifies_it(golden: Path) -> None:
    repository = opened(golden)
    result = verify(repository, repository.points.all(), ReadShare(), ManualClock(), QuietProgress())
    assert result.passed, result.findings
    assert repository.marks.damaged() == set()


def test_its_ledger(golden: Path) -> None:
    repository = opened(golden)
    first, second = EXPECTED["ids"]
    (verified,), (drilled,) = repository.proofs.details(first), repository.proofs.details(second)
    assert (verified.method, verified.passed, verified.detail) == (
        ProofMethod.VERIFY,
        True,
        {"packs_read": 3},
    )
    assert (drilled.method, drilled.passed, drilled.detail) == (
        ProofMethod.DRILL,
        False,
        {"differences": ["é"]},
    )
    assert len(repository.marks.damaged()) == 1


@pytest.mark.parametrize("harm", ["flip", "truncate", "remove"])
@pytest.mark.parametrize("key", OBJECTS)
def test_a_damaged_object_is_never_taken_for_what_it_was(golden: Path, key: str, harm: str) -> None:
    """Reading ends in an error, or in exactly what was stored."""
    do_harm(golden / key, harm)
    wrong = 0
    try:
        repository = opened(golden)
        points, errors = repository.points.readable()
        wrong += len(errors) + len(EXPECTED["ids"]) - len(points)
        for point in points:
            expected = EXPECTED["points"][EXPECTED["ids"].index(point.id)]
            try:
                assert as_expected(repository, repository.points.readable()[0].index(point)) == expected
            except DamageError:
                wrong += 1
        if not verify(repository, points, ReadShare(), ManualClock(), QuietProgress()).passed:
            wrong += 1
        for point in points:
            repository.proofs.details(point.id)
    except RepositoryError:
        wrong += 1
    # Only a lost proof or mark goes unseen: nothing says that there was one.
    assert wrong or (key.startswith("ledger/") and harm == "remove") or key.startswith("ledger/damaged/")


@pytest.mark.parametrize(
    "kind", ["packs", "meta", "indexes", "manifests", "repository.json", "ledger/proofs"]
)
def test_the_other_program_sees_damage_too(golden: Path, kind: str) -> None:
    key = next(key for key in OBJECTS if key.startswith(kind))
    (golden / key).write_bytes(flipped((golden / key).read_bytes()))
    assert read_by_another_program(golden).returncode != 0
