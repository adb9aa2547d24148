"""The application as both the command line and Dagster use it."""

from __future__ import annotations

from datetime import timedelta
from inspect import isfunction
from pathlib import Path

import pytest

from backup_platform.actions.doctor.run import DoctorFinding
from backup_platform.app import App
from backup_platform.domain.ports import OpenedStore
from backup_platform.errors import NotFoundError, TargetError, UsageError
from backup_platform.repository.objects.names import PROOFS
from backup_platform.repository.records.forgotten import record_forgotten
from backup_platform_tests.support import ClockedStore, ManualClock


@pytest.fixture
def app(tmp_path: Path) -> App:
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree/a").write_bytes(b"a" * 1000)
    plan = tmp_path / "backup.yaml"
    plan.write_text("repository: {path: tree/repository}\nsources: {tree: {files: tree, every: day}}\n")
    loaded = App.load(str(plan))
    loaded.setup.init()
    return loaded


def test_app_has_no_verbs_of_its_own() -> None:
    own = {name for name, member in vars(App).items() if isfunction(member) and not name.startswith("_")}
    assert own == {"at", "channels", "listen"}


def test_a_repository_inside_a_tree_is_left_out_of_it(app: App) -> None:
    app.backups.run("tree")
    assert [entry.stat.path for entry in app.points.entries("tree@latest")] == [b".", b"a"]


@pytest.mark.parametrize("inside", ["repository", "repository/packs/new", "state", "state/new", "link/new"])
def test_nothing_is_restored_into_the_plan_s_own_directories(app: App, tmp_path: Path, inside: str) -> None:
    """Files of a point can be called like objects of a repository."""
    Path(app.plan_path).write_text(
        "repository: {path: tree/repository}\nstate: tree/state\nsources: {tree: {files: tree, every: day}}\n"
    )
    app = App.load(app.plan_path)
    app.backups.run("tree")
    (tmp_path / "tree/state").mkdir(exist_ok=True)
    (tmp_path / "tree/link").symlink_to("repository")
    to = str(tmp_path / "tree" / inside)
    with pytest.raises(TargetError, match=r"is the (repository|state of this plan)"):
        app.restores.plan("tree@latest", to=to, overwrite=True)
    with pytest.raises(TargetError, match=r"is the (repository|state of this plan)"):
        app.tables.export("tree@latest", to)


def test_a_damaged_manifest_hides_no_other_recovery_point(app: App) -> None:
    first = app.backups.run("tree").point
    app.backups.run("tree", force=True)
    manifest = Path(app.points.manifest_path(first))
    manifest.write_bytes(manifest.read_bytes()[:-40])
    fresh = App.load(app.plan_path)
    assert [point.sequence for point in fresh.points.all()] == [2]
    (told,) = fresh.points.unreadable()
    assert manifest.name in told
    result = fresh.proofs.verify()
    assert not result.passed
    assert told in result.findings[""]


def test_a_drill_that_is_not_due_tells_of_the_last_one_of_the_same_point(app: App) -> None:
    point = app.backups.run("tree").point
    assert not app.proofs.drill_check(point, "never").ran
    app.proofs.drill("tree@latest")
    told = app.proofs.drill_check(point, "never")
    assert told.ran
    assert told.passed


def test_a_plan_written_at_night_needs_the_kind_of_a_source_and_says_so(app: App) -> None:
    app.backups.run("tree")
    plan = Path(app.plan_path)
    plan.write_text(plan.read_text().replace("files: tree", "sqlite: /any"))
    with pytest.raises(UsageError, match="captured as files") as caught:
        App.load(app.plan_path).proofs.drill("tree@latest")
    assert "`files: …`" in caught.value.hint
    plan.write_text(plan.read_text().replace("sqlite: /any", "files: /any"))
    assert App.load(app.plan_path).proofs.drill("tree@latest").proof.passed


def test_doctor_tells_of_a_window_that_nobody_captured(app: App) -> None:
    """Where cron starts the backups there is no sensor that would."""
    clock = ManualClock(app.repository.info.created_at.replace(hour=23, minute=50))
    app = App.load(app.plan_path, clock=clock)
    app.bound.opened = OpenedStore(ClockedStore(app.bound.settings.path, clock))

    def windows() -> DoctorFinding:
        return next(each for each in app.setup.doctor() if each.name == "windows of tree")

    assert not windows().ok
    assert "still be backed up" in windows().detail
    assert "backup-platform backup tree" in windows().hint
    app.backups.run("tree")
    assert windows().ok
    clock.advance(days=3)
    assert "2 windows missed since" in windows().detail
    assert not windows().ok
    app.backups.run("tree")
    assert "2 windows were missed within the last 7 days" in windows().detail
    assert not windows().ok, "somebody should ask why"
    for _ in range(7):
        clock.advance(days=1)
        app.backups.run("tree")
    assert windows().ok
    assert "2 windows missed since" in windows().detail, "what is missed for good is told, and cries no more"


