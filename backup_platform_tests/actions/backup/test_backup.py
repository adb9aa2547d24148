"""Backing up one source for one window."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from backup_platform.actions.backup.run import BackupJob
from backup_platform.domain.model import EntryKind, Problem, Status
from backup_platform.domain.windows.schedule import CADENCES, WindowSchedule
from backup_platform.errors import (
    RepositoryError,
    SourceBusyError,
    SourceMissingError,
    StoreError,
    WindowError,
)
from backup_platform.repository.objects.names import ManifestKey
from backup_platform_tests.support import (
    START,
    Bench,
    Call,
    Do,
    QuietProgress,
    ScriptedStore,
    noise,
    small_bench,
)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return small_bench(tmp_path)


def refusing(verb: str, prefix: str) -> Callable[[Call], Do | None]:
    return lambda call: Do.FAIL if call.verb == verb and call.key.startswith(prefix) else None


def test_a_point_belongs_to_the_window_of_its_instant(bench: Bench) -> None:
    point = bench.backup()
    assert point.window.contains(point.captured_at)
    assert point.window.key == "2026-11-22T02:00"
    assert point.lateness_s == 0
    assert (point.source, point.kind, point.timezone) == ("docs", "files", "UTC")
    assert point.versions["scripted"] == "1"
    assert point.versions["backup_platform"]
    assert point.facts["files"] == 2


def test_a_window_that_has_a_sound_point_keeps_it(bench: Bench) -> None:
    first = bench.run()
    bench.source.write(b"new", b"1")
    again = bench.run(force=False)
    assert (again.point, again.created) == (first.point, False)
    assert len(bench.open().points.all()) == 1


def test_force_captures_anew_and_the_old_point_stays_until_the_new_one_is_committed(bench: Bench) -> None:
    first = bench.backup()
    bench.source.write(b"new", b"1")
    broken = ScriptedStore(bench.store, refusing("create", "manifests/"))
    with pytest.raises(StoreError):
        bench.backup(broken)
    assert bench.open().points.all() == [first]
    second = bench.backup()
    assert (second.window, second.sequence, second.predecessor) == (first.window, 2, first.id)
    assert bench.open().points.all() == [first, second]


def test_an_incomplete_point_is_committed_told_and_tried_again(bench: Bench) -> None:
    bench.source.broken.add(b"docs/small")
    first = bench.run(force=False)
    assert first.created
    assert first.point.incomplete
    assert first.point.problem_count == 1
    assert first.point.problems == (Problem("docs/small", Status.UNREADABLE, "broken"),)
    assert bench.content(first.point).keys() == {b"large"}
    bench.source.broken.clear()
    second = bench.run(force=False)
    assert second.created
    assert not second.point.incomplete
    assert bench.content(second.point) == bench.source.files
    assert not bench.run(force=False).created


def test_what_could_not_be_read_is_tried_again_although_it_has_not_changed(bench: Bench) -> None:
    bench.source.broken.add(b"docs/small")
    bench.backup()
    bench.source.broken.clear()
    assert bench.content(bench.backup()) == bench.source.files


def test_a_window_that_is_over_is_refused(bench: Bench) -> None:
    bench.backup()
    bench.clock.advance(hours=3)
    with pytest.raises(WindowError):
        bench.job().run("2026-11-22T03:00", force=False, progress=QuietProgress())
    assert len(bench.open().points.all()) == 1


def test_a_window_that_is_over_and_has_its_point_keeps_it(bench: Bench) -> None:
    first = bench.backup()
    bench.clock.advance(days=3)
    again = bench.job().run(first.window.key, force=False, progress=QuietProgress())
    assert (again.point, again.created) == (first, False)


def test_a_window_that_is_over_cannot_be_forced(bench: Bench) -> None:
    first = bench.backup()
    bench.clock.advance(days=3)
    with pytest.raises(WindowError):
        bench.job().run(first.window.key, force=True, progress=QuietProgress())


def test_a_late_capture_says_how_late(bench: Bench) -> None:
    schedule = WindowSchedule(CADENCES["hour"], since=START, late_limit=timedelta(hours=2))
    bench.clock.instant = datetime(2026, 11, 22, 4, 30, tzinfo=UTC)
    job = BackupJob(bench.source, schedule, bench.open(), bench.clock)
    point = job.run("2026-11-22T03:00", force=False, progress=QuietProgress()).point
    assert point.lateness_s == 1800
    assert point.window.key == "2026-11-22T03:00"
    assert point.captured_at == bench.clock.now()


@pytest.mark.parametrize("error", [SourceMissingError("gone"), SourceBusyError("locked")])
def test_an_error_of_the_source_stays_one_and_commits_nothing(bench: Bench, error: Exception) -> None:
    def fail() -> None:
        raise error

    bench.source.during = fail
    with pytest.raises(type(error)):
        bench.backup()
    assert bench.open().points.all() == []


def test_an_error_of_the_store_is_not_the_sources(bench: Bench) -> None:
    """It surfaces within the source's reading, from another thread."""
    bench.source.write(b"much", noise(60_000_000, 8))
    with pytest.raises(StoreError, match="packs/"):
        bench.backup(ScriptedStore(bench.store, refusing("create", "packs/")))


