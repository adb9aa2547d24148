"""The checks of a recovery point: green only over what was proven."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from backup_platform.actions.checks import points as checks
from backup_platform.actions.drill import DrillResult
from backup_platform.actions.verify.run import ReadShare
from backup_platform.domain.checks import CheckResult
from backup_platform.domain.model import (
    Content,
    Problem,
    Proof,
    ProofMethod,
    RecoveryPoint,
    Stats,
    Status,
    StreamRef,
    Window,
)
from backup_platform.domain.ports import DrillReport
from backup_platform.domain.schema_change import schema_unchanged
from backup_platform.repository.objects.names import FORGOTTEN, ManifestKey
from backup_platform.repository.records.forgotten import record_forgotten
from backup_platform_tests.support import START, Bench, QuietProgress, ScriptedStore, small_bench


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return small_bench(tmp_path)


def point(n: int = 1, **changes: Any) -> RecoveryPoint:
    start = START + timedelta(days=n)
    base = RecoveryPoint(
        id=f"{n:064x}",
        sequence=n,
        predecessor="",
        source="docs",
        kind="files",
        window=Window(f"{start:%Y-%m-%d}", start, start + timedelta(days=1)),
        timezone="UTC",
        captured_at=start,
        committed_at=start,
        lateness_s=0.0,
        incomplete=False,
        problem_count=0,
        problems=(),
        facts={"files": 3, "bytes": 30},
        stats=Stats(files=3, source_bytes=30),
        inventory=StreamRef(0, Content()),
        versions={},
    )
    return replace(base, **changes)


def problem(status: Status, path: str = "a") -> dict[str, Any]:
    return {"problems": (Problem(path, status, "why"),), "problem_count": 1}


# stored


def stored(bench: Bench, of: RecoveryPoint, share: ReadShare | None = None) -> CheckResult:
    return checks.stored(bench.open(), of, share or ReadShare(), bench.clock, QuietProgress())


def test_stored_is_green_over_a_sound_point(bench: Bench) -> None:
    result = stored(bench, bench.backup())
    assert (result.name, result.passed, result.severity) == ("stored", True, "error")
    assert result.metadata["packs_needed"] == result.metadata["packs_read"] == 2
    assert isinstance(result.metadata["bytes_read"], int)
    assert result.metadata["bytes_read"] > 0


@pytest.mark.parametrize("prefix", ["packs/", "meta/"])
@pytest.mark.parametrize("harm", ["flip", "remove"])
def test_stored_is_red_over_damage(bench: Bench, prefix: str, harm: str) -> None:
    made = bench.backup()
    (key,) = bench.keys(prefix)
    if harm == "flip":
        bench.damage(key)
    else:
        (bench.root / key).unlink()
    result = stored(bench, made)
    assert not result.passed
    assert result.severity == "error"
    assert result.summary


def test_stored_that_reads_nothing_still_misses_what_is_gone(bench: Bench) -> None:
    made = bench.backup()
    for key in bench.keys("packs/"):
        (bench.root / key).unlink()
    assert not stored(bench, made, ReadShare(cycle=0)).passed


# complete


def test_complete_is_green_when_nothing_is_missing() -> None:
    result = checks.complete(point())
    assert (result.passed, result.severity, result.summary) == (True, "error", "nothing is missing")


@pytest.mark.parametrize("status", [Status.VANISHED, Status.UNREADABLE])
def test_complete_is_an_error_when_something_is_missing(status: Status) -> None:
    result = checks.complete(point(incomplete=True, **problem(status)))
    assert (result.passed, result.severity) == (False, "error")
    assert result.summary == f"1 problem: {status.value}: a why"
    assert result.metadata["listed"] == [f"{status.value}: a why"]


def test_complete_is_an_error_for_an_incomplete_point_that_lists_nothing() -> None:
    assert not checks.complete(point(incomplete=True)).passed


def test_complete_warns_of_files_that_changed_while_they_were_read() -> None:
    result = checks.complete(point(**problem(Status.CHANGED)))
    assert (result.passed, result.severity) == (False, "warn")


@pytest.mark.parametrize("facts", [{"files": 4, "bytes": 30}, {"files": 3, "bytes": 31}])
@pytest.mark.parametrize("also", [{}, problem(Status.CHANGED)])
def test_complete_is_an_error_when_the_counts_differ(facts: dict[str, int], also: dict[str, Any]) -> None:
    """Also beside a file that changed: the warning must not hide it."""
    result = checks.complete(point(facts=facts, **also))
    assert (result.passed, result.severity) == (False, "error")
    assert "source counted" in str(result.metadata["listed"])


def test_complete_warns_of_what_the_source_warned_of() -> None:
    warned = point(facts={"warnings": ["The passwords of roles are not stored."]})
    result = checks.complete(warned)
    assert (result.passed, result.severity) == (False, "warn")
    assert result.summary == "1 problem: The passwords of roles are not stored."
    assert checks.complete(replace(warned, incomplete=True)).severity == "error"
    assert checks.complete(replace(warned, facts={"warnings": []})).passed


def test_complete_of_a_real_point_counts_what_is_stored(bench: Bench) -> None:
    assert checks.complete(bench.backup()).passed
    bench.source.broken.add(b"large")
    assert not checks.complete(bench.backup()).passed


# authentic


def test_authentic_is_green_over_a_chain(bench: Bench) -> None:
    bench.backup()
    made = bench.backup()
    result = checks.authentic(bench.open(), made)
    assert result.passed
    assert result.metadata == {"chain_length": 2, "forgotten": 0}


def test_authentic_goes_on_over_what_was_forgotten_and_misses_what_was_taken_away(bench: Bench) -> None:
    first, second, made = bench.backup(), bench.backup(), bench.backup()
    record_forgotten(bench.open().objects, first, "no rule keeps it", bench.clock.now())
    for gone in (first, second):
        bench.open().points.delete(gone)
    result = checks.authentic(bench.open(), made, whole=True)
    assert not result.passed
    assert "no recovery point 2 is here" in result.summary
    assert checks.authentic(bench.open(), made).passed, "a copy need not hold them all"
    record_forgotten(bench.open().objects, second, "no rule keeps it", bench.clock.now())
    result = checks.authentic(bench.open(), made, whole=True)
    assert result.passed
    assert result.summary.endswith("a chain of 1 point hold, 2 were forgotten")


def test_authentic_is_red_over_a_record_that_somebody_made_up(bench: Bench) -> None:
    """Who deletes a manifest without the key cannot say that it was forgotten."""
    first, made = bench.backup(), bench.backup()
    record_forgotten(bench.open().objects, first, "made up", bench.clock.now())
    [record] = bench.keys(FORGOTTEN)
    bench.damage(record)
    bench.open().points.delete(first)
    result = checks.authentic(bench.open(), made, whole=True)
    assert not result.passed
    assert record in result.summary


def test_authentic_is_red_over_an_altered_manifest_also_when_it_was_read_before(bench: Bench) -> None:
    made = bench.backup()
    repository = bench.open()
    repository.points.all()
    bench.damage(ManifestKey.of("docs", 1))
    assert not checks.authentic(repository, made).passed


def test_authentic_is_red_over_a_lost_manifest(bench: Bench) -> None:
    made = bench.backup()
    (bench.root / ManifestKey.of("docs", 1)).unlink()
    assert not checks.authentic(bench.open(), made).passed


def test_authentic_is_red_over_a_replaced_predecessor(bench: Bench) -> None:
    first = bench.backup()
    made = bench.backup()
    (bench.root / ManifestKey.of("docs", 1)).unlink()
    bench.open().points.commit(replace(first, lateness_s=5.0))
    result = checks.authentic(bench.open(), made)
    assert not result.passed
    assert "predecessor" in result.summary


# plausible


def test_plausible_is_what_was_judged_at_the_commit() -> None:
    history = [point(n) for n in range(1, 12)]
    emptied = point(12, suspect=("it holds nothing",), stats=Stats())
    result = checks.plausible([*history, emptied], emptied)
    assert (result.ran, result.passed, result.severity) == (True, False, "error")
    assert "it holds nothing" in result.summary
    accepted = checks.plausible([*history, emptied], replace(emptied, accepted="it moved"))
    assert accepted.passed
    assert "it moved" in accepted.summary


def test_plausible_warns_of_growth_by_the_points_before() -> None:
    history = [point(n, stats=Stats(source_bytes=1000 + n)) for n in range(1, 12)]
    assert checks.plausible(history, point(12, stats=Stats(source_bytes=1010))).passed
    result = checks.plausible(history, point(12, stats=Stats(source_bytes=6000)))
    assert (result.passed, result.severity) == (False, "warn")


def test_plausible_compares_with_accepted_points_only_and_has_no_verdict_without_any() -> None:
    strange = [
        point(1, incomplete=True),
        point(2, suspect=("it is empty",)),
        point(3, kind="sqlite"),
        point(4, stored_at=START),
        point(20),
    ]
    result = checks.plausible(strange, point(12))
    assert (result.ran, result.passed) == (False, False), "nothing to compare with is no success"
    assert result.metadata["points"] == 0


# schema_unchanged


def schema(n: int, *objects: tuple[str, str]) -> RecoveryPoint:
    listed = [{"type": "table", "name": name, "sql": sql} for name, sql in objects]
    return point(n, kind="sqlite", facts={"schema": listed, "schema_fingerprint": str(objects)})


def test_schema_unchanged() -> None:
    old = schema(1, ("a", "1"), ("b", "1"))
    assert schema_unchanged([old], schema(2, ("a", "1"), ("b", "1"))).passed
    result = schema_unchanged([old], schema(2, ("a", "2"), ("c", "1")))
    assert (result.passed, result.severity) == (False, "warn")
    assert result.metadata["difference"] == ["removed table b", "added table c", "changed table a"]


def test_the_first_schema_has_nothing_to_differ_from() -> None:
    result = schema_unchanged([], schema(1))
    assert (result.ran, result.passed) == (False, False)


# drill


def drilled(*differences: str) -> CheckResult:
    proof = Proof("p", ProofMethod.DRILL, not differences, START, 2.0)
    return checks.drilled(DrillResult(point(), proof, DrillReport({"files": 3}, differences)))


def test_a_drill_that_found_nothing_is_green() -> None:
    result = drilled()
    assert (result.passed, result.ran, result.severity) == (True, True, "error")
    assert result.metadata == {"files": 3, "drill_s": 2.0}


def test_a_drill_that_found_differences_is_red() -> None:
    result = drilled("a differs", "b differs")
    assert not result.passed
    assert result.summary == "a differs (and 1 more)"


def test_a_drill_of_each_window_asks_the_ledger_nothing(bench: Bench) -> None:
    """All proofs of a repository are many: hundreds of requests a year of hourly points."""
    point = bench.backup()
    store = ScriptedStore(bench.store)
    proof = Proof(point.id, ProofMethod.DRILL, True, START, 1.0)
    done = DrillResult(point, proof, DrillReport({}, ()))
    repository = bench.open(store)
    store.calls.clear()
    assert checks.drill_check(repository, point, "window", "UTC", lambda: done).passed
    assert store.calls == []


def test_a_drill_that_was_not_due_is_never_passed() -> None:
    for passed in ([], [START, START - timedelta(days=1)]):
        result = checks.drill_skipped("weekly", passed)
        assert (result.passed, result.ran, result.severity) == (False, False, "warn")
    assert (
        "2026-11-22 02:15 UTC" in checks.drill_skipped("weekly", [START - timedelta(days=1), START]).summary
    )
    assert "none has passed" in checks.drill_skipped("weekly", []).summary
