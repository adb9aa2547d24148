"""An emptied source, from its backup to retention, copies and doctor: what it had stays until a person decides."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from backup_platform.actions.backup.run import BackupJob
from backup_platform.actions.checks import points as checks
from backup_platform.actions.forget.run import Retention
from backup_platform.actions.points.accept import Accepting
from backup_platform.actions.points.find import find_point
from backup_platform.actions.trust.fingerprints import log_doubt
from backup_platform.app import App
from backup_platform.domain.keep.retention import KeepRules, SourceRules
from backup_platform.domain.model import Proof, ProofMethod, RecoveryPoint
from backup_platform.domain.ports import OpenedStore
from backup_platform.domain.trust.suspicion import Demands
from backup_platform.errors import NotFoundError, UsageError
from backup_platform.repository.objects.names import ACCEPTED
from backup_platform_tests.actions.copy_support import make_pair
from backup_platform_tests.support import Bench, ClockedStore, ManualClock, QuietProgress, small_bench


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    made = small_bench(tmp_path)
    made.store = ClockedStore(str(made.root), made.clock)
    return made


def hour(bench: Bench) -> RecoveryPoint:
    bench.clock.advance(hours=1)
    return bench.backup()


def empty(bench: Bench) -> None:
    bench.source.files.clear()
    bench.source.modified.clear()


def forget(bench: Bench) -> list[int]:
    rules = {"docs": SourceRules(KeepRules(last=2))}
    retention = Retention(bench.open(), rules, bench.clock)
    retention.run_forget(retention.plan_forget())
    return [point.sequence for point in bench.open().points.all()]


def drill(bench: Bench, point: RecoveryPoint) -> None:
    bench.open().proofs.record(Proof(point.id, ProofMethod.DRILL, True, bench.clock.now(), 1.0))


def test_however_long_nobody_looks_the_points_with_data_stay(bench: Bench) -> None:
    good = [hour(bench) for _ in range(2)]
    empty(bench)
    for _ in range(5):
        point = hour(bench)
        assert point.is_suspect
        drill(bench, point)
        assert find_point(bench.open(), "docs@latest", lambda _: None) == good[-1]
        assert {1, 2} <= set(forget(bench))
    assert forget(bench) == [1, 2, 6, 7]
    assert "2 files" in bench.open().points.all()[-1].suspect[0], "compared with what was accepted"


def test_a_source_that_never_had_a_complete_point_is_guarded_too(bench: Bench) -> None:
    bench.source.broken.add(b"nobody may read it")
    incomplete = [hour(bench) for _ in range(2)]
    assert all(point.incomplete and not point.is_suspect for point in incomplete)
    empty(bench)
    bench.source.broken.clear()
    assert hour(bench).is_suspect
    bench.source.write(b"lost+found", b"x")
    assert hour(bench).is_suspect
    assert incomplete[-1].sequence in forget(bench)
    assert find_point(bench.open(), "docs@latest", lambda _: None) == incomplete[-1]


def test_an_accepted_point_counts_like_any_other(bench: Bench) -> None:
    hour(bench)
    empty(bench)
    point = hour(bench)
    accepting = Accepting(bench.open(), bench.clock)
    with pytest.raises(UsageError, match="needs a reason"):
        accepting.accept(point.id, " ")
    assert accepting.accept(point.id, "moved to another server").accepted == "moved to another server"
    (found,) = [each for each in bench.open().points.all() if each.id == point.id]
    assert (found, found.is_suspect, found.accepted) == (point, False, "moved to another server")
    assert find_point(bench.open(), "docs@latest") == point
    assert not hour(bench).suspect, "it is the baseline now"
    with pytest.raises(UsageError, match="accepted already"):
        accepting.accept(point.id, "again")
    with pytest.raises(UsageError, match="not suspect"):
        accepting.accept("docs@latest", "no need")
    assert forget(bench) == [2, 3]


def test_an_acceptance_that_is_altered_or_of_another_point_accepts_nothing(bench: Bench) -> None:
    hour(bench)
    empty(bench)
    first, second = hour(bench), hour(bench)
    Accepting(bench.open(), bench.clock).accept(first.id, "so be it")
    (key,) = bench.keys(ACCEPTED)
    moved = bench.root / key.replace(first.id, second.id)
    moved.parent.mkdir()
    moved.write_bytes((bench.root / key).read_bytes())
    bench.damage(key)
    assert [each.is_suspect for each in bench.open().points.all()] == [False, True, True]
    Accepting(bench.open(), bench.clock).accept(first.id, "once more")
    assert [each.is_suspect for each in bench.open().points.all()] == [False, False, True]


def test_where_all_points_are_suspect_latest_is_none_of_them_and_says_what_to_do(bench: Bench) -> None:
    empty(bench)
    point = hour(bench)
    with pytest.raises(NotFoundError, match="holds nothing") as caught:
        find_point(bench.open(), "docs@latest")
    assert f"accept {point.id[:12]} --reason" in caught.value.hint
    assert find_point(bench.open(), f"docs@{point.window.key}") == point


def test_a_window_is_captured_again_while_its_point_is_suspect(bench: Bench) -> None:
    """Mount the disk, run the same command."""
    hour(bench)
    files = dict(bench.source.files)
    empty(bench)
    suspect = hour(bench)
    for path, data in files.items():
        bench.source.write(path, data)
    again = bench.run(force=False)
    assert again.created
    assert not again.point.suspect
    assert again.point.window == suspect.window
    assert find_point(bench.open(), f"docs@{suspect.window.key}") == again.point
    assert not bench.run(force=False).created


def test_a_suspect_capture_does_not_take_the_place_of_a_good_one_of_its_window(bench: Bench) -> None:
    good = hour(bench)
    empty(bench)
    assert bench.backup().is_suspect
    assert find_point(bench.open(), f"docs@{good.window.key}") == good


def test_what_is_there_again_is_not_read_again(bench: Bench) -> None:
    hour(bench)
    files, modified = dict(bench.source.files), dict(bench.source.modified)
    empty(bench)
    hour(bench)
    bench.source.files, bench.source.modified = files, modified
    read = bench.source.read
    assert not hour(bench).suspect
    assert bench.source.read == read, "the rows of the last good point were reused"


def test_the_drill_of_a_suspect_point_counts_for_no_other(bench: Bench) -> None:
    good = hour(bench)
    empty(bench)
    drill(bench, hour(bench))

    def never() -> Any:
        raise AssertionError

    due: list[str] = []

    def drilled() -> Any:
        due.append("drilled")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        checks.drill_check(bench.open(), good, "daily", "UTC", drilled)
    drill(bench, good)
    assert checks.drill_check(bench.open(), good, "daily", "UTC", never).passed


def test_the_plan_expects_paths_and_files(bench: Bench) -> None:
    def capture(demands: Demands) -> tuple[str, ...]:
        bench.clock.advance(hours=1)
        job = BackupJob(bench.source, bench.schedule, bench.open(), bench.clock, demands)
        return job.run(None, force=False, progress=QuietProgress()).point.suspect

    assert not capture(Demands(paths=("docs/small", "docs"), files=2))
    assert not capture(Demands(paths=("docs/small",))), "also where its row is reused"
    assert capture(Demands(paths=(".mounted",), files=3)) == (
        "the plan expects at least 3 files, and there are 2",
        "the plan expects .mounted, which is not in it",
    )
    bench.source.broken.add(b"docs/small")
    bench.source.write(b"docs/small", b"other")
    assert capture(Demands(paths=("docs/small",))), "what could not be read is not there"


def test_a_copy_holds_the_verdict_and_is_brought_the_acceptance(tmp_path: Path) -> None:
    pair = make_pair(tmp_path)
    pair.bench.clock.advance(hours=1)
    pair.backup()
    empty(pair.bench)
    pair.bench.clock.advance(hours=1)
    suspect = pair.backup()
    pair.copy()
    assert [each.is_suspect for each in pair.open().points.all()] == [False, True]
    Accepting(pair.bench.open(), pair.bench.clock).accept(suspect.id, "so be it")
    assert [each.is_suspect for each in pair.open().points.all()] == [False, True]
    pair.copy()
    assert [each.accepted for each in pair.open().points.all()] == ["", "so be it"]
    pair.copy()
    assert len(pair.keys(ACCEPTED)) == 1


def test_encrypted_acceptances_are_sealed(tmp_path: Path) -> None:
    bench = Bench(tmp_path, encrypted=True)
    suspect = hour(bench)
    Accepting(bench.open(), bench.clock).accept(suspect.id, "a secret reason")
    (key,) = bench.keys(ACCEPTED)
    assert b"secret" not in (bench.root / key).read_bytes()
    assert not bench.open().points.all()[0].is_suspect


class TestInAPlan:
    """Real sources, through the application."""

    @pytest.fixture
    def clock(self) -> ManualClock:
        return ManualClock()

    @pytest.fixture
    def load(self, tmp_path: Path, clock: ManualClock) -> Callable[..., App]:
        def load(source: str) -> App:
            plan = tmp_path / "backup.yaml"
            plan.write_text(f"repository: {{path: repo}}\nsources: {{up: {{every: day, {source}}}}}\n")
            if not (tmp_path / "repo").exists():
                App.load(str(plan), clock=clock).setup.init()
            app = App.load(str(plan), clock=clock)
            app.bound.opened = OpenedStore(ClockedStore(str(tmp_path / "repo"), clock))
            return app

        return load

    def test_patterns_that_exclude_everything_a_missing_mark_and_what_doctor_says(
        self, tmp_path: Path, clock: ManualClock, load: Callable[..., App]
    ) -> None:
        (tmp_path / "src").mkdir()
        (tmp_path / "src/a").write_bytes(b"a" * 1000)
        assert not load("files: src").backups.run("up").point.suspect
        clock.advance(days=1)
        app = load('files: src, exclude: ["*"]')
        point = app.backups.run("up").point
        assert point.is_suspect
        (check,) = [each for each in app.proofs.checks(point) if each.name == "plausible"]
        assert (check.passed, check.severity) == (False, "error")
        finding = next(each for each in app.setup.doctor() if each.name == "latest of up")
        assert not finding.ok
        assert "2026-11-23" in finding.detail
        assert f"backup-platform accept {point.id[:12]}" in finding.hint
        clock.advance(days=1)
        assert load('files: src, allow_empty: true, exclude: ["*"]').backups.run("up").point.suspect == ()
        clock.advance(days=1)
        point = load("files: src, expect: {paths: [.mounted]}").backups.run("up").point
        assert point.suspect == ("the plan expects .mounted, which is not in it",)

    def test_a_truncated_table_a_database_without_tables_and_an_emptied_file(
        self, tmp_path: Path, clock: ManualClock, load: Callable[..., App]
    ) -> None:
        def run(*statements: str) -> RecoveryPoint:
            clock.advance(days=1)
            connection = sqlite3.connect(tmp_path / "shop.db")
            for statement in statements:
                connection.execute(statement)
            connection.commit()
            connection.close()
            return load("sqlite: shop.db").backups.run("up").point

        numbers = "with recursive n(i) as (select 1 union all select i + 1 from n where i < 99)"
        rows = f"insert into orders(id) {numbers} select * from n"
        create = "create table orders (id integer primary key autoincrement)"
        other = "create table notes (id integer)"
        assert not run(create, other, rows, "insert into notes values (1)").suspect
        assert run("delete from orders").suspect == (
            "the table orders is empty; the last accepted point has 99 rows of it",
        )
        assert not run(rows).suspect
        assert "holds nothing" in run("drop table orders", "drop table notes").suspect[0]
        (tmp_path / "shop.db").write_bytes(b"")
        assert "holds nothing" in run().suspect[0]

    def test_the_drill_of_a_future_point_is_no_proof_of_the_source(
        self, tmp_path: Path, clock: ManualClock, load: Callable[..., App]
    ) -> None:
        (tmp_path / "src").mkdir()
        (tmp_path / "src/a").write_bytes(b"a")
        app = load("files: src")
        clock.advance(days=400)
        app.backups.run("up")
        app.proofs.drill("up@latest")
        clock.advance(days=-400)
        for manifest in (tmp_path / "repo/manifests").rglob("0*"):
            ClockedStore(str(tmp_path / "repo"), clock)._date(
                manifest.relative_to(tmp_path / "repo").as_posix()
            )
        point = app.backups.run("up").point
        told: list[Any] = []
        app.listen(told.append, log_doubt)
        assert app.points.find("up@latest") == point
        assert [each.point.window.start - point.window.start for each in told] == [timedelta(days=400)]
        named = {each.name: each for each in app.setup.doctor()}
        assert (named["latest of up"].ok, named["proof of up"].detail) == (True, "never drilled")
