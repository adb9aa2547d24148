"""One fault at every store call of a backup and of a verify, in turn.

Whatever the position: the run fails loudly or survives, earlier recovery points still read, and a clean run
afterwards converges.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from backup_platform.actions.verify import ReadShare, verify
from backup_platform.errors import BackupError, NotFoundError, SourceError
from backup_platform_tests.support import (
    Bench,
    Do,
    Killed,
    ManualClock,
    QuietProgress,
    ScriptedStore,
    noise,
    text,
)

FAULTS = [Do.FAIL, Do.FAIL_AFTER, Do.DIE, Do.DIE_AFTER, Do.LOSE, Do.FLIP]


def prepared(root: Path) -> tuple[Bench, dict[bytes, bytes]]:
    """A repository with one recovery point, and a source that has changed since."""
    bench = Bench(root, ManualClock())
    for n in range(12):
        bench.source.write(b"d%d/f%d" % (n % 3, n), text(3_000, n))
    bench.source.write(b"large", noise(700_000, 1))
    bench.backup()
    before = dict(bench.source.files)
    bench.source.write(b"large", noise(700_000, 2))
    bench.source.write(b"d1/new", b"new")
    bench.source.remove(b"d0/f0")
    return bench, before


def backup_calls(root: Path) -> int:
    bench, _ = prepared(root)
    store = ScriptedStore(bench.store)
    bench.backup(store)
    return len(store.calls)


@pytest.mark.parametrize("do", FAULTS, ids=lambda do: do.name.lower())
def test_a_backup_with_a_fault_at_every_call(tmp_path: Path, do: Do) -> None:
    count = backup_calls(tmp_path / "count")
    assert count > 15
    for number in range(1, count + 3):
        check_backup(tmp_path / str(number), number, do)


def check_backup(root: Path, number: int, do: Do) -> None:
    bench, before = prepared(root)
    first = bench.open().manifests()[0]
    store = ScriptedStore(bench.store, lambda call: do if call.number == number else None)
    where = ""
    try:
        survived = bench.backup(store)
    except (BackupError, Killed) as error:
        where = f"call {number}, {store.calls[number - 1]}: {error}"
        assert not isinstance(error, SourceError | NotFoundError), where
    else:
        assert bench.content(survived) == bench.source.files, f"call {number} of {store.calls}"
    assert bench.content(first) == before, where
    for point in bench.open().readable_manifests()[0]:
        assert bench.content(point) in (before, bench.source.files), where
    last = bench.backup()
    assert bench.content(last) == bench.source.files, where
    assert bench.content(first) == before, where
    repository = bench.open()
    points, errors = repository.readable_manifests()
    assert do is Do.FLIP or not errors, where
    result = verify(repository, points, ReadShare(), bench.clock, QuietProgress())
    assert result.passed, (where, result.findings)


@pytest.mark.parametrize("do", [Do.FAIL, Do.FAIL_AFTER, Do.DIE, Do.FLIP], ids=lambda do: do.name.lower())
@pytest.mark.parametrize("damaged", [False, True])
def test_a_verify_with_a_fault_at_every_call(tmp_path: Path, do: Do, damaged: bool) -> None:
    bench, before = prepared(tmp_path / "repository")
    bench.backup()
    first = bench.open().manifests()[0]
    if damaged:
        bench.damage(max(bench.keys("packs/")))
    sound = ScriptedStore(bench.store)
    run_verify(bench, sound)
    for number in range(1, len(sound.calls) + 3):
        store = ScriptedStore(bench.store, lambda call, n=number: do if call.number == n else None)  # type: ignore[misc]
        try:
            passed = run_verify(bench, store)
        except (BackupError, Killed) as error:
            assert not isinstance(error, SourceError | NotFoundError), store.calls[number - 1]
        else:
            assert passed is not damaged or do is Do.FLIP, store.calls[number - 1]
        # What the fault made it believe about sound packs, a clean verify takes back.
        assert run_verify(bench, ScriptedStore(bench.store)) is not damaged
        assert damaged or not bench.keys("ledger/damaged/")
    if not damaged:
        assert bench.content(first) == before


def run_verify(bench: Bench, store: ScriptedStore) -> bool:
    repository = bench.open(store)
    return verify(repository, repository.manifests(), ReadShare(), bench.clock, QuietProgress()).passed
