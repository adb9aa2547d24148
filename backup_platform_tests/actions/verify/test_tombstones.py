"""A final tombstone that somebody made up keeps every backup from building on what is stored, and is told."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from backup_platform.actions.verify.run import ReadShare, VerifyResult, verify
from backup_platform.domain.model import RecoveryPoint
from backup_platform_tests.actions.prune_support import prune
from backup_platform_tests.support import Bench, QuietProgress, noise, small_bench, tombstone

DAYS = 86_400


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return small_bench(tmp_path)


def verified(bench: Bench) -> VerifyResult:
    repository = bench.open()
    return verify(repository, repository.points.all(), ReadShare(cycle=0), bench.clock, QuietProgress())


def age(bench: Bench, point: RecoveryPoint, days: float) -> None:
    path = bench.root / bench.open().points.key(point)
    stored = path.stat().st_mtime - days * DAYS
    os.utime(path, (stored, stored))


def test_a_forged_final_tombstone_is_told_by_the_backup_and_by_a_verify(bench: Bench) -> None:
    first = bench.backup()
    age(bench, first, 2)
    tombstone(bench, bench.keys("packs/"), final=True)
    result = bench.run()
    assert result.stored_again == first.stats.source_bytes
    found = verified(bench)
    assert list(found.findings) == [""]
    assert "No prune wrote it" in found.findings[""][0]
    assert f"docs@{first.window.key}" in found.findings[""][0]
    assert bench.content(first) == bench.source.files
    assert bench.run().stored_again == 0
    prune(bench)
    assert verified(bench).passed, "what was stored again stands for it"
    assert bench.content(first) == bench.source.files


def test_a_point_that_came_too_late_for_a_prune_is_a_note(bench: Bench) -> None:
    bench.backup()
    tombstone(bench, bench.keys("packs/"), final=True)
    found = verified(bench)
    assert found.passed
    assert "finished too late for a prune" in found.notes[0]


def test_a_final_tombstone_of_packs_that_nobody_needs_is_none_of_these(bench: Bench) -> None:
    first = bench.backup()
    age(bench, first, 2)
    needed = bench.keys("packs/")
    bench.source.write(b"more", noise(300_000, 8))
    gone = bench.backup()
    tombstone(bench, bench.keys("packs/") - needed, final=True)
    bench.open().points.delete(gone)
    bench.source.remove(b"more")
    found = verified(bench)
    assert found.passed
    assert found.notes == ()
    assert bench.run().stored_again == 0