def test_a_failed_backup_prints_nothing(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    """Work that is still queued is dropped quietly: the error is the message."""

    def fail() -> None:
        raise SourceMissingError("gone")

    bench.source.write(b"much", noise(30_000_000, 8))
    bench.source.during = fail
    with pytest.raises(SourceMissingError):
        bench.backup()
    assert caplog.text == ""


def test_a_damaged_point_is_captured_anew(bench: Bench) -> None:
    first = bench.backup()
    for key in bench.keys("packs/"):
        (bench.root / key).unlink()
    again = bench.run(force=False)
    assert again.created
    assert bench.content(again.point) == bench.content(first) == bench.source.files


def test_a_store_that_does_not_answer_is_no_reason_to_capture_anew(bench: Bench) -> None:
    bench.backup()
    broken = ScriptedStore(bench.store, refusing("list", "packs/"))
    with pytest.raises(StoreError):
        bench.backup(broken, force=False)


def test_a_damaged_manifest_is_noted_and_does_not_stop_the_backup(bench: Bench) -> None:
    bench.backup()
    bench.damage(ManifestKey.of("docs", 1))
    progress = Noting()
    result = bench.job().run(None, force=False, progress=progress)
    assert result.created
    assert ManifestKey.of("docs", 1) in progress.notes[0]
    assert (result.point.sequence, result.point.predecessor) == (2, "")


class Noting(QuietProgress):
    def __init__(self) -> None:
        super().__init__()
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)


def test_a_writer_that_never_gets_a_place_gives_up_and_may_be_tried_again(bench: Bench) -> None:
    first = bench.backup()

    class Contested(ScriptedStore):
        """Another writer is always quicker."""

        def create(self, key: str, data: object) -> None:
            if key.startswith("manifests/"):
                self._inner.create(key, (bench.root / ManifestKey.of("docs", 1)).read_bytes())
            super().create(key, data)  # type: ignore[arg-type]

    with pytest.raises(RepositoryError, match="Other writers") as caught:
        bench.backup(Contested(bench.store))
    assert caught.value.retryable
    assert bench.open().points.readable()[0] == [first]


def test_the_statistics(bench: Bench) -> None:
    started = bench.clock.monotonic()
    bench.source.during = lambda: bench.clock.advance(seconds=7)
    point = bench.backup()
    stats = point.stats
    assert (stats.files, stats.source_bytes, stats.new_bytes) == (2, 902_000, 902_000)
    stored = sum((bench.root / key).stat().st_size for key in bench.keys("packs/") | bench.keys("meta/"))
    assert stats.stored_bytes == stored
    assert stats.duration_s == 7
    assert bench.clock.monotonic() > started


def test_directories_and_other_kinds_count_no_files(bench: Bench) -> None:
    point = bench.backup()
    kinds = [entry.stat.kind for entry in bench.open().reader(point).entries()]
    assert kinds.count(EntryKind.FILE) == point.stats.files < len(kinds)
