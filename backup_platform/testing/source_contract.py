"""What every kind of source does, through a plan and a real repository. A subclass gives the fixture `subject`.

A kind of another distribution is found by its entry point, so it has to be installed in the environment of the tests.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import pytest

from backup_platform.app import App
from backup_platform.clock import SILENT, SystemClock
from backup_platform.domain.coverage import CoverageGap, PlaceCoverage
from backup_platform.domain.model import EntryKind, RecoveryPoint
from backup_platform.domain.ports import Buffer, DatabaseSource
from backup_platform.errors import SourceError, StoreError
from backup_platform.kinds import registry
from backup_platform.kinds.kind import KindSurvey
from backup_platform.stores.opening import open_store
from backup_platform.stores.wrapping import WrappedStore


class Subject(Protocol):
    """Something to protect, made by a subclass of the contract."""

    @property
    def settings(self) -> str:
        """Its part of a plan, as YAML in braces without them."""
        ...

    @property
    def nowhere(self) -> str:
        """The settings of a source of the same kind that is not there."""
        ...

    def change(self) -> None:
        """Another state than before, which a drill tells from it."""
        ...


@runtime_checkable
class Surrounded(Protocol):
    """A subject of a kind with a `survey`, alone in its place."""

    def neighbour(self) -> str:
        """Make something like it beside it, that can be backed up: its name in the place."""
        ...


@runtime_checkable
class Divided(Protocol):
    """A subject of a kind that tells what is `left_out`."""

    def leave_out(self) -> tuple[str, str]:
        """What to add to its settings so that something is not stored, and the name of that."""
        ...


@dataclass
class Protected:
    """A subject in a plan of its own."""

    home: Path
    subject: Subject
    app: App = field(init=False)

    def __post_init__(self) -> None:
        self.app = self.app_of(self.subject.settings)
        self.app.setup.init()

    def app_of(self, settings: str, more: str = "") -> App:
        plan = self.home / "backup.yaml"
        plan.write_text(
            f"repository: {{path: {self.home}/repository}}\nstate: {self.home}/state\n"
            f"sources:\n  it: {{{settings}, every: day}}\n{more}"
        )
        return App.load(os.fspath(plan))

    def coverage(self, place: str, sources: str = "", settings: str = "") -> tuple[App, PlaceCoverage]:
        """What one place of a plan with this source, and other `sources`, lacks."""
        app = self.app_of(settings or self.subject.settings, f"{sources}coverage: {{place: {{{place}}}}}\n")
        return app, looked_at(app)

    def backup(self) -> RecoveryPoint:
        return self.app.backups.run("it", force=True).point


class SourceContract:
    @pytest.fixture
    def subject(self, tmp_path: Path) -> Subject:
        raise NotImplementedError

    @pytest.fixture
    def protected(self, tmp_path: Path, subject: Subject) -> Protected:
        return Protected(tmp_path, subject)

    def test_the_kind_says_what_the_source_can_do(self, protected: Protected) -> None:
        source, plan = protected.app.sources.build("it"), protected.app.plan.sources["it"]
        kind = registry.find(source.kind)
        assert kind is plan.source_kind
        assert (kind.server is not None) == isinstance(source, DatabaseSource)
        assert {kind.title, kind.unit, kind.sizes, plan.location} & {""} == set()

    def test_a_point_has_what_its_kind_promises(self, protected: Protected) -> None:
        point = protected.backup()
        kind = protected.app.points.kind_of(point)
        assert isinstance(point.facts.get("row_counts"), dict) == kind.rows
        assert (protected.app.tables.of_point(point) is not None) == kind.tables

    def test_every_check_is_made_in_order(self, protected: Protected) -> None:
        protected.backup()
        made = list(protected.app.proofs.checks(protected.backup()))
        assert [check.name for check in made] == [
            check.name for check in protected.app.proofs.checks_of("it")
        ]
        assert [check.summary for check in made if check.ran and not check.passed] == []

    def test_it_is_restored_into_a_directory(self, protected: Protected, tmp_path: Path) -> None:
        point = protected.backup()
        summary = protected.app.restores.run(
            protected.app.restores.plan(point.id, to=str(tmp_path / "restored"))
        )
        assert list(summary.failures) == []
        assert summary.files == point.stats.files

    def test_a_probe_finds_what_is_there(self, protected: Protected) -> None:
        assert protected.app.sources.build("it").probe()
        with pytest.raises(SourceError):
            protected.app_of(protected.subject.nowhere).sources.build("it").probe()

    def test_what_is_captured_passes_its_drill(self, protected: Protected) -> None:
        point = protected.backup()
        result = protected.app.proofs.drill(point.id)
        assert result.report.differences == ()
        assert result.report.compared
        assert not point.incomplete

    def test_an_older_point_passes_after_the_source_changed(self, protected: Protected) -> None:
        """It is compared with what was captured, not with what is there now."""
        before = protected.backup()
        protected.subject.change()
        after = protected.backup()
        assert before.inventory != after.inventory
        for point in (before, after):
            assert protected.app.proofs.drill(point.id).report.differences == ()

    def test_a_drill_sees_the_facts_of_another_state(self, protected: Protected) -> None:
        """Contents of one state under the facts of another: what a reader that loses something leaves behind."""
        before = protected.backup()
        protected.subject.change()
        after = protected.backup()
        mixed = self.forged(protected, before, after)
        assert protected.app.proofs.drill(mixed.id).report.differences

    def forged(self, protected: Protected, contents: RecoveryPoint, facts: RecoveryPoint) -> RecoveryPoint:
        from dataclasses import replace

        point = replace(
            facts, inventory=contents.inventory, sequence=facts.sequence + 1, predecessor=facts.id
        )
        return protected.app.repository.points.commit(point)

    def test_the_inventory_is_a_walk_in_order(self, protected: Protected) -> None:
        paths = [entry.stat.path for entry in protected.app.points.entries(protected.backup().id)]
        assert paths == sorted(paths, key=walk_order)
        assert len(set(paths)) == len(paths)

    def test_every_entry_below_a_directory_follows_it(self, protected: Protected) -> None:
        entries = list(protected.app.points.entries(protected.backup().id))
        directories = {e.stat.path for e in entries if e.stat.kind is EntryKind.DIRECTORY}
        for entry in entries:
            parent = os.path.dirname(entry.stat.path)
            assert not parent or parent in directories

    def test_captured_at_is_within_the_run(self, protected: Protected) -> None:
        clock, moment = SystemClock(), timedelta(seconds=2)
        before = clock.now()
        point = protected.backup()
        assert before - moment <= point.captured_at <= clock.now() + moment

    def test_a_source_is_made_without_being_touched(self, protected: Protected) -> None:
        source = protected.app_of(protected.subject.nowhere).sources.build("it")
        assert source.name == "it"
        assert source.kind == protected.app.sources.build("it").kind

    def test_what_is_beside_it_is_found(self, protected: Protected) -> None:
        """The lines that a finding offers end it: as a source, which can be backed up, and as an exception."""
        if self.survey_of(protected) is None:
            return
        _, alone = protected.coverage("beside: it")
        assert (alone.findings, alone.protected) == ((), alone.seen)
        assert alone.seen >= 1
        assert isinstance(protected.subject, Surrounded)
        name = protected.subject.neighbour()
        _, found = protected.coverage("beside: it")
        [finding] = found.findings
        assert (finding.name, finding.gap) == (name, CoverageGap.UNPROTECTED)
        head, _, line = finding.as_source.partition("\n")
        assert head == "sources:"
        app, again = protected.coverage("beside: it", f"{line}\n")
        assert again.findings == ()
        assert app.backups.run(finding.source).point.source == finding.source
        exception = finding.as_exception.replace("    except:", "    beside: it\n    except:")
        excepted = looked_at(protected.app_of(protected.subject.settings, exception))
        assert excepted.findings == ()
        assert [(each.name, each.reason) for each in excepted.left_out] == [(name, "REASON")]

    def test_a_place_that_is_not_there_is_no_empty_place(self, protected: Protected) -> None:
        if self.survey_of(protected) is None:
            return
        _, found = protected.coverage("beside: it", settings=protected.subject.nowhere)
        assert [each.gap for each in found.findings] == [CoverageGap.NOT_LOOKED]

    def test_what_it_leaves_out_is_found(self, protected: Protected) -> None:
        kind = registry.find(protected.app.sources.build("it").kind)
        assert kind is not None
        if kind.left_out is None:
            return
        _, whole = protected.coverage("inside: it")
        assert whole.findings == ()
        assert isinstance(protected.subject, Divided)
        settings, name = protected.subject.leave_out()
        _, found = protected.coverage("inside: it", settings=f"{protected.subject.settings}, {settings}")
        [finding] = found.findings
        assert (finding.name, finding.gap) == (name, CoverageGap.UNPROTECTED)

    def survey_of(self, protected: Protected) -> KindSurvey[Any, Any] | None:
        kind = registry.find(protected.app.sources.build("it").kind)
        assert kind is not None
        return kind.survey

    def test_what_is_not_there_is_an_error_that_says_what_to_do(self, protected: Protected) -> None:
        app = protected.app_of(protected.subject.nowhere)
        with pytest.raises(SourceError) as caught:
            app.backups.run("it")
        assert caught.value.hint
        assert app.points.all() == []

    def test_a_failure_of_the_store_is_never_the_source_s(self, protected: Protected) -> None:
        """Nor hidden by it, nor turned into something incomplete."""
        location = protected.app.repository.info.location
        app = protected.app_of(protected.subject.settings)
        app.repository.objects.store = NoRoomForPacks(open_store(location).store)
        with pytest.raises(StoreError):
            app.backups.run("it")
        assert protected.app.points.all() == []

    def test_the_same_again_stores_almost_nothing(self, protected: Protected) -> None:
        protected.backup()
        again = protected.backup()
        assert again.stats.new_bytes <= 64 << 10

    def test_progress_reaches_what_it_expects(self, protected: Protected) -> None:
        told = Counted()
        protected.app.backups.run("it", progress=told)
        assert told.done == told.expected
        assert told.done["items"] > 0

    def test_a_drill_tells_what_it_does(self, protected: Protected) -> None:
        point, told = protected.backup(), Counted()
        protected.app.proofs.drill(point.id, progress=told)
        assert told.parts
        assert all(told.parts)
        assert told.done == told.expected
        assert told.done["items"] > 0


def looked_at(app: App) -> PlaceCoverage:
    """The only place of a plan."""
    [place] = app.setup.coverage().places
    return place


class Counted:
    """`ports.Progress` that adds up."""

    def __init__(self) -> None:
        self.expected = {"items": 0, "size": 0}
        self.done = {"items": 0, "size": 0}

        self.parts: list[str] = []

    def begin(self, doing: str, unit: str = "file") -> None:
        self.parts.append(doing)

    def expect(self, *, items: int = 0, size: int = 0) -> None:
        self.expected = {"items": self.expected["items"] + items, "size": self.expected["size"] + size}

    def advance(self, *, items: int = 0, size: int = 0) -> None:
        self.done = {"items": self.done["items"] + items, "size": self.done["size"] + size}

    note = SILENT.note


class NoRoomForPacks(WrappedStore):
    def create(self, key: str, data: Buffer) -> None:
        if key.startswith("packs/"):
            raise StoreError("no packs today")
        super().create(key, data)


def walk_order(path: bytes) -> bytes:
    """What inventories are sorted by: a directory comes before what is in it, and that before its next sibling."""
    return b"" if path == b"." else path.replace(b"/", b"\0")