def test_a_window_whose_point_was_forgotten_was_not_missed(app: App) -> None:
    clock = ManualClock(app.repository.info.created_at)
    app = App.load(app.plan_path, clock=clock)
    app.bound.opened = OpenedStore(ClockedStore(app.bound.settings.path, clock))
    points = []
    for _ in range(4):
        points.append(app.backups.run("tree").point)
        clock.advance(days=1)
    app.backups.run("tree")
    record_forgotten(app.repository.objects, points[1], "not kept", clock.now())
    app.repository.points.delete(points[1])
    app.repository.points.delete(points[2])
    found = App.load(app.plan_path, clock=clock).windows.missing("tree", clock.now())
    assert [window.key for window in found.missed] == [points[2].window.key]
    app.repository.points.delete(app.points.all("tree")[-1])
    assert app.windows.missing("tree", clock.now()).current, "an open window can be captured anew"


def test_a_point_of_a_window_that_had_not_begun_is_no_capture_of_it(app: App) -> None:
    """A writer's clock was two days ahead once. When that day comes, it is captured."""
    clock = ManualClock(app.repository.info.created_at.replace(hour=12))
    stores = ManualClock(clock.now())
    app = App.load(app.plan_path, clock=clock)
    app.bound.opened = OpenedStore(ClockedStore(app.bound.settings.path, stores))
    app.backups.run("tree")
    clock.advance(days=2)
    early = app.backups.run("tree").point
    stores.advance(days=2)
    assert app.windows.missing("tree", clock.now()).current == early.window
    result = app.backups.run("tree")
    assert result.created
    assert result.point.window == early.window
    assert not app.windows.missing("tree", clock.now()).current
    assert not app.backups.run("tree").created


def test_where_the_clock_of_the_store_is_behind_for_all_points_count(app: App) -> None:
    clock = ManualClock(app.repository.info.created_at.replace(hour=12))
    app = App.load(app.plan_path, clock=clock)
    stores = ManualClock(clock.now() - timedelta(days=9))
    app.bound.opened = OpenedStore(ClockedStore(app.bound.settings.path, stores))
    app.backups.run("tree")
    assert not app.windows.missing("tree", clock.now()).current
    assert not app.backups.run("tree").created


def test_a_source_without_a_point_was_never_due_before_somebody_watched_it(app: App) -> None:
    clock = ManualClock(app.repository.info.created_at)
    app = App.load(app.plan_path, clock=clock)
    clock.advance(days=3)
    assert not app.windows.missing("tree", clock.now()).missed
    assert len(app.windows.missing("tree", clock.now(), clock.now() - timedelta(days=2)).missed) == 1


def test_an_unknown_source_is_not_found(app: App) -> None:
    with pytest.raises(NotFoundError, match="no source"):
        app.points.all("other")


class TestSeveralRepositories:
    @pytest.fixture
    def app(self, tmp_path: Path) -> App:
        (tmp_path / "tree").mkdir()
        (tmp_path / "tree/a").write_bytes(b"a")
        plan = tmp_path / "backup.yaml"
        plan.write_text(
            "repositories: {main: {path: tree/main}, offsite: {path: tree/offsite}}\n"
            "sources: {tree: {files: tree, every: day, repositories: [main, offsite]}}\n"
        )
        return App.load(str(plan))

    def test_the_first_is_the_one_that_is_meant(self, app: App, tmp_path: Path) -> None:
        assert app.at(None) is app
        assert app.at("main") is app
        assert app.setup.init().location == str(tmp_path / "tree/main")

    def test_another_is_bound_by_its_name(self, app: App) -> None:
        offsite = app.at("offsite")
        assert (offsite.repository_name, offsite.at(None).repository_name) == ("offsite", "main")
        with pytest.raises(NotFoundError, match="no repository 'ofsite'"):
            app.at("ofsite")

    def test_none_is_part_of_a_tree_that_holds_them(self, app: App) -> None:
        app.setup.init()
        app.at("offsite").setup.init()
        app.backups.run("tree")
        assert [entry.stat.path for entry in app.points.entries("tree@latest")] == [b".", b"a"]

    def test_backups_go_to_the_first_only(self, app: App) -> None:
        with pytest.raises(UsageError, match="Backups go to main, and offsite holds copies"):
            app.at("offsite").backups.run("tree")

    def test_windows_are_counted_from_the_first(self, app: App) -> None:
        created = app.setup.init().created_at
        assert app.at("offsite").windows.since == created


def test_what_is_forged_fails_verify_and_doctor_until_it_is_deleted(app: App) -> None:
    first = app.backups.run("tree").point
    app.proofs.verify(first.id)
    (key,) = (record.key for record in app.repository.objects.records(PROOFS))
    forged = key.replace(first.id, "ab" * 32)
    app.bound.opened.store.create(forged, b"")
    verified = app.proofs.verify(read="none")
    assert (verified.passed, forged in verified.findings[""][0]) == (False, True)
    [found] = [each for each in app.setup.doctor() if each.name == "ledger"]
    assert (found.ok, forged in found.detail, "delete" in found.hint) == (False, True, True)
    app.bound.opened.store.delete(forged)
    assert app.proofs.verify(read="none").passed
    assert all(each.ok for each in app.setup.doctor() if each.name == "ledger")
