"""One fault at every store call of a backup and of a verify, in turn.

Whatever the position: the run fails loudly or survives, earlier recovery points still read, and a clean run
afterwards converges.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path

import pytest

from backup_platform.actions.verify import ReadShare, verify
from backup_platform.errors import BackupError, NotFoundError, SourceError
from backup_platform_tests.support import (
    Bench,
    Call,
    Do,
    Killed,
    QuietProgress,
    ScriptedSource,
    ScriptedStore,
    noise,
    text,
)

WRITES = ("create", "replace", "delete")
AT_EVERY_CALL = [Do.FAIL, Do.DIE, Do.FLIP]
AT_EVERY_WRITE = [Do.FAIL_AFTER, Do.DIE_AFTER, Do.LOSE]


class Scene:
    """A repository with one recovery point, and a source that has changed since; copied for every run."""

    def __init__(self, root: Path, *, encrypted: bool) -> None:
        self._root, self._encrypted = root, encrypted
        bench = Bench(root / "template", encrypted=encrypted)
        for n in range(12):
            bench.source.write(b"d%d/f%d" % (n % 3, n), text(3_000, n))
        bench.source.write(b"large", noise(700_000, 1))
        self.first = bench.backup()
        self.before = dict(bench.source.files)
        bench.source.write(b"large", noise(700_000, 2))
        bench.source.write(b"d1/new", b"new")
        bench.source.remove(b"d0/f0")
        self._source: ScriptedSource = bench.source

    def copy(self) -> Bench:
        root = self._root / "copy"
        shutil.rmtree(root, ignore_errors=True)
        shutil.copytree(self._root / "template", root)
        source = deepcopy(self._source)
        bench = Bench(root, source.clock, encrypted=self._encrypted)
        bench.source = source
        return bench


@pytest.fixture(params=[False, True], ids=["plain", "encrypted"])
def scene(tmp_path: Path, request: pytest.FixtureRequest) -> Scene:
    return Scene(tmp_path, encrypted=request.param)


def at(
    number: int, do: Do, verbs: tuple[str, ...] | None = None
) -> tuple[list[Call], Callable[[Call], Do | None]]:
    """A script that does something once, at the n-th call (with one of these verbs); and what it did it to."""
    counted: list[Call] = []
    hit: list[Call] = []

    def script(call: Call) -> Do | None:
        if verbs is None or call.verb in verbs:
            counted.append(call)
            if len(counted) == number:
                hit.append(call)
                return do
        return None

    return hit, script


@pytest.mark.parametrize("do", AT_EVERY_CALL + AT_EVERY_WRITE, ids=lambda do: do.name.lower())
def test_a_backup_with_a_fault_at_every_call(scene: Scene, do: Do) -> None:
    verbs = WRITES if do in AT_EVERY_WRITE else None
    for number in range(1, 200):
        hit, script = at(number, do, verbs)
        check_backup(scene, script, hit, do)
        if not hit:
            break
    assert number > (4 if verbs else 15)


def check_backup(scene: Scene, script: Callable[[Call], Do | None], hit: list[Call], do: Do) -> None:
    bench = scene.copy()
    try:
        survived = bench.backup(ScriptedStore(bench.store, script))
    except (BackupError, Killed) as error:
        of_the_repository(error, hit)
    else:
        assert bench.content(survived) == bench.source.files, hit
    for point in bench.open().readable_manifests()[0]:
        assert bench.content(point) == (scene.before if point == scene.first else bench.source.files), hit
    assert bench.content(bench.backup()) == bench.source.files, hit
    assert bench.content(scene.first) == scene.before, hit
    repository = bench.open()
    points, errors = repository.readable_manifests()
    assert not errors or (do is Do.FLIP and hit[0].key.startswith("manifests/")), hit
    result = verify(repository, points, ReadShare(), bench.clock, QuietProgress())
    assert result.passed, (hit, result.findings)


@pytest.mark.parametrize("do", [*AT_EVERY_CALL, Do.FAIL_AFTER], ids=lambda do: do.name.lower())
@pytest.mark.parametrize("damaged", [False, True])
def test_a_verify_with_a_fault_at_every_call(scene: Scene, do: Do, damaged: bool) -> None:
    bench = scene.copy()
    bench.backup()
    if damaged:
        bench.damage(max(bench.keys("packs/")), 50)  # not the bit that the store flips
    for number in range(1, 200):
        hit, script = at(number, do)
        try:
            passed = run_verify(bench, ScriptedStore(bench.store, script))
        except (BackupError, Killed) as error:
            of_the_repository(error, hit)
        else:
            # A bit that is flipped on its way is a finding, too: no run passes over it, unless nothing needed it.
            assert not (passed and damaged), hit
        # What the fault made it believe about sound packs, a clean verify takes back.
        assert run_verify(bench, ScriptedStore(bench.store)) is not damaged, hit
        assert damaged or not bench.keys("ledger/damaged/"), hit
        if not hit:
            break
    assert number > 10
    if not damaged:
        assert bench.content(scene.first) == scene.before


def of_the_repository(error: Exception, hit: list[Call]) -> None:
    assert not isinstance(error, SourceError | NotFoundError), (hit, error)


def run_verify(bench: Bench, store: ScriptedStore) -> bool:
    repository = bench.open(store)
    return verify(repository, repository.manifests(), ReadShare(), bench.clock, QuietProgress()).passed
