"""A drill has a time limit, whatever it is busy with; a drill that was ended is no verdict."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from shutil import rmtree as remove_tree

import pytest

from backup_platform.actions.drill import drill
from backup_platform.domain.model import RecoveryPoint
from backup_platform.domain.ports import DrillReport, PointReader, Progress, Sandbox
from backup_platform.errors import SourceError, TimeLimitError
from backup_platform_tests.support import Bench, QuietProgress, ScriptedSource, joined, small_bench

LIMIT_S = 0.2


def reads_for_ever(reader: PointReader, sandbox: Sandbox) -> DrillReport:
    while True:
        for entry in reader.entries():
            joined(reader.read(entry.content))


def restores_for_ever(reader: PointReader, sandbox: Sandbox) -> DrillReport:
    while True:
        sandbox.unpack()
        for path in Path(sandbox.path).iterdir():
            remove_tree(path) if path.is_dir() else path.unlink()


def fails_late(reader: PointReader, sandbox: Sandbox) -> DrillReport:
    time.sleep(LIMIT_S)
    raise SourceError("the server is lost")


def differs_late(reader: PointReader, sandbox: Sandbox) -> DrillReport:
    time.sleep(LIMIT_S)
    return DrillReport({}, ("a table is missing",))


def passes_late(reader: PointReader, sandbox: Sandbox) -> DrillReport:
    time.sleep(LIMIT_S)
    return DrillReport({}, ())


def drilled(bench: Bench, how: Callable[[PointReader, Sandbox], DrillReport]) -> bool:
    class Source(ScriptedSource):
        def drill(
            self, point: RecoveryPoint, reader: PointReader, sandbox: Sandbox, progress: Progress
        ) -> DrillReport:
            return how(reader, sandbox)

    [point] = bench.open().points.all()
    result = drill(bench.open(), Source(bench.clock), point, bench.clock, QuietProgress(), limit_s=LIMIT_S)
    return result.proof.passed


@pytest.mark.parametrize("how", [reads_for_ever, restores_for_ever, fails_late, differs_late])
def test_what_takes_too_long_is_ended_and_proves_nothing(
    tmp_path: Path, how: Callable[[PointReader, Sandbox], DrillReport]
) -> None:
    bench = small_bench(tmp_path)
    bench.backup()
    with pytest.raises(TimeLimitError, match="its time limit: it proves nothing"):
        drilled(bench, how)
    assert bench.open().proofs.by_point() == {}


def test_what_was_found_in_time_or_proven_late_is_a_verdict(tmp_path: Path) -> None:
    bench = small_bench(tmp_path)
    bench.backup()
    assert drilled(bench, passes_late)
    assert not drilled(bench, lambda reader, sandbox: DrillReport({}, ("a table is missing",)))
