"""The checked-in encrypted repository of format 1, read by a program that has nothing of this project, and by this one.

Its identities are checked in beside it: they open nothing else. The later one was added after the first recovery point,
whose packs were rewrapped for it.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from backup_platform.actions.keys.run import cipher_of
from backup_platform.actions.verify.run import ReadShare, verify
from backup_platform.errors import DamageError, RepositoryError
from backup_platform.repository.encryption.key_files import Keys, Secret
from backup_platform.repository.encryption.key_tests import list_recipients
from backup_platform.repository.repository import Repository
from backup_platform.stores.object_store import DirectoryStore
from backup_platform_tests.golden.test_golden_format import as_expected
from backup_platform_tests.support import ManualClock, QuietProgress, do_harm, flipped

HERE = Path(__file__).parent
GOLDEN = HERE / "format1-encrypted"
EXPECTED: dict[str, Any] = json.loads((GOLDEN / "expected.json").read_text())
OBJECTS = sorted(
    path.relative_to(GOLDEN / "repository").as_posix()
    for path in (GOLDEN / "repository").rglob("*")
    if path.is_file()
)
IDENTITIES = ["identity-first.txt", "identity-later.txt"]


@pytest.fixture
def golden(tmp_path: Path) -> Path:
    """A copy: tests damage it, and a verify writes to it."""
    return Path(shutil.copytree(GOLDEN / "repository", tmp_path / "repository"))


def read_by_another_program(root: Path, identity: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-I", str(HERE / "reader.py"), str(root), str(GOLDEN / identity)]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd="/")


def opened(root: Path, identity: str = IDENTITIES[0]) -> Repository:
    keys = Keys(identity=Secret("golden", (GOLDEN / identity).read_text()))
    return Repository(DirectoryStore(str(root)), ManualClock(), keys=keys)


@pytest.mark.parametrize("identity", IDENTITIES)
def test_a_program_with_nothing_of_this_project_reads_it(identity: str) -> None:
    done = read_by_another_program(GOLDEN / "repository", identity)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["points"] == EXPECTED["points"]
    assert found["ids"] == EXPECTED["ids"]
    assert found["ledger"] == 3


@pytest.mark.parametrize("identity", IDENTITIES)
def test_this_project_reads_it(golden: Path, identity: str) -> None:
    repository = opened(golden, identity)
    assert [point.id for point in repository.points.all()] == EXPECTED["ids"]
    assert [as_expected(repository, n) for n in (0, 1)] == EXPECTED["points"]
    result = verify(repository, repository.points.all(), ReadShare(), ManualClock(), QuietProgress())
    assert result.passed, result.findings
    assert result.packs_not_decoded == 0


def test_it_has_what_a_format_must_show() -> None:
    kinds = {key.split("/")[0] for key in OBJECTS} | {Path(key).suffix for key in OBJECTS}
    assert kinds >= {"keys", "packs", "meta", "indexes", "manifests", "ledger", ".recipient", ".retired"}
    assert any(key.startswith("keys/rewrap/") for key in OBJECTS)
    assert any(key.startswith("ledger/keys/") for key in OBJECTS)
    states = [
        (each.retired_at, each.tested_at)
        for each in list_recipients(cipher_of(opened(GOLDEN / "repository")).objects)
    ]
    assert len(states) == 3
    assert sum(retired is not None for retired, _ in states) == 1
    assert not any(tested for _, tested in states), "anybody could have made the name of that test"
    assert sum(path.stat().st_size for path in GOLDEN.rglob("*") if path.is_file()) < 300_000


def test_it_shows_no_name() -> None:
    stored = b"".join((GOLDEN / "repository" / key).read_bytes() for key in OBJECTS)
    for name in (
        b"hello, world",
        b"several chunks",
        "müll".encode(),
        b"hard link",
        b"Permission denied",
        b"naive",
    ):
        assert name not in stored


@pytest.mark.parametrize("harm", ["flip", "truncate", "remove"])
@pytest.mark.parametrize("key", [key for key in OBJECTS if not key.startswith("ledger/")])
def test_a_damaged_object_is_never_taken_for_what_it_was(golden: Path, key: str, harm: str) -> None:
    """Reading ends in an error, or in exactly what was stored."""
    do_harm(golden / key, harm)
    wrong = 0
    try:
        repository = opened(golden)
        points, errors = repository.points.readable()
        wrong += len(errors) + len(EXPECTED["ids"]) - len(points)
        for number, point in enumerate(points):
            expected = EXPECTED["points"][EXPECTED["ids"].index(point.id)]
            try:
                assert as_expected(repository, number) == expected
            except DamageError:
                wrong += 1
        result = verify(repository, points, ReadShare(), ManualClock(), QuietProgress())
        wrong += not result.passed
        wrong += len(list_recipients(cipher_of(repository).objects)) != 3
    except RepositoryError:
        wrong += 1
    # What only other identities need is missed by them; nothing is built on the times in repository.json.
    assert wrong or key.startswith(("keys/", "repository.json"))


@pytest.mark.parametrize("kind", ["packs", "meta", "indexes", "manifests", "repository.json", "keys/rewrap"])
def test_the_other_program_sees_damage_too(golden: Path, kind: str) -> None:
    key = next(key for key in OBJECTS if key.startswith(kind))
    (golden / key).write_bytes(flipped((golden / key).read_bytes()))
    assert read_by_another_program(golden, IDENTITIES[1]).returncode != 0
