"""Places are looked at one by one, and since when something lacks protection is remembered."""

from __future__ import annotations

import os
from datetime import datetime
from pathlib import Path

import pytest

from backup_platform.actions.doctor.run import DoctorFinding
from backup_platform.app import App
from backup_platform.domain.coverage import Coverage, CoverageGap
from backup_platform.kinds import registry
from backup_platform_tests.actions.coverage_support import look
from backup_platform_tests.support import ManualClock

PLAN = "sources: {www: {files: srv/www, every: day}}\ncoverage: {srv: {files: srv}}\n"


@pytest.fixture
def srv(tmp_path: Path) -> Path:
    (tmp_path / "srv" / "www").mkdir(parents=True)
    return tmp_path / "srv"


def since(found: Coverage) -> dict[str, datetime | None]:
    return {each.name: each.since for each in found.findings}


def test_a_new_one_is_a_finding_at_the_next_look_and_keeps_its_day(srv: Path) -> None:
    clock = ManualClock()
    assert look(srv.parent, PLAN, clock).is_fine
    (srv / "new").mkdir()
    clock.advance(days=1)
    made = clock.now()
    assert since(look(srv.parent, PLAN, clock)) == {"new": made}
    clock.advance(days=7)
    (srv / "newer").mkdir()
    assert since(look(srv.parent, PLAN, clock)) == {"new": made, "newer": clock.now()}


def test_what_was_gone_is_new_when_it_comes_back(srv: Path) -> None:
    clock = ManualClock()
    for _ in range(2):
        (srv / "new").mkdir()
        clock.advance(days=1)
        assert since(look(srv.parent, PLAN, clock)) == {"new": clock.now()}
        (srv / "new").rmdir()
        look(srv.parent, PLAN, clock)


def test_a_place_that_is_away_for_a_day_forgets_nothing(srv: Path) -> None:
    clock = ManualClock()
    (srv / "new").mkdir()
    first = clock.now()
    look(srv.parent, PLAN, clock)
    clock.advance(days=1)
    os.rename(srv, srv.parent / "away")
    [finding] = look(srv.parent, PLAN, clock).findings
    assert finding.gap is CoverageGap.NOT_LOOKED
    os.rename(srv.parent / "away", srv)
    clock.advance(days=1)
    assert since(look(srv.parent, PLAN, clock)) == {"new": first}


def test_a_clock_that_was_ahead_leaves_no_time_in_the_future(srv: Path) -> None:
    clock = ManualClock()
    (srv / "new").mkdir()
    clock.advance(days=400)
    look(srv.parent, PLAN, clock)
    clock.advance(days=-400)
    assert since(look(srv.parent, PLAN, clock)) == {"new": clock.now()}


@pytest.mark.parametrize("text", ["", "no JSON", "[]", '{"srv": 5}', '{"srv": {"new": "yesterday"}}'])
def test_a_note_that_cannot_be_read_was_never_there(srv: Path, text: str) -> None:
    clock = ManualClock()
    (srv / "new").mkdir()
    look(srv.parent, PLAN, clock)
    [note] = (srv.parent / "state" / "coverage").iterdir()
    note.write_text(text)
    clock.advance(days=1)
    assert since(look(srv.parent, PLAN, clock)) == {"new": clock.now()}


def test_a_note_that_cannot_be_written_hides_nothing(srv: Path) -> None:
    (srv / "new").mkdir()
    (srv.parent / "state").write_text("a file")
    assert list(since(look(srv.parent, PLAN))) == ["new"]


def test_one_place_that_fails_keeps_no_other_from_being_looked_at(
    srv: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (srv / "new").mkdir()
    plan = (
        "sources: {www: {files: srv/www, every: day}}\ncoverage: {away: {files: away}, srv: {files: srv}}\n"
    )
    found = look(srv.parent, plan)
    assert [each.gap for each in found.findings] == [CoverageGap.NOT_LOOKED, CoverageGap.UNPROTECTED]
    assert found.findings[0].advice

    def broken(config: object, context: object) -> None:
        raise RuntimeError("nobody foresaw it")

    kind = registry.find("files")
    assert kind is not None
    assert kind.survey is not None
    monkeypatch.setattr("backup_platform.sources.files.survey.survey", broken)
    [first, second] = look(srv.parent, plan).findings
    assert first.text == second.text == "RuntimeError: nobody foresaw it"
    assert first.gap is CoverageGap.NOT_LOOKED


def test_a_secret_that_this_host_lacks_is_a_finding(srv: Path) -> None:
    plan = 'sources: {www: {files: srv/www, every: day}}\ncoverage: {srv: {files: "${env:NOT_SET_HERE}"}}\n'
    [finding] = look(srv.parent, plan).findings
    assert finding.gap is CoverageGap.NOT_LOOKED
    assert "NOT_SET_HERE" in finding.text


def test_a_dump_is_in_a_source_that_does_not_show_it(srv: Path) -> None:
    (srv / "mysql").mkdir()
    sources = "sources: {www: {files: srv/www, every: day}, dump: {command: [mysqldump], every: day}}\n"
    plan = "coverage: {srv: {files: srv, backed_up_by: {mysql: dump}}}\n"
    assert look(srv.parent, sources + plan).is_fine
    (srv / "new").mkdir()
    assert list(since(look(srv.parent, sources + plan))) == ["new"]


class TestDoctor:
    def named(self, srv: Path, plan: str) -> dict[str, DoctorFinding]:
        look(srv.parent, plan)
        app = App.load(str(srv.parent / "backup.yaml"))
        return {each.name: each for each in app.setup.doctor() if each.name.startswith("coverage")}

    def test_each_place_is_a_finding(self, srv: Path) -> None:
        (srv / "new").mkdir()
        (srv / "tmp").mkdir()
        plan = (
            "sources: {www: {files: srv/www, every: day}}\ncoverage:\n  srv: {files: srv, except: {tmp: made anew}}\n"
            "  away: {files: away}\n  fine: {files: srv, except: {new: x, tmp: y, old: z}}\n"
        )
        found = self.named(srv, plan)
        assert [(name, each.ok) for name, each in found.items()] == [
            ("coverage of srv", False),
            ("coverage of away", False),
            ("coverage of fine", True),
        ]
        assert "directory 'new' of" in found["coverage of srv"].detail
        assert "`backup-platform coverage` shows the lines" in found["coverage of srv"].hint
        assert "Is its file system mounted?" in found["coverage of away"].hint
        fine = found["coverage of fine"].detail
        assert "1 of 3 in sources, 2 left out on purpose; the exception 'old'" in fine

    def test_a_plan_that_says_nothing_is_told(self, srv: Path) -> None:
        [finding] = self.named(srv, "sources: {www: {files: srv/www, every: day}}\n").values()
        assert finding.ok
        assert "does not say where to look" in finding.detail
